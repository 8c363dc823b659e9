"""Replaced tasks through the database and back: what the scheduler holds after such a push is what is read."""

from __future__ import annotations

from boss.core.events import Submitted
from boss.core.rows import Changes, Known, ResultRow
from boss.database import Database
from boss.database.store import DatabaseStore
from boss.turn import decide, record
from tests.worlds.database import Push, database
from tests.worlds.database_pushes import EMPTY, agree, all_succeed, one_push, started, submission
from wire.messages import Execution, Input

__all__ = ["database"]


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


def test_edges_to_other_batches_are_written_again(database: Database) -> None:
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
        decided = decide(boss, store, [Submitted(submission=made, known=Known())], boss.state.now + 1.0, 1.0)
        record(decided, store, 1.0)
        assert store.executions([1])[1][2] == made.executions[0]
