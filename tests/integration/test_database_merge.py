"""Replaced tasks through the database and back: what the scheduler holds after such a push is what is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from boss.core.check import check
from boss.core.events import BatchesLoaded, Submitted
from boss.core.merge import batches_concerned
from boss.core.model import Submission, TaskState
from boss.core.policy import Policy
from boss.core.rows import Changes, ResultRow
from boss.core.scheduler import Scheduler
from boss.database import Database
from boss.database.store import DatabaseStore
from tests.worlds.database import Push, database, moved
from wire.messages import Execution, Input

__all__ = ["database"]

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


def test_replaced_tasks_and_what_is_below_them_are_read_back_as_they_are_held(database: Database) -> None:
    one_push(database, started(database), Push({"a": [], "b": ["a"], "c": ["b"]}))
    one_push(database, all_succeed(database, [1, 2, 3], [1]), Push({"d": []}), outside={"d": ["c"]})
    boss = all_succeed(database, [1, 2, 3, 4], [1, 2])
    assert not boss.state.batches
    new = Push({"a": ["e"], "e": []}, executions={"a": Execution(commands=["something longer than before"])})
    one_push(database, boss, new, "replace", ["a"])
    assert [bytes(boss.state.batches[number].states) for number in (1, 2, 3)] == [b"\x00\x00\x00", b"\x00", b"\x01"]
    agree(database, boss)
    assert database.lookups.executions([1])[1][2] == new.submission().executions[0]
    assert database.lookups.task_numbers("default", ["a", "b", "c", "d", "e"]) == {
        "a": 1,
        "b": 2,
        "c": 3,
        "d": 4,
        "e": 5,
    }


def test_edges_to_other_batches_are_written_anew(database: Database) -> None:
    one_push(database, started(database), Push({"a": [], "x": []}))
    boss = started(database)
    one_push(database, boss, Push({"b": []}), outside={"b": ["a"]})
    one_push(database, boss, Push({"b": []}), "replace", ["b"], outside={"b": ["x"]})
    agree(database, boss)
    assert boss.state.crossing == {2: [3]}
    _, _, crossing = database.load_batches([2])
    assert crossing == [(2, 3)]


def test_names_that_are_not_declared_any_more_are_forgotten_and_others_keep_what_is_published(
    database: Database,
) -> None:
    one_push(database, started(database), Push({"a": [], "b": []}, results=[("old", "a"), ("both", "a"), ("b", "b")]))
    published = ResultRow("default", "both", 1, 1, "b2:" + "1" * 64, 5)
    database.commit(Changes(results={("default", "both"): published}), 2.0)
    boss = all_succeed(database, [1, 2], [1])
    one_push(database, boss, Push({"a": []}, results=[("new", "a"), ("both", "a")]), "replace", ["a"])
    assert database.lookups.result_names([1, 2]) == {1: ["both", "new"], 2: ["b"]}
    one_push(database, boss, Push({"c": []}, requirements={"c": [Input(name="both", path="both")]}))
    (bound,) = database.lookups.requirements([3])[3]
    assert bound.digest == published.digest


def test_a_remembered_description_is_not_sent_for_a_replaced_task(database: Database) -> None:
    store = DatabaseStore(database, None)  # type: ignore[arg-type]
    boss = started(database)
    for changed, strategy in (("one", ""), ("two", "replace")):
        push = Push({"a": []}, executions={"a": Execution(commands=[changed])})
        made = submission(push, strategy, ["a"] if strategy else [], EMPTY)
        boss.begin(boss.state.now + 1, 1.0)
        boss.handle(Submitted(submission=made, known=store.known(made)))
        boss.settle()
        store.commit(boss.take()[0], 1.0)
        assert store.executions([1])[1][2] == made.executions[0]
