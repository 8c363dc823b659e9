"""What the database knows of earlier versions of a push, on both databases; the simulation's model says the same."""

from __future__ import annotations

from array import array

import msgspec

from boss.core.merge import Push as NumberedPush
from boss.core.merge import find
from boss.core.model import InitSpec, Submission, TaskState
from boss.core.plan import Changed
from boss.core.plan import of as plan_of
from boss.core.rows import AttemptRow, BatchRow, Changes, ResultRow
from boss.database import Database
from tests.worlds.database import Push, database, moved
from tests.worlds.database_pushes import all_succeed, one_push, started
from wire.messages import Execution, Input

__all__ = ["database"]

ONE, TWO = "b2:" + "1" * 64, "b2:" + "2" * 64


def named(push: Push, name: str, **more: object) -> Submission:
    return msgspec.structs.replace(push.submission(), name=name, **more)


def commit(database: Database, push: Push, name: str, **more: object) -> None:
    accepted = push.accepted()
    accepted.batch = msgspec.structs.replace(accepted.batch, name=name, **more)
    database.commit(Changes(accepted=[accepted]), 1.0)


def test_ids_of_another_batch_are_foreign_and_its_row_comes_along(database: Database) -> None:
    commit(database, Push({"a": [], "b": []}), "one", submitter="ana", source="1" * 32)
    known = database.lookups.known(named(Push({"a": [], "c": []}), "two", submitter="ana"))
    assert known.foreign == {"a": 1}
    assert (known.batches[1].name, known.batches[1].submitter, known.batches[1].source) == ("one", "ana", "1" * 32)
    assert not known.left_out
    assert not database.lookups.known(named(Push({"a": []}), "one", submitter="ana")).foreign
    assert database.lookups.known(named(Push({"a": []}), "one", submitter="bob")).foreign
    assert database.lookups.known(named(Push({"a": []}), "One", submitter="ana")).foreign, "letter by letter"


def test_what_a_version_took_over_is_its_own(database: Database) -> None:
    commit(database, Push({"a": [], "b": []}), "one")
    commit(database, Push({"a": [], "c": []}, first=3, batch=2, kept={"a": 1}), "two")
    known = database.lookups.known(named(Push({"a": [], "b": [], "c": []}), "two"))
    assert known.foreign == {"b": 1}


def test_tasks_that_are_not_in_the_file_any_more_are_listed_unless_they_are_dropped(database: Database) -> None:
    commit(database, Push({"a": [], "b": [], "c": []}), "one")
    commit(database, Push({"a": [], "d": []}, first=4, batch=2, kept={"a": 1}), "one")
    commit(database, Push({"e": []}, first=5, batch=3), "other")
    gone = moved(3, TaskState.CANCELLED)
    gone.dropped = True
    row = BatchRow(1, "default", "one", 1, 3, [0, 2, 0, 0, 0, 0, 0])
    database.commit(Changes(tasks={3: gone}, batches={1: row}), 2.0)
    left = database.lookups.known(named(Push({"a": []}), "one")).left_out
    assert [(task.id, task.number, task.batch) for task in left] == [("b", 2, 1), ("d", 4, 2)]
    assert not database.lookups.known(named(Push({"a": [], "b": [], "d": []}), "one")).left_out


def test_what_has_changed_is_said_in_the_words_of_a_task_file(database: Database) -> None:
    one_push(database, started(database), Push({"a": [], "b": [], "c": ["a"]}))
    boss = all_succeed(database, [1, 2, 3], [1])
    push = Push(
        {"a": [], "b": [], "c": []},
        executions={"a": Execution(commands=["other"], timeout=5.0)},
        requirements={"b": [Input(name="x", path="x", digest=ONE)]},
    )
    made = push.submission()
    made.contents = [b"another content " for _ in made.ids]
    known = database.lookups.known(made)
    numbered = NumberedPush(made, array("q", [1, 2, 3]), array("q", [0, 0, 0, 0]), array("q"))
    plan = plan_of(boss.state, numbered, known, find(made, known), [], [])
    assert plan.changes == [
        Changed("a", ["commands", "timeout"]),
        Changed("b", ["requirements"]),
        Changed("c", ["dependencies"]),
    ]


def test_the_inputs_of_a_task_are_compared_with_those_of_its_attempt(database: Database) -> None:
    """a and order come before b, which requires what a leaves."""
    needs = [Input(name="out", path="in"), Input(name="sent", path="sent", digest=TWO, size=3)]
    push = Push({"a": [], "order": [], "b": ["a", "order"]}, results=[("out", "a")], requirements={"b": needs})
    push.project = "leaks"
    commit(database, push, "one")
    given = [
        Input(name="projects/leaks/out", path="in", digest=ONE, size=5),
        Input(name="projects/leaks/sent", path="sent", digest=TWO, size=3),
    ]
    row = AttemptRow(3, 1, "w", "w.1", "executing", ended="succeeded", inputs=msgspec.json.encode(given))
    result = ResultRow("leaks", "out", 1, 1, ONE, 5)
    tasks = {number: moved(number, TaskState.SUCCEEDED, 1) for number in (1, 2, 3)}
    database.commit(Changes(tasks=tasks, attempts={(3, 1): row}, results={("leaks", "out"): result}), 2.0)
    same = database.lookups.same_inputs
    assert same([(3, 1, [1])]) == {3}
    assert same([(3, 1, [])]) == {3}
    assert same([(3, 1, [1, 2])]) == set(), "order hands it nothing"
    assert same([(3, 2, [1])]) == set(), "there is no such attempt"
    database.commit(Changes(results={("leaks", "out"): msgspec.structs.replace(result, digest=TWO)}), 3.0)
    assert same([(3, 1, [1])]) == set()


def test_what_is_published_of_succeeded_tasks_is_listed_with_full_names(database: Database) -> None:
    push = Push({"a": [], "b": []}, results=[("out", "a"), ("p/*.csv", "a"), ("never", "b")], project="leaks")
    commit(database, push, "one")
    results = {
        ("leaks", name): ResultRow("leaks", name, 1, 1, digest, 5) for name, digest in (("out", ONE), ("p/x.csv", TWO))
    }
    database.commit(Changes(tasks={1: moved(1, TaskState.SUCCEEDED, 1)}, results=results), 2.0)
    found = database.lookups.published(named(push, "one"))
    assert sorted(found) == [("a", "projects/leaks/out", ONE, 5), ("a", "projects/leaks/p/x.csv", TWO, 5)]


def test_the_note_of_a_task_that_is_not_up_to_date_is_read_back(database: Database) -> None:
    commit(database, Push({"a": [], "b": ["a"]}), "one")
    row = moved(2, TaskState.SUCCEEDED, 1)
    row.outdated = b"\1" + bytes(7) + b"\1" + bytes(7)
    database.commit(Changes(tasks={2: row}), 2.0)
    assert database.lookups.known(named(Push({"a": [], "b": []}), "one")).outdated == {"b"}
    assert database.load().batches[0].outdated == {2: row.outdated}
    database.commit(Changes(tasks={2: moved(2, TaskState.SUCCEEDED, 1)}), 3.0)
    assert not database.load().batches[0].outdated


def test_an_init_task_is_found_by_its_id_with_its_executions(database: Database) -> None:
    spec = InitSpec(id="fetch", execution=msgspec.json.encode(Execution(commands=["false"])))
    commit(database, Push({"a": []}, inits=[spec], project="leaks"), "one")
    assert database.reads.init_tasks("leaks", "fetch") == [2]
    assert database.reads.init_tasks("default", "fetch") == database.reads.init_tasks("leaks", "a") == []
    untried = database.reads.init_detail(2)
    assert untried is not None and untried.task.state == "queued" and database.reads.init_detail(1) is None
    row = AttemptRow(2, 3, "w", "w.1", "executing", ended="failed", reason="exit code 1", exit_code=1, stderr_tail="no")
    database.commit(Changes(attempts={(2, 3): row}), 2.0)
    stored = database.reads.init_detail(2)
    assert stored is not None and stored.execution.commands == ["false"]
    assert (stored.task.id, stored.task.project, stored.task.batch) == ("fetch", "leaks", 1)
    assert (stored.task.state, stored.task.reason, stored.task.worker) == ("failed", "exit code 1", "w")
    assert [one.stderr_tail for one in stored.attempts] == ["no"]
