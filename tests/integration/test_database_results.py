"""Lists and sums of results, and which sent contents are known, on SQLite and on a real MariaDB."""

from __future__ import annotations

from boss.core.rows import Changes, FileRow, ResultRow
from boss.database import Database
from tests.worlds.database import attempt, push

A, B, C = (f"b2:{letter * 64}" for letter in "abc")


def results(database: Database, project: str = "default", *rows: tuple[str, int, str, int]) -> None:
    made = {(project, name): ResultRow(project, name, task, 1, digest, size) for name, task, digest, size in rows}
    attempts = {(row.task, 1): attempt(row.task, ended="succeeded", ended_at=99.0) for row in made.values()}
    database.commit(Changes(results=made, attempts=attempts), 2.0)


def test_results_are_listed_page_by_page_in_order_of_task(database: Database) -> None:
    names = [(f"out/{task}-{number}", f"t{task}") for task in (1, 2, 3) for number in (1, 2)]
    push(database, {"t1": [], "t2": [], "t3": []}, results=names)
    results(database, "default", *((name, int(id[1]), A, 5) for name, id in names[:5]))
    listed, after = [], (0, b"")
    while page := database.reads.results_of(after=after, limit=2):
        listed += page
        after = (page[-1].task, page[-1].key)
    assert [(line.task, line.id) for line in listed] == [(1, "t1"), (1, "t1"), (2, "t2"), (2, "t2"), (3, "t3")]
    assert {line.name for line in listed} == {name for name, _ in names[:5]}
    assert {(line.digest, line.size, line.time) for line in listed} == {(A, 5, 99.0)}
    assert [line.task for line in database.reads.results_of(first=2, last=2)] == [2, 2]


def test_a_result_is_found_by_its_exact_name_in_its_project_only(database: Database) -> None:
    push(database, {"a": []}, results=[("x/A", "a")])
    assert database.reads.result("default", "x/A") is None, "it is not made yet"
    results(database, "default", ("x/A", 1, B, 7))
    found = database.reads.result("default", "x/A")
    assert found is not None and (found.digest, found.size, found.attempt) == (B, 7, 1)
    assert database.reads.result("default", "x/a") is None
    assert [line.name for line in database.reads.results_named("default", ["x/a", "x/A", "none"])] == ["x/A"]
    assert database.reads.result("other", "x/A") is None
    assert database.reads.results_of("other") == []
    assert len(database.reads.results_of("default")) == 1


def test_sums_are_given_for_each_folder_directly_below(database: Database) -> None:
    rows = [("top", 1, A, 1), ("a/1", 1, A, 10), ("a/b/2", 1, B, 20), ("a/b/3", 1, C, 30), ("A/4", 1, C, 40)]
    push(database, {"t": []}, results=[(name, "t") for name, *_ in rows])
    results(database, "default", *rows)
    assert list(database.reads.folder_sums("default").items()) == [("", (1, 1)), ("A", (1, 40)), ("a", (3, 60))]
    assert list(database.reads.folder_sums("default", "a").items()) == [("", (1, 10)), ("b", (2, 50))]
    assert database.reads.folder_sums("default", "a%") == {}


def test_sent_contents_are_known_once_the_datastore_has_all_of_them(database: Database) -> None:
    files = [
        FileRow("x", A, 3, False, 1, False),
        FileRow("y", A, 3, False, 1, False),
        FileRow("z", B, 4, False, 1, False),
    ]
    push(database, {"t": []}, files=files)
    assert database.lookups.stored([A, B, C]) == {}
    database.commit(Changes(stored=[("x", A), ("z", B)]), 2.0)
    assert database.lookups.stored([A, B, C]) == {B: 4}
    database.commit(Changes(stored=[("y", A)]), 3.0)
    assert database.lookups.stored([A, B, C]) == {A: 3, B: 4}
    assert database.reads.sent_sum() == (2, 7)
