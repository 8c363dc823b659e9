"""The real scheduler through the database and back: what it accepted is what the next start restores."""

from __future__ import annotations

from boss.core.check import check
from boss.core.events import Submitted
from boss.core.policy import Policy
from boss.core.rows import Known
from boss.core.scheduler import Scheduler
from boss.database import Database
from boss.database.store import DatabaseStore
from boss.turn import decide, record
from tests.worlds.database import Push


def one_turn(database: Database, scheduler: Scheduler, now: float, push: Push) -> None:
    store = DatabaseStore(database, None)  # type: ignore[arg-type]  # no spool is needed
    pushed = Submitted(submission=push.submission(), known=Known())
    record(decide(scheduler, store, [pushed], now, now), store, now)


def started(database: Database) -> Scheduler:
    scheduler = Scheduler(Policy())
    scheduler.restore(database.load(), 0.0, 0.0)
    return scheduler


def test_what_was_accepted_is_what_the_next_start_restores(database: Database) -> None:
    first = started(database)
    one_turn(database, first, 1.0, Push({"a": [], "b": ["a"], "c": ["a", "b"]}, results=[("a.out", "a")]))
    one_turn(database, first, 2.0, Push({"a": [], "d": ["a"]}, results=[("a.out", "a")]))
    check(first.state)
    second = started(database)
    check(second.state)
    for number, batch in first.state.batches.items():
        restored = second.state.batches[number]
        assert restored.row == batch.row
        assert (restored.states, restored.counts) == (batch.states, batch.counts)
    assert second.state.next_task == first.state.next_task == 5
    assert database.lookups.task_numbers("default", ["a", "b", "c", "d"]) == {"a": 1, "b": 2, "c": 3, "d": 4}
