"""Pushes that a scheduler merges into what a database holds, and the next boss, which reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from boss.core.check import check
from boss.core.events import BatchesLoaded, Submitted
from boss.core.merge import batches_concerned
from boss.core.model import Submission, TaskState
from boss.core.policy import Policy
from boss.core.rows import Changes
from boss.core.scheduler import Scheduler
from boss.database import Database
from boss.database.store import DatabaseStore
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
    made, state = submission(push, strategy, changed, outside), scheduler.state
    known = database.lookups.known(made)
    scheduler.begin(state.now + 1.0, state.now + 1.0)
    absent = [number for number in batches_concerned(made, known) if number not in state.batches]
    if absent:
        store = DatabaseStore(database, None)  # type: ignore[arg-type]
        loaded, states, crossing = store.batches_for([], absent, list(state.batches))
        scheduler.handle(BatchesLoaded(batches=loaded, outside=states, crossing=crossing))
    scheduler.handle(Submitted(submission=made, known=known))
    scheduler.settle()
    changes, _ = scheduler.take()
    assert changes.accepted
    database.commit(changes, state.now)


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
