"""The check sees wrong counters of dependencies, whatever batch those are of, and reasons without their kinds."""

from __future__ import annotations

import pytest

from boss.core.check import check
from boss.core.events import PauseAsked, QuarantineAsked, RetryAsked, Selection
from boss.core.graph import CROSSES
from boss.core.story import InvariantError
from tests.worlds.scheduler import World

#: Task `b` (2) below task `a` (1), in its batch or in a later one; `c` has time, so that all stays in memory.
PUSHES = [[{"a": "", "b": "a", "c": ""}], [{"a": ""}, {"b": "a", "c": ""}]]


@pytest.fixture(params=PUSHES, ids=["inside a batch", "across batches"])
def below(request: pytest.FixtureRequest, world: World) -> World:
    for graph in request.param:
        world.push(graph)
    world.ignore()
    return world


def fail(world: World) -> None:
    """Task 1, with a worker."""
    worker = world.worker()
    worker.began((1, 1))
    worker.ended(1, how="failed", exit_code=1)


@pytest.mark.parametrize("error", [1, -1], ids=["too high", "too low"])
def test_a_wrong_counter_of_unmet_dependencies_is_seen(below: World, error: int) -> None:
    found = below.state.find(2)
    assert found is not None
    batch, index = found
    batch.unmet[index] += error
    with pytest.raises(InvariantError, match=f"task 2: unmet {1 + error}, broken 0; counted in memory 1, 0"):
        check(below.state)
    batch.unmet[index] -= error


def test_a_counter_of_broken_dependencies_that_is_too_high_is_seen(below: World) -> None:
    fail(below)
    found = below.state.find(2)
    assert found is not None
    batch, index = found
    batch.broken[index] += 1
    with pytest.raises(InvariantError, match="task 2: unmet 1, broken 2; counted in memory 1, 1"):
        check(below.state)
    batch.broken[index] -= 1
    below.ignore()


def test_a_task_whose_dependency_is_not_in_memory_is_counted_by_what_is_marked(world: World) -> None:
    world.push({"a": ""})
    fail(world)
    world.push({"b": "a", "c": ""})
    assert 1 not in world.state.batches
    found = world.state.find(2)
    assert found is not None
    batch, index = found
    assert (batch.unmet[index], batch.broken[index]) == (1, 1)
    batch.flags[index] &= ~CROSSES
    with pytest.raises(InvariantError, match="task 2: unmet 1, broken 1; counted in memory 0, 0"):
        check(world.state)
    batch.flags[index] |= CROSSES
    world.ignore()
    world.ask(RetryAsked(selection=Selection(tasks=[1])))
    assert world.states("a", "b") == "queued pending"
    world.ignore()


def test_a_quarantine_that_its_row_does_not_have_whole_is_seen(world: World) -> None:
    worker = world.worker()
    world.turn(QuarantineAsked(worker="w", reason="odd"))
    worker.seen.row.quarantined_kind = ""
    with pytest.raises(InvariantError, match="worker w is quarantined for Quarantine.*, its row has"):
        check(world.state)
    worker.seen.row.quarantined_kind = "operator"
    world.ignore()


def test_a_pause_without_a_kind_is_seen(world: World) -> None:
    world.push({"a": ""})
    world.turn(PauseAsked(batch=1, reason="lunch"))
    row = world.state.batches[1].row
    row.paused_kind = ""
    with pytest.raises(InvariantError, match="batch 1 is paused for"):
        check(world.state)
    row.paused_kind = "operator"
