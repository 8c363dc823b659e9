"""A worker's disk that fills up: what has ended goes at once, what grows is stopped, what exceeds its limit fails."""

from __future__ import annotations

import pytest

from tests.worlds.agent import World, run
from wire.messages import ManifestEntry, Outcome, ResultFolder
from worker.agent.effects import KeepOutcome, KillExecution, RemoveAttempt
from worker.agent.events import DiskMeasured, ExecutionEnded, SizesMeasured

MIB = 1024 * 1024
ENTRY = ManifestEntry(source="out", target="out", size=1, digest="b2:" + "0" * 64)


def started(*tasks: int, **options: int) -> World:
    world = World(slots=len(tasks), **options)
    world.order(*(run(task) for task in tasks))
    world.clear()
    return world


def measured(world: World, *grown: tuple[int, int], low: bool = True) -> list[tuple[int, str]]:
    """Which tasks are stopped, and why."""
    world.clear()
    world.event(SizesMeasured([(task, 1, size) for task, size in grown], 1_000, low))
    return [(kill.task, kill.reason) for kill in world.did(KillExecution)]


@pytest.mark.parametrize(
    ("outcome", "goes"),
    [
        ({"ended": "failed", "exit_code": 1}, True),
        ({"ended": "succeeded"}, True),
        ({"ended": "timed_out"}, True),
        ({"ended": "succeeded", "manifest": [ENTRY]}, False),
        ({"ended": "succeeded", "folders": [ResultFolder(source="d", target="d")]}, False),
    ],
)
def test_a_directory_of_which_nothing_is_to_be_collected_goes_before_the_boss_has_answered(
    outcome: dict[str, object], goes: bool
) -> None:
    world = started(1)
    world.event(ExecutionEnded(Outcome(task=1, attempt=1, **outcome), leftovers=True))  # type: ignore[arg-type]
    assert [type(effect) for effect in world.effects] == [KeepOutcome, RemoveAttempt][: 1 + goes]
    world.clear()
    world.acknowledge((1, 1))
    assert len(world.did(RemoveAttempt)) == (not goes)


def test_on_a_full_disk_what_has_written_most_is_stopped_one_after_the_other() -> None:
    world = started(1, 2, 3)
    ((task, reason),) = measured(world, (1, 2 * MIB), (2, 50 * MIB), (3, 3 * MIB))
    assert task == 2
    assert reason.startswith(
        "the worker's disk is full, 1,000 bytes are free, and this attempt has written more than any "
    )
    assert reason.endswith(" 52,428,800 bytes")
    assert [task for task, _ in measured(world, (1, 2 * MIB), (2, 50 * MIB), (3, 3 * MIB))] == [3], "2 is ending"


def test_it_is_the_disks_fault_and_not_the_tasks() -> None:
    world = started(1)
    measured(world, (1, 50 * MIB))
    world.end(1, ended="cancelled", reason="full")
    world.pass_time()
    (outcome,) = world.of(Outcome)
    assert (outcome.ended, outcome.fault, outcome.reason) == ("failed", "worker", "full")


@pytest.mark.parametrize("low", [False, True])
def test_what_exceeds_its_limit_fails_by_its_own_fault(low: bool) -> None:
    world = started(1, 2, attempt_disk_bytes=10 * MIB)
    ((task, reason),) = measured(world, (1, 11 * MIB), (2, 9 * MIB), low=low)
    assert (task, reason) == (
        1,
        "it has written 11,534,336 bytes: an attempt may write 10,485,760 (attempt_disk_bytes)",
    )
    world.end(1, ended="cancelled", reason=reason)
    world.pass_time()
    (outcome,) = world.of(Outcome)
    assert (outcome.ended, outcome.fault, outcome.reason) == ("failed", "task", reason)


def test_what_wrote_next_to_nothing_is_not_stopped_for_what_others_wrote() -> None:
    assert measured(started(1), (1, 1000)) == []


def test_nothing_is_stopped_while_there_is_room_and_no_limit() -> None:
    assert measured(started(1), (1, 10**12), low=False) == []


def test_what_has_ended_meanwhile_or_is_unknown_is_left_alone() -> None:
    world = started(1)
    world.end(1)
    assert measured(world, (1, 50 * MIB), (7, 60 * MIB)) == []


@pytest.mark.parametrize(
    ("low", "largest", "ended", "fault"),
    [(True, 1, "failed", "worker"), (True, 2, "cancelled", "task"), (False, 1, "failed", "task")],
)
def test_what_fails_while_the_disk_is_full_is_not_at_fault(low: bool, largest: int, ended: str, fault: str) -> None:
    """The largest is tried again as what its machine has failed, any other as if nothing had been."""
    world = started(1, 2)
    world.pass_time(1.0)
    world.event(DiskMeasured(1_000, low))
    measured(world, (largest, 50 * MIB), (3 - largest, MIB), low=low)
    world.end(1, ended="failed", exit_code=2, reason="the command exited with code 2")
    world.pass_time()
    (outcome,) = world.of(Outcome)
    assert (outcome.ended, outcome.fault, outcome.exit_code) == (ended, fault, 2)
    assert outcome.reason == "the command exited with code 2" + (
        "; the worker's disk was full meanwhile" if low else ""
    )


def test_a_disk_that_was_full_before_it_began_is_no_excuse() -> None:
    world = World()
    world.event(DiskMeasured(1_000, True))
    world.event(DiskMeasured(10**9, False))
    world.pass_time(1.0)
    world.order(run(1))
    world.end(1, ended="failed", exit_code=2, reason="it failed")
    world.pass_time()
    assert [outcome.fault for outcome in world.of(Outcome)] == ["task"]


def test_nothing_begins_while_what_fills_the_disk_is_being_stopped_but_not_for_ever() -> None:
    world = World()
    world.event(DiskMeasured(1_000, True))
    world.order(run(1))
    assert world.begun() == []
    world.event(DiskMeasured(10**9, False))
    assert world.begun() == [(1, 1)]
    world.event(DiskMeasured(1_000, True))
    world.order(run(2))
    for _ in range(20):
        world.pass_time(1.0)
        world.event(DiskMeasured(1_000, True))
    assert world.begun() == [(1, 1), (2, 1)], "another program may have filled it: attempts are to say so"
