"""Pauses of a pool after failures, what ends them, and how long a machine is waited for that no host has taken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from boss.core.events import InstanceEnded, InstancePlaced, InstancesAsked, InstanceStarted, InstanceStartFailed
from boss.core.model import Profile
from boss.core.policy import Policy, PoolPolicy
from boss.core.reasons import NotMoreKind
from tests.worlds.pools import started, stopped
from tests.worlds.scheduler import FakeWorker, World

CLOUD = PoolPolicy(
    name="cloud",
    provider="opennebula",
    min_workers=0,
    max_workers=8,
    boot=20.0,
    idle=30.0,
    slots=1,
    keeps_home=False,
    cost_weight=0.0,
)
LONG = Profile(expect=600.0)
QUOTA = "limit of 2 for VMS is reached"


@pytest.fixture
def cloud() -> Iterator[World]:
    world = World(Policy(pools=(CLOUD,)))
    world.push({f"t{n}": "" for n in range(6)}, profile=LONG)
    yield world
    world.ignore()
    world.close()


def made(world: World, name: str, *, waiting: bool = False) -> None:
    world.turn(InstanceStarted(instance=world.state.instance_for[name], reference=f"vm {name}", waiting=waiting))


def boot(world: World, name: str) -> FakeWorker:
    made(world, name)
    return world.worker(name, pool="cloud", slots=1)


def refuse(world: World, *names: str, full: bool = True) -> None:
    for name in names:
        number = world.state.instance_for[name]
        world.turn(InstanceStartFailed(instance=number, reason=QUOTA if full else "no such template", full=full))


def pool_moves(world: World) -> list[tuple[str, str]]:
    return [(move.before, move.after) for move in world.state.story if move.what == "pool"]


# --- pauses ------------------------------------------------------------------------------------------


def test_refusals_of_what_was_asked_for_together_make_one_pause(cloud: World) -> None:
    refuse(cloud, *started(cloud))
    known = cloud.state.pools["cloud"]
    assert known.crashes == 6 and known.not_before - cloud.now == pytest.approx(30.0)
    cloud.wait(31.0)
    refuse(cloud, *started(cloud))
    assert known.not_before - cloud.now == pytest.approx(60.0, abs=1.0), "the next one is twice as long"


def test_in_a_pause_the_plan_says_why_and_the_journal_has_nothing_that_did_not_happen(cloud: World) -> None:
    known = cloud.state.pools["cloud"]
    while known.not_before - cloud.now < 15.0:
        refuse(cloud, *started(cloud), full=False)
        cloud.wait(1.0)
    moves = pool_moves(cloud)
    cloud.push({"more": ""}, profile=LONG)
    cloud.wait(3.0)
    assert pool_moves(cloud) == moves
    plan = known.plan
    assert plan.start == 0 and "are required, none can be requested now" in plan.reason
    assert plan.why_not_more is not None and plan.why_not_more.kind is NotMoreKind.FAILURES
    assert "failures in a row none is requested until a pause is over: no such template" in plan.why_not_more.text
    assert "end_seconds_with_start" not in plan.numbers, "nothing was started"


def test_after_failures_one_is_tried_at_a_time_and_the_journal_counts_that_one(cloud: World) -> None:
    refuse(cloud, *started(cloud))
    cloud.wait(31.0)
    assert len(started(cloud)) == 1
    assert pool_moves(cloud)[-1] == ("0 workers", "1 worker")
    plan = cloud.state.pools["cloud"].plan
    assert plan.why_not_more is not None and plan.why_not_more.kind is NotMoreKind.ONE_TRY
    assert plan.start == 1 and "one is tried at a time" in plan.why_not_more.text


def test_a_pause_ends_when_a_machine_is_made_that_an_operator_asked_for_meanwhile(cloud: World) -> None:
    """The quota is larger now, and an operator does not wait for the pause."""
    for _ in range(6):
        refuse(cloud, *started(cloud))
        cloud.wait(cloud.state.pools["cloud"].not_before - cloud.now + 3.0)
    refuse(cloud, *started(cloud))
    known = cloud.state.pools["cloud"]
    assert known.full and known.not_before - cloud.now > 800.0
    cloud.wait(1.0)
    cloud.turn(InstancesAsked(pool="cloud", count=1, reply=1))
    (name,) = started(cloud)
    made(cloud, name)
    assert known.full == "" and known.not_before <= cloud.now
    cloud.wait(3.0)
    assert len(started(cloud)) == 1, "one at a time, until one has said hello"
    worker = cloud.worker(name, pool="cloud", slots=1)
    cloud.wait(3.0, worker)
    assert known.crashes == 0 and len(started(cloud)) > 1


def test_a_hello_of_a_machine_that_was_asked_for_before_the_failure_ends_no_pause(cloud: World) -> None:
    first, *others = started(cloud)
    made(cloud, first)
    refuse(cloud, *others)
    known = cloud.state.pools["cloud"]
    until = known.not_before
    cloud.wait(5.0)
    worker = cloud.worker(first, pool="cloud", slots=1)
    cloud.wait(5.0, worker)
    assert known.full == QUOTA and known.not_before == until and started(cloud) == []


def pauses(cloud: World, *, fail: bool) -> list[float]:
    """Of ten failures one after the other: of the calls (`fail`), or of machines that were made and then could not run,
    each after a while."""
    found, known = [], cloud.state.pools["cloud"]
    for name in started(cloud)[1:]:
        refuse(cloud, name, full=False)
    for _ in range(10):
        while not (names := started(cloud) or list(cloud.state.instance_for)):
            cloud.wait(1.0)
        number = cloud.state.instance_for[names[0]]
        if fail:
            cloud.turn(InstanceStartFailed(instance=number, reason="no such template"))
        else:
            made(cloud, names[0], waiting=True)
            cloud.wait(70.0)
            cloud.turn(InstanceEnded(instance=number, reason="OpenNebula could not start it"))
        found.append(known.not_before - cloud.now)
    return found


def test_calls_that_are_refused_are_tried_again_within_half_a_minute(cloud: World) -> None:
    assert max(pauses(cloud, fail=True)) == pytest.approx(30.0)


def test_machines_that_never_work_cost_less_and_less(cloud: World) -> None:
    found = pauses(cloud, fail=False)
    assert found == sorted(found) and found[-1] == 900.0, "each was paid for, however long it had waited for a host"


def test_after_one_that_never_worked_the_next_is_waited_for(cloud: World) -> None:
    first, *others = started(cloud)
    for name in (first, *others):
        made(cloud, name)
    for name in (first, *others):
        cloud.turn(InstanceEnded(instance=cloud.state.instance_for[name], reason="OpenNebula could not start it"))
    cloud.wait(2.0)
    (name,) = started(cloud)
    made(cloud, name)
    cloud.wait(10.0)
    assert started(cloud) == []
    worker = cloud.worker(name, pool="cloud", slots=1)
    cloud.wait(3.0, worker)
    assert len(started(cloud)) > 1


def test_one_bad_machine_of_many_holds_up_no_other(cloud: World) -> None:
    first, second, *others = started(cloud)
    for name in (first, second, *others):
        made(cloud, name)
    cloud.turn(InstanceEnded(instance=cloud.state.instance_for[first], reason="OpenNebula could not start it"))
    worker = cloud.worker(second, pool="cloud", slots=1)
    assert cloud.state.pools["cloud"].crashes == 0
    cloud.wait(3.0, worker)
    assert len(started(cloud)) == 1, "in its place"


# --- machines that no host has taken -----------------------------------------------------------------


def learned(cloud: World) -> tuple[list[FakeWorker], list[str]]:
    """Three have booted in 10 s, so that a hello is waited for 60 s; and the others that were asked for."""
    first, second, third, *others = started(cloud)
    cloud.wait(10.0)
    workers = [boot(cloud, name) for name in (first, second, third)]
    assert cloud.state.pools["cloud"].boot_timeout(CLOUD) == pytest.approx(60.0)
    return workers, others


def test_a_machine_that_waits_for_a_host_is_no_boot_that_takes_too_long(cloud: World) -> None:
    workers, (name, *others) = learned(cloud)
    made(cloud, name, waiting=True)
    for other in others:
        made(cloud, other)
    cloud.wait(70.0, *workers)
    assert stopped(cloud) == others
    cloud.turn(InstancePlaced(instance=cloud.state.instance_for[name]))
    cloud.wait(50.0, *workers)
    assert name not in stopped(cloud)
    cloud.wait(15.0, *workers)
    assert name in stopped(cloud), "from then on it is a boot like others"


def test_a_machine_that_is_never_taken_is_given_up_after_what_the_settings_say(cloud: World) -> None:
    workers, (name, *others) = learned(cloud)
    refuse(cloud, *others)
    made(cloud, name, waiting=True)
    cloud.wait(CLOUD.boot_timeout + 5.0, *workers)
    assert name in stopped(cloud)


def test_boots_that_have_become_longer_meanwhile_are_waited_for_longer(cloud: World) -> None:
    workers, (slow, slower, _) = learned(cloud)
    made(cloud, slow)
    made(cloud, slower)
    cloud.wait(55.0, *workers)
    workers.append(cloud.worker(slow, pool="cloud", slots=1))
    cloud.wait(40.0, *workers)
    assert slower not in stopped(cloud)


def test_one_that_is_not_made_is_reported_as_such(cloud: World) -> None:
    _, (name, *_) = learned(cloud)
    number = cloud.state.instance_for[name]
    cloud.wait(CLOUD.boot_timeout + 5.0)
    assert name in stopped(cloud)
    assert cloud.state.instances[number].row.reason == "its provider has not made it within 300 s"
    cloud.turn(InstanceEnded(instance=number, reason="it was not begun yet"))
