"""The publish record: what is written and synced before the first file of an attempt gets its name. Values only."""

from __future__ import annotations

import msgspec

from datastore.paths import folders_of
from wire.messages import AttemptKey, Collect, Published, PublishedFile


class RecordedFile(msgspec.Struct, frozen=True):
    """One file of an attempt; while it waits in incoming it is called by its place in the record's list: 0, 1, ..."""

    name: str
    size: int
    digest: str


class RecordedFolder(msgspec.Struct, frozen=True):
    """One directory that takes the place of the former one, with the files of the record whose names are below it.

    It is built whole in incoming, where it is called by its place in the record's list: folder-0, folder-1, ...
    """

    name: str
    #: Folders without files, relative to it.
    empty: list[str]
    #: Of the folder that was built: what stands in incoming with another one is the former folder. 0: not built yet.
    inode: int = 0


class Record(msgspec.Struct, frozen=True):
    """These files, verified and durable in the incoming folder of `incarnation`, are what the attempt published."""

    deployment: str
    #: Of the datastore that fetched them: names the folder in which they wait.
    incarnation: str
    task: int
    attempt: int
    files: list[RecordedFile]
    folders: list[RecordedFolder] = msgspec.field(default_factory=list)

    @property
    def key(self) -> AttemptKey:
        return (self.task, self.attempt)

    def folder_places(self) -> list[int | None]:
        """For each file the place in `folders` of the one that it is below; None: it is renamed on its own."""
        places = {folder.name: place for place, folder in enumerate(self.folders)}
        if not places:
            return [None] * len(self.files)
        return [
            next((places[above] for above in folders_of(file.name) if above in places), None) for file in self.files
        ]

    def names(self) -> list[str]:
        """What gets a name: files that are in no folder of the record, and the folders."""
        alone = [file.name for file, place in zip(self.files, self.folder_places(), strict=True) if place is None]
        return [*alone, *(folder.name for folder in self.folders)]


def record_of(order: Collect, deployment: str, incarnation: str) -> Record:
    files = [RecordedFile(file.target, file.size, file.digest) for file in order.files]
    folders = [RecordedFolder(folder.target, folder.empty) for folder in order.folders]
    return Record(deployment, incarnation, order.task, order.attempt, files, folders)


def published(record: Record) -> Published:
    files = [PublishedFile(name=file.name, size=file.size, digest=file.digest) for file in record.files]
    folders = [folder.name for folder in record.folders]
    return Published(task=record.task, attempt=record.attempt, files=files, folders=folders)
