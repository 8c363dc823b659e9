"""Folders of results in the database: what becomes of a requirement that is one, and rows of what is there no more."""

from __future__ import annotations

import msgspec
import pytest

from boss.core.rows import Changes, ResultRow
from boss.database import Database
from boss.database import inputs as expanding
from tests.worlds.database import Push, attempt, push
from wire.messages import Input, ResultFolder

A, B = "b2:" + "ab" * 32, "b2:" + "cd" * 32


def rows(*found: tuple[str, int, int], digest: str = A) -> dict[tuple[str, str], ResultRow]:
    return {("default", n): ResultRow("default", n, task, number, digest, 5) for n, task, number in found}


def wants(*pairs: tuple[str, str]) -> list[Input]:
    return [Input(name=name, path=path) for name, path in pairs]


def test_a_folder_that_dependencies_have_left_becomes_its_files(database: Database) -> None:
    wanted = {"c": wants(("mesh", "in"), ("manual", "x")), "d": wants(("mesh/sub", "s"), ("mesh/a", "one"))}
    push(database, {"a": [], "b": [], "c": ["a", "b"], "d": ["a"]}, requirements=wanted)
    found = rows(("mesh/a", 1, 1), ("mesh/sub/b", 1, 1), ("mesh2/x", 1, 1), ("mesh/z", 2, 1), ("other", 2, 1))
    database.commit(Changes(results=found), 2.0)
    bound = database.lookups.requirements([3, 4])
    assert [(each.name, each.path, each.digest) for each in bound[3]] == [
        ("mesh/a", "in/a", A),
        ("mesh/sub/b", "in/sub/b", A),
        ("mesh/z", "in/z", A),
        ("manual", "x", ""),
    ]
    assert [(each.name, each.path) for each in bound[4]] == [("mesh/sub/b", "s/b"), ("mesh/a", "one")]


def test_what_a_task_does_not_depend_on_is_in_none_of_its_folders(database: Database) -> None:
    push(database, {"a": [], "b": [], "c": ["a"], "d": []}, requirements={k: wants(("m", "m")) for k in "cd"})
    database.commit(Changes(results=rows(("m/a", 1, 1), ("m/b", 2, 1))), 2.0)
    bound = database.lookups.requirements([3, 4])
    assert [each.name for each in bound[3]] == ["m/a"]
    assert bound[4] == wants(("m", "m")), "it is looked for on the datastore when it is staged"


def test_folders_without_files_are_wanted_too(database: Database) -> None:
    push(database, {"a": [], "b": ["a"], "c": ["a"]}, requirements={"b": wants(("m", "in")), "c": wants(("e", "e"))})
    folders = [ResultFolder(source="m", target="m", empty=["none/x"]), ResultFolder(source="e", target="e")]
    ended = attempt(1, 1, ended="succeeded", folders=msgspec.json.encode(folders))
    database.commit(Changes(attempts={(1, 1): ended}, results=rows(("m/a", 1, 1))), 2.0)
    bound = database.lookups.requirements([2, 3])
    assert [(each.path, each.folder) for each in bound[2]] == [("in/a", False), ("in/none/x", True)]
    assert [(each.path, each.folder) for each in bound[3]] == [("e", True)]


def test_a_folder_too_large_for_a_message_is_left_to_the_datastore(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(database, {"a": [], "b": ["a"]}, requirements={"b": wants(("m", "in"))})
    database.commit(Changes(results=rows(*((f"m/{number}", 1, 1) for number in range(30)))), 2.0)
    assert len(database.lookups.requirements([2])[2]) == 30
    monkeypatch.setattr(expanding, "_MAX_BYTES", 1000)
    assert database.lookups.requirements([2])[2] == wants(("m", "in"))


def test_rows_of_what_an_earlier_attempt_left_in_a_replaced_folder_go_and_no_others(database: Database) -> None:
    push(database, {"a": [], "b": [], "c": ["a", "b"]}, requirements={"c": wants(("M%", "m"), ("M", "n"))})
    first = rows(("M%/a", 1, 1), ("M%/gone", 1, 1), ("M/kept", 1, 1), ("M%x", 1, 1), ("M%/other", 2, 1), ("m%/x", 1, 1))
    database.commit(Changes(results=first), 2.0)
    second = rows(("M%/a", 1, 2), digest=B) | {("default", "M%"): ResultRow("default", "M%", 1, 2)}
    database.commit(Changes(results=second, folders={("default", "M%"): (1, 2)}), 3.0)
    bound = database.lookups.requirements([3])[3]
    assert [(each.name, each.digest) for each in bound] == [("M%/a", B), ("M%/other", A), ("M/kept", A)]
    assert database.lookups.result_names([1])[1] == ["M%", "M%/a", "M%x", "M/kept", "m%/x"]


def test_an_attempt_tells_its_folders_after_a_restart(database: Database, database_url: str) -> None:
    push(database, {"a": []})
    folders = msgspec.json.encode([ResultFolder(source="m", target="m")])
    database.commit(Changes(attempts={(1, 1): attempt(1, 1, phase="collecting", folders=folders)}), 2.0)
    assert [bytes(row.folders) for row in database.load().attempts] == [folders]


def test_a_push_is_warned_of_the_folders_above_its_names_that_are_results(database: Database) -> None:
    push(database, {"a": []}, results=[("mesh", "a")])
    later = Push({"b": []}, results=[("mesh/x/y", "b")]).submission()
    assert set(database.lookups.known(later).results) == {"mesh"}
    later = Push({"b": []}).submission()
    later.external_names = [(0, "mesh/part")]
    assert database.lookups.known(later).results["mesh"][2] == "a"
