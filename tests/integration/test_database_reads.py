"""Lists and lookups for users and for the loop, on SQLite and on a real MariaDB."""

from __future__ import annotations

import pytest

from boss.core.rows import Changes
from boss.database import Database, NoDatabaseError
from tests.worlds.database import B, F, P, Push, Q, R, S, attempt, content, moved, push, worker

ODD_IDS = ["A", "a", "a ", " a", "ä", "a\u0308", "🚰", "日本語", "it's", '"', "%", "\\", "b" * 255, "ß", "ss", "SS"]


def test_ids_are_compared_byte_by_byte(database: Database) -> None:
    push(database, {id: [] for id in ODD_IDS})
    assert database.lookups.task_numbers("default", ODD_IDS) == {id: i for i, id in enumerate(ODD_IDS, 1)}
    assert database.lookups.task_numbers("default", ["B", "a  ", "SSS"]) == {}
    assert database.lookups.task_numbers("Default", ["a"]) == {}
    assert [line.id for line in database.reads.tasks_of()] == ODD_IDS


def test_the_same_id_may_stand_in_two_projects(database: Database) -> None:
    push(database, {"a": []}, project="one")
    push(database, {"a": []}, project="two", first=2, batch=2)
    assert database.lookups.task_numbers("one", ["a"]) == {"a": 1}
    assert [line.number for line in database.reads.tasks_of(project="two")] == [2]


def test_an_empty_project_knows_nothing(database: Database) -> None:
    push(database, {"a": []}, project="other")
    known = database.lookups.known(Push({"a": []}).submission())
    assert not known.tasks and not known.results


def test_what_a_project_knows_of_a_push(database: Database) -> None:
    push(database, {"a": [], "b": ["a"], "c": ["b"]}, results=[("x/a.out", "a"), ("x/b.out", "b")])
    database.commit(Changes(tasks={1: moved(1, S)}), 2.0)
    coming = Push({"a": [], "new": []}, results=[("x/a.out", "new")]).submission()
    coming.external = [(1, "b"), (1, "nowhere")]
    coming.external_names = [(1, "x/b.out"), (1, "x/none")]
    known = database.lookups.known(coming)
    assert known.tasks == {"a": (1, S, content("a"), 1), "b": (2, P, content("b"), 1)}
    assert known.results == {"x/a.out": (1, S, "a"), "x/b.out": (2, P, "b")}


def test_a_large_push_is_looked_up_in_parts(database: Database) -> None:
    ids = [f"task {number}" for number in range(2500)]
    push(database, {id: [] for id in ids}, results=[(f"{id}.out", id) for id in ids])
    known = database.lookups.known(Push({id: [] for id in ids}, results=[(f"{id}.out", id) for id in ids]).submission())
    assert [known.tasks[id][0] for id in ids] == list(range(1, 2501))
    assert len(known.results) == 2500
    assert len(database.lookups.executions(range(1, 2501))) == 2500
    assert len(database.lookups.states(range(1, 2501))) == 2500
    assert len(database.reads.task_lines(range(1, 2501))) == 2500


@pytest.fixture
def mixed(database: Database) -> Database:
    """One task in each state, and another batch."""
    push(database, {"p": ["q"], "q": [], "r": [], "s": [], "f": [], "b": ["f"]}, states={"b": B})
    push(database, {"x": []}, first=7, batch=2, project="other")
    changes = Changes(
        tasks={3: moved(3, R, 1), 4: moved(4, S, 1), 5: moved(5, F, 2, "exit code 3")},
        attempts={
            (3, 1): attempt(3, phase="executing", began_at=8.0),
            (4, 1): attempt(4, ended="succeeded", exit_code=0),
            (5, 1): attempt(5, ended="lost"),
            (5, 2): attempt(5, 2, ended="failed", exit_code=3, command="false", reason="exit code 3"),
        },
        workers={"worker-1": worker()},
    )
    database.commit(changes, 2.0)
    return database


def ids(database: Database, **asked: object) -> list[str]:
    return [line.id for line in database.reads.tasks_of(**asked)]  # type: ignore[arg-type]


def test_tasks_are_listed_by_state_batch_and_project(mixed: Database) -> None:
    assert ids(mixed) == ["p", "q", "r", "s", "f", "b", "x"]
    assert ids(mixed, states=[Q]) == ["q", "x"]
    assert ids(mixed, states=[P, Q], batch=1) == ["p", "q"]
    assert ids(mixed, states=[F, B]) == ["f", "b"]
    assert ids(mixed, states=[F]) == ["f"]
    assert ids(mixed, states=[R, S]) == ["r", "s"]
    assert ids(mixed, project="other") == ["x"]
    assert ids(mixed, batch=99) == []


def test_lists_go_on_after_a_number_or_an_offset(mixed: Database) -> None:
    assert ids(mixed, limit=2) == ["p", "q"]
    assert ids(mixed, limit=2, after=2) == ["r", "s"]
    assert ids(mixed, limit=2, offset=5) == ["b", "x"]


def test_a_line_tells_what_the_newest_attempt_is_about(mixed: Database) -> None:
    (running,) = mixed.reads.tasks_of([R])
    assert (running.worker, running.address, running.phase) == ("worker-1", "127.0.0.1", "executing")
    (failed,) = mixed.reads.tasks_of([F], with_execution=True)
    assert (failed.attempt, failed.exit_code, failed.reason) == (2, 3, "exit code 3")
    assert failed.execution is not None and failed.execution.commands == ["echo f"]
    (queued,) = mixed.reads.tasks_of([Q], batch=1)
    assert (queued.attempt, queued.worker, queued.exit_code, queued.execution) == (0, "", None, None)


def test_counts_are_the_sums_over_batches(mixed: Database) -> None:
    assert mixed.reads.counts() == [1, 5, 0, 0, 0, 0, 1]
    assert [row.number for row in mixed.reads.batches()] == [1, 2]
    found = mixed.reads.batch(2)
    assert found is not None and found.project == "other"
    assert mixed.reads.batch(3) is None


def test_a_reader_beside_the_boss_takes_nothing_and_sees_each_turn(mixed: Database, database_url: str) -> None:
    reader = Database.open_to_read(database_url)
    assert ids(reader, states=[Q]) == ["q", "x"]
    mixed.commit(Changes(tasks={2: moved(2, R)}), 3.0)
    assert ids(reader, states=[Q]) == ["x"]
    assert reader.deployment == mixed.deployment
    reader.close()
    mixed.commit(Changes(tasks={2: moved(2, S)}), 4.0)


def test_where_no_boss_has_run_there_is_no_database_to_read(database_url: str) -> None:
    with pytest.raises(NoDatabaseError, match="no boss has"):
        Database.open_to_read(database_url)
