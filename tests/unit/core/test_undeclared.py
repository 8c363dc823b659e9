"""A worker that leaves what its task does not declare: nothing of it is asked for, and the worker is quarantined."""

from __future__ import annotations

import msgspec
import pytest

from boss.core.declared import undeclared
from tests.worlds.scheduler import DIGEST, World, manifest
from wire.messages import Abandon, Collect, CollectFile, Execution, Place, ResultFolder, ResultItem, Run


def order(files: str = "", folders: str = "") -> Collect:
    entries = [CollectFile(source="x", target=name, size=1, digest=DIGEST) for name in files.split()]
    folder_entries = [ResultFolder(source="x", target=name) for name in folders.split()]
    return Collect(task=1, attempt=1, worker="w", place=Place(path="/"), files=entries, folders=folder_entries)


def declared(*pairs: str | tuple[str, str]) -> bytes:
    items = [
        ResultItem(source=p, target=p) if isinstance(p, str) else ResultItem(source=p[0], target=p[1]) for p in pairs
    ]
    return msgspec.json.encode(Execution(commands=["true"], results=items))


@pytest.mark.parametrize(
    ("execution", "files", "folders", "first"),
    [
        (declared("a", ("x", "b/c")), "a b/c", "", ""),
        (declared("a"), "a b", "", "b"),
        (declared("d"), "d/x d/e/y", "d", ""),
        (declared("d"), "dd/x", "d", "dd/x"),
        (declared("d/e"), "d/e/x", "d", "d"),
        (declared("d"), "d/e/x", "d/e", "d/e"),
        (declared("out/*.csv"), "out/a.csv", "", ""),
        (declared("out/*.csv"), "out/*.csv", "", ""),
        (declared("out/*.csv"), "out/a.txt", "", "out/a.txt"),
        (declared("out/*.csv"), "other/a.csv", "", "other/a.csv"),
        (declared("runs/*"), "runs/1/deep/x", "runs/1", ""),
        (declared("runs/*"), "runs/1/deep/x", "runs", "runs"),
        (declared(("runs/*", "kept/all")), "kept/all/1/x", "kept/all/1", ""),
        (declared(("runs/*", "kept/all")), "kept/1", "", "kept/1"),
        (declared(("**/*.csv", "kept")), "kept/a/b.csv", "", ""),
        (declared(), "", "", ""),
        (declared(), "a", "", "a"),
    ],
)
def test_what_is_declared_is_covered_and_nothing_else(execution: bytes, files: str, folders: str, first: str) -> None:
    assert undeclared(order(files, folders), execution, "") == first


def test_names_of_other_projects_are_never_declared() -> None:
    assert undeclared(order("projects/net/a"), declared("a"), "projects/net/") == ""
    assert undeclared(order("projects/other/a"), declared("a"), "projects/net/") == "projects/other/a"
    assert undeclared(order("a"), declared("a"), "projects/net/") == "a"


def test_an_undeclared_result_is_not_asked_for_and_its_worker_is_quarantined(world: World) -> None:
    world.push({"a": ""}, results={"a": "a.out"})
    liar = world.worker("liar")
    liar.began((1, 1))
    world.ignore()
    liar.ended(1, 1, manifest=manifest("a.out other"))
    assert world.datastore.ordered(Collect) == []
    assert "'other', which the task does not declare" in liar.seen.row.quarantined
    assert (world.attempt(1).ended, world.states("a")) == ("lost", "queued")
    honest = world.worker("honest")
    assert [run.attempt for run in honest.ordered(Run)] == [2]
    honest.began((1, 2))
    honest.ended(1, 2, manifest=manifest("a.out"))
    assert [(order.task, order.attempt) for order in world.datastore.ordered(Collect)] == [(1, 2)]
    world.ignore()


def test_an_attempt_that_is_being_abandoned_is_left_to_the_datastore(world: World) -> None:
    world.push({"a": ""}, results={"a": "a.out"})
    worker = world.worker()
    worker.began((1, 1))
    world.ignore()
    worker.ended(1, 1, manifest=manifest("a.out"))
    world.datastore.orders()
    world.push({"a": ""}, results={"a": "b.out"}, commands={"a": "new"}, merge_strategy="replace")
    assert [type(order) for order in world.datastore.orders()] == [Abandon]
    assert not worker.seen.quarantined
    world.ignore()
