"""What every provider does alike: local processes, a fake site, a host behind a real sshd, an OpenNebula front-end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.core.events import InstanceEnded, InstancePlaced, InstanceStarted, InstanceStartFailed
from boss.providers.provider import Recorded
from tests.worlds.providers import WORLDS, World, worker, world_of

pytestmark = pytest.mark.needs("sshd", "ssh-keygen", "useradd")


@pytest.fixture(params=list(WORLDS))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world_of(request.param, tmp_path) as made:
        yield made


def test_a_start_is_reported_once_with_a_reference(world: World) -> None:
    boss = world.boss()
    (started,) = boss.start(1)
    assert started.reference
    assert world.alive() == 1
    time.sleep(0.5)  # several lists, or looks at a host, that must tell nothing
    others = [event for event in boss.events if event is not started]
    assert others in ([], [InstancePlaced(instance=1)]), "a machine may wait for a host before it boots"


def test_no_more_are_made_than_were_asked_for(world: World) -> None:
    boss = world.boss()
    boss.start(*range(1, world.max_workers + 1))
    time.sleep(0.5)  # several lists, that must make none
    assert world.alive() == world.max_workers
    assert len({event.reference for event in boss.reported(InstanceStarted)}) == world.max_workers


def test_one_that_is_stopped_is_reported_when_it_is_gone(world: World) -> None:
    boss = world.boss()
    (started,) = boss.start(1)
    boss.provider.stop(1, worker(1), started.reference)
    assert isinstance(boss.ended(1), InstanceEnded)
    boss.wait(lambda: world.alive() == 0, "it is gone")


def test_stopping_twice_and_stopping_what_is_gone_is_no_error(world: World) -> None:
    boss = world.boss()
    (started,) = boss.start(1)
    boss.provider.stop(1, worker(1), started.reference)
    boss.provider.stop(1, worker(1), started.reference)
    boss.ended(1)
    before = len(boss.reported(InstanceEnded))
    boss.provider.stop(1, worker(1), started.reference)
    boss.wait(lambda: len(boss.reported(InstanceEnded)) > before, "it is reported again, because it was asked again")
    # Placed: by whatever list of machines saw it on a host before it ended.
    assert {type(event) for event in boss.events} - {InstancePlaced} == {InstanceStarted, InstanceEnded}


def test_after_an_end_there_is_room_for_another(world: World) -> None:
    boss = world.boss()
    started = boss.start(*range(1, world.max_workers + 1))
    boss.provider.stop(1, worker(1), started[0].reference)
    boss.ended(1)
    boss.start(world.max_workers + 1)
    boss.wait(lambda: world.alive() == world.max_workers, "as many as before")


def test_one_that_ends_of_its_own_is_reported(world: World) -> None:
    boss = world.boss()
    boss.start(1)
    world.end_one(1)
    ended = boss.ended(1)
    assert isinstance(ended, InstanceEnded) and ended.reason


def test_a_living_one_is_adopted_with_its_reference_and_can_be_stopped(world: World) -> None:
    (started,) = world.boss().start(1)
    boss = world.boss(world.record(started))
    boss.wait(lambda: boss.started(1), "it is adopted")
    assert [event.reference for event in boss.reported(InstanceStarted)] == [started.reference]
    assert world.alive() == 1
    boss.provider.stop(1, worker(1), started.reference)
    boss.ended(1)
    boss.wait(lambda: world.alive() == 0, "it is gone")


def test_one_that_ended_while_no_boss_was_there_is_reported_as_unseen(world: World) -> None:
    first = world.boss()
    (started,) = first.start(1)
    first.provider.close()
    world.end_one(1)
    first.wait(lambda: world.alive() == 0, "it is gone")
    boss = world.boss(world.record(started))
    ended = boss.ended(1)
    assert isinstance(ended, InstanceEnded)
    assert boss.reported(InstanceStarted) == []


def test_one_whose_start_was_not_recorded_is_found_and_not_made_again(world: World) -> None:
    (started,) = world.boss().start(1)
    boss = world.boss(Recorded(instance=1, worker=worker(1), reference=""))
    boss.wait(lambda: boss.started(1), "it is found")
    assert boss.started(1)[0].reference == started.reference
    time.sleep(0.3)  # several lists, that must make none
    assert world.alive() == 1


def test_one_that_was_never_begun_is_reported_as_over(world: World) -> None:
    boss = world.boss(Recorded(instance=7, worker=worker(7), reference=""))
    assert boss.ended(7).reason
    assert world.alive() == 0
    boss.start(8)


def test_a_start_that_fails_is_reported_with_its_reason(world: World) -> None:
    world.break_starts()
    boss = world.boss()
    boss.provider.start(1, worker(1))
    failed = boss.ended(1)
    assert isinstance(failed, InstanceStartFailed)
    assert len(failed.reason) > 15
    assert world.alive() == 0


def test_nothing_is_reported_after_the_end(world: World) -> None:
    boss = world.boss()
    boss.start(1)
    boss.provider.close()
    before = list(boss.events)
    world.end_one(1)
    boss.provider.stop(1, worker(1), "")
    boss.provider.start(2, worker(2))
    time.sleep(0.7)  # longer than anything of this takes that is reported
    assert boss.events == before


def test_limits_and_warnings_are_known_without_a_request(world: World) -> None:
    boss = world.boss()
    before = boss.provider.limits().more
    assert before is None or before >= world.max_workers
    boss.start(*range(1, world.max_workers + 1))
    limits = boss.provider.limits()
    assert before is None or limits.more == before - world.max_workers
    assert limits.more != 0 or limits.reason
    assert boss.provider.warning == ""
