"""Dropped tasks through the database and back: out of every list, and the next push takes their ids up."""

from __future__ import annotations

import pytest

from boss.core.events import DropTasksAsked, Selection
from boss.core.model import TaskState
from boss.core.rows import Changes, ResultRow
from boss.core.scheduler import Scheduler
from boss.database import Database
from boss.database.store import DatabaseStore
from boss.turn import decide, record
from tests.worlds.database import Push, attempt, database, moved, worker
from tests.worlds.database_pushes import agree, all_succeed, one_push, started, submission

__all__ = ["database"]

GRAPH: dict[str, list[str]] = {"a": [], "b": ["a"], "c": []}


def drop(database: Database, scheduler: Scheduler, *tasks: int, states: tuple[int, ...] = ()) -> None:
    store = DatabaseStore(database, None)  # type: ignore[arg-type]  # no spool is needed
    asked = DropTasksAsked(selection=Selection(tasks=list(tasks)), states=list(states))
    now = scheduler.state.now + 1.0
    record(decide(scheduler, store, [asked], now, now), store, now)


@pytest.fixture
def boss(database: Database) -> Scheduler:
    """All of a batch has succeeded, with a result each."""
    one_push(database, started(database), Push(GRAPH, results=[(f"{id}.out", id) for id in GRAPH]))
    scheduler = all_succeed(database, [1, 2, 3], [1])
    rows = {
        ("default", f"{id}.out"): ResultRow("default", f"{id}.out", n, 1, "b2:0", 1) for n, id in enumerate(GRAPH, 1)
    }
    ends = {(n, 1): attempt(n, phase="collecting", ended="succeeded") for n in (1, 2, 3)}
    database.commit(Changes(results=rows, attempts=ends, workers={"worker-1": worker(state="gone")}), 2.0)
    return scheduler


def test_they_are_in_no_list_and_no_count(database: Database, boss: Scheduler) -> None:
    drop(database, boss, 1, 2)
    reads, lookups = database.reads, database.lookups
    assert [line.id for line in reads.tasks_of()] == ["c"]
    assert [line.id for line in reads.tasks_of([TaskState.SUCCEEDED], batch=1)] == ["c"]
    assert [line.id for line in reads.task_lines([1, 2, 3])] == ["c"]
    assert reads.task_detail(1) is None and reads.task_detail(3) is not None
    assert reads.counts() == [0, 0, 0, 1, 0, 0, 0]
    assert lookups.task_numbers("default", ["a", "b", "c"]) == {"c": 3}
    assert lookups.states([1, 2, 3]) == {3: TaskState.SUCCEEDED}
    assert [line.name for line in reads.results_of("default")] == ["c.out"]


def test_a_push_knows_them_by_their_ids_and_not_as_dependencies(database: Database, boss: Scheduler) -> None:
    drop(database, boss, 1)
    known = database.lookups.known(Push(GRAPH).submission())
    assert known.dropped == {"a"} and known.tasks["a"][0] == 1
    below = database.lookups.known(submission(Push({"d": []}), "", [], {"d": ["a", "b"]}))
    assert set(below.tasks) == {"b"} and not below.dropped


def test_what_is_pushed_again_is_read_back_as_it_is_held(database: Database, boss: Scheduler) -> None:
    drop(database, boss, 1, 2)
    one_push(database, boss, Push({"a": [], "x": ["a"]}), changed=["a"])
    assert bytes(boss.state.batches[1].states) == bytes([TaskState.QUEUED, TaskState.SUCCEEDED, TaskState.SUCCEEDED])
    assert boss.state.batches[1].counts == [0, 1, 0, 1, 0, 0, 0]
    agree(database, boss)
    assert [line.id for line in database.reads.tasks_of()] == ["a", "c", "x"]


def test_the_next_boss_knows_which_are_dropped(database: Database) -> None:
    scheduler = started(database)
    one_push(database, scheduler, Push(GRAPH))
    drop(database, scheduler, 1, 2, states=(TaskState.QUEUED,))
    agree(database, scheduler)
    (batch,) = started(database).state.batches.values()
    assert batch.counts == [0, 1, 0, 0, 0, 0, 1]  # c waits; b is blocked, as a will not come


def test_nothing_is_wrong_with_the_rows(database: Database, boss: Scheduler) -> None:
    drop(database, boss, 1, 2, 3)
    assert database.audit.dangling() == []


def test_a_state_of_before_is_not_dropped(database: Database) -> None:
    """Rows of before there were dropped tasks have nothing in that column."""
    one_push(database, started(database), Push(GRAPH))
    database.commit(Changes(tasks={1: moved(1, TaskState.FAILED)}), 1.0)
    with database._writers.begin() as connection:
        connection.exec_driver_sql("UPDATE task_states SET dropped = NULL")
    assert [line.id for line in database.reads.tasks_of()] == ["a", "b", "c"]
    assert started(database).state.batches[1].row.number == 1
