"""Directories in the datastore's agent: which orders are refused, what shares a batch, what the record says."""

from __future__ import annotations

import msgspec
import pytest

from datastore.agent.effects import PlaceFiles, SyncIncoming, WriteRecords
from datastore.agent.events import FilesPlaced, IncomingSynced, RecordsWritten
from datastore.agent.records import RecordedFolder
from tests.worlds.datastore_agent import DIGEST, PLACE, World
from wire.messages import Abandoned, Collect, CollectFile, Published, ResultFolder


@pytest.fixture
def world() -> World:
    return World().ready()


def collect(task: int, *files: str, folders: tuple[str, ...] = (), empty: tuple[str, ...] = ()) -> Collect:
    entries = [CollectFile(source=name, target=name, size=3, digest=DIGEST) for name in files]
    declared = [ResultFolder(source="out", target=name, empty=list(empty)) for name in folders]
    return Collect(task=task, attempt=1, worker="w", place=PLACE, files=entries, folders=declared)


def test_the_record_has_the_inodes_of_the_folders_that_were_built(world: World) -> None:
    world.order(collect(1, "d/a", "b", folders=("d", "e"), empty=("none",)))
    world.fetch()
    (asked,) = world.one(SyncIncoming).records
    assert [folder.inode for folder in asked.folders] == [0, 0]
    world.give(IncomingSynced(folders=[((1, 1), [41, 42])]))
    (written,) = world.one(WriteRecords).records
    assert written.folders == [RecordedFolder("d", ["none"], 41), RecordedFolder("e", ["none"], 42)]
    assert written.names() == ["b", "d", "e"]
    world.give(RecordsWritten())
    assert world.one(PlaceFiles).records == [written]
    world.give(FilesPlaced())
    (answer,) = world.reports()
    assert isinstance(answer, Published)
    assert ([file.name for file in answer.files], answer.folders) == (["d/a", "b"], ["d", "e"])


def test_attempts_that_want_names_in_one_folder_never_share_a_batch(world: World) -> None:
    world.order(collect(9, "x"))
    world.fetch()
    world.order(
        collect(1, "d/a", folders=("d",)),
        collect(2, "d/b", folders=("d",)),
        collect(3, "d/c"),
        collect(4, "p/d", "p/e"),
        collect(5, folders=("p",)),
        collect(6, "dd/a", folders=("dd",)),
    )
    world.fetch()
    world.publish()
    assert [record.task for record in world.publish()] == [1, 4, 6]
    assert [record.task for record in world.publish()] == [2, 5]
    assert [record.task for record in world.publish()] == [3]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (collect(1, folders=("../x",)), "'..'"),
        (collect(1, folders=("/etc",)), "absolute"),
        (collect(1, folders=(".ecloud/blobs",)), "the datastore's own"),
        (collect(1, "d/a", folders=("d",), empty=("../../x",)), "'..'"),
        (collect(1, "d", folders=("d",)), "as a file and as a folder"),
        (collect(1, "d/a", folders=("d/a/b",)), "a folder of its own in another one"),
        (collect(1, "d/e/a", folders=("d", "d/e")), "a folder of its own in another one"),
        (collect(1, folders=("d", "d")), "named twice"),
        (collect(1, "d/a/b", folders=("d",), empty=("a",)), "as a file and as a folder"),
        (collect(1, "d/a", folders=("d",), empty=("a/b",)), "as a file and as a folder"),
    ],
)
def test_folders_that_leave_the_tree_or_each_other_are_refused(world: World, order: Collect, reason: str) -> None:
    world.order(order)
    (answer,) = world.reports()
    assert isinstance(answer, Abandoned) and answer.fault == "path" and reason in answer.reason
    world.nothing_else()


def test_a_folder_whose_source_leaves_the_working_directory_is_refused(world: World) -> None:
    order = collect(1, folders=("d",))
    world.order(msgspec.structs.replace(order, folders=[ResultFolder(source="../../x", target="d")]))
    (answer,) = world.reports()
    assert isinstance(answer, Abandoned) and answer.fault == "path"
