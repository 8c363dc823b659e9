"""The fake provider misbehaves as configured, and reports that truthfully."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.core.events import InstanceEnded, InstanceStarted, InstanceStartFailed
from boss.providers.fake import SITES
from boss.providers.registry import find
from tests.worlds.providers import Fake, worker
from tests.worlds.waiting import scaled, wait_for


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Fake]:
    made = Fake(tmp_path)
    yield made
    made.close()


def test_a_call_that_took_effect_though_it_timed_out_is_found_and_not_repeated(world: Fake) -> None:
    world.site.faults.lose_answer = 1
    boss = world.boss()
    boss.start(1)
    assert world.site.made == [(1, 1)]


def test_a_call_without_effect_is_reported_once_a_list_has_shown_that(world: Fake) -> None:
    world.site.faults.lose_call = 1
    boss = world.boss()
    boss.provider.start(1, worker(1))
    failed = boss.ended(1)
    assert isinstance(failed, InstanceStartFailed) and "no machine was made" in failed.reason
    assert world.site.made == []


def test_of_two_machines_with_one_mark_the_younger_ends(world: Fake) -> None:
    world.site.faults.twice = 1
    boss = world.boss()
    boss.provider.start(1, worker(1))
    boss.wait(lambda: len(world.site.made) == 2 and world.alive() == 1, "one is left")
    assert list(world.site.machines) == [1]
    assert len(boss.started(1)) == 1


def test_a_site_without_room_is_full_and_says_so_until_a_start_works(world: Fake) -> None:
    world.site.faults.room = 1
    boss = world.boss()
    (started,) = boss.start(1)
    boss.provider.start(2, worker(2))
    failed = boss.ended(2)
    assert isinstance(failed, InstanceStartFailed) and failed.full
    assert boss.provider.limits().more == 0 and "room for 1" in boss.provider.limits().reason
    boss.provider.stop(1, worker(1), started.reference)
    boss.ended(1)
    boss.start(3)
    assert boss.provider.limits().more == world.max_workers - 1


def test_machines_that_die_and_those_that_never_boot(world: Fake) -> None:
    booted: list[int] = []
    world.site.on_boot = lambda machine: booted.append(machine.instance)
    world.site.faults.never_boot = 1
    boss = world.boss()
    boss.start(1)
    assert booted == []
    world.site.faults.die = 1
    boss.provider.start(2, worker(2))
    assert isinstance(boss.ended(2), InstanceEnded)
    assert booted == [2] and world.alive() == 1


def test_slow_calls_keep_no_other_call_waiting(world: Fake) -> None:
    world.site.faults.slow = scaled(0.5)
    boss = world.boss()
    began = time.monotonic()
    for number in (1, 2, 3):
        boss.provider.start(number, worker(number))
    assert time.monotonic() - began < scaled(0.4)
    boss.wait(lambda: len(boss.reported(InstanceStarted)) == 3, "all are started")


def test_it_is_found_by_its_name_with_the_site_that_the_pool_names(world: Fake) -> None:
    events: list[object] = []
    provider = find("fake")(world.pool(options={"site": "here"}), world.services(events.append))
    provider.adopt([])
    provider.start(1, worker(1))
    wait_for(lambda: events, "it is started")
    assert len(SITES.pop("here").machines) == 1
    provider.close()
