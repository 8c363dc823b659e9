"""Pushes that a scheduler merges into what a database holds, and the next boss, which reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from boss.core.check import check
from boss.core.events import Submitted
from boss.core.model import Submission, TaskState
from boss.core.policy import Policy
from boss.core.rows import Changes, Known
from boss.core.scheduler import Scheduler
from boss.database import Database
from boss.database.store import DatabaseStore
from boss.turn import decide, record
from tests.worlds.database import Push, moved

EMPTY: Mapping[str, Sequence[str]] = {}


def started(database: Database) -> Scheduler:
    scheduler = Scheduler(Policy())
    scheduler.restore(DatabaseStore(database, None).load(), 0.0, 0.0)  # type: ignore[arg-type]  # no spool is needed
    return scheduler


def submission(push: Push, strategy: str, changed: Sequence[str], outside: Mapping[str, Sequence[str]]) -> Submission:
    made = push.submission()
    made.merge_strategy = strategy
    for id in changed:
        made.contents[made.ids.index(id)] = b"another content "
    made.external = [(made.ids.index(id), needed) for id, all_needed in outside.items() for needed in all_needed]
    return made


def one_push(
    database: Database,
    scheduler: Scheduler,
    push: Push,
    strategy: str = "",
    changed: Sequence[str] = (),
    outside: Mapping[str, Sequence[str]] = EMPTY,
) -> None:
    store = DatabaseStore(database, None)  # type: ignore[arg-type]
    pushed = Submitted(submission=submission(push, strategy, changed, outside), known=Known())
    now = scheduler.state.now + 1.0
    decided = decide(scheduler, store, [pushed], now, now)
    assert decided.changes.accepted
    record(decided, store, now)


def all_succeed(database: Database, numbers: Sequence[int], batches: Sequence[int]) -> Scheduler:
    """As if all had run; and the next boss."""
    rows = database.reads.batches()
    for row in rows:
        if row.number in batches:
            row.counts = [0, 0, 0, row.count, 0, 0, 0]
            row.finished_at = 1.0
    done = Changes(tasks={number: moved(number, TaskState.SUCCEEDED, 1) for number in numbers})
    done.batches = {row.number: row for row in rows}
    database.commit(done, 1.0)
    return started(database)


def agree(database: Database, first: Scheduler) -> None:
    second = started(database)
    check(first.state)
    check(second.state)
    assert second.state.batches.keys() == first.state.batches.keys()
    for number, batch in second.state.batches.items():
        held = first.state.batches[number]
        assert (batch.states, batch.unmet, batch.broken) == (held.states, held.unmet, held.broken)
        assert (batch.attempts, batch.sizes, batch.counts) == (held.attempts, held.sizes, held.counts)
        edges = [sorted(batch.dependants_of(index)) for index in range(batch.count)]
        assert edges == [sorted(held.dependants_of(index)) for index in range(batch.count)]
        assert [batch.profile(i) for i in range(batch.count)] == [held.profile(i) for i in range(held.count)]
        assert batch.row == held.row
    crossing = {number: sorted(to) for number, to in second.state.crossing.items()}
    assert crossing == {number: sorted(first.state.crossing[number]) for number in crossing}
