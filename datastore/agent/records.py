"""The publish record: what is written and synced before the first file of an attempt gets its name. Values only."""

from __future__ import annotations

import msgspec

from wire.messages import AttemptKey, Collect, Published, PublishedFile


class RecordedFile(msgspec.Struct, frozen=True):
    """One file of an attempt; while it waits in incoming it is called by its place in the record's list: 0, 1, ..."""

    name: str
    size: int
    digest: str


class Record(msgspec.Struct, frozen=True):
    """These files, verified and durable in the incoming folder of `incarnation`, are what the attempt published."""

    deployment: str
    #: Of the datastore that fetched them: names the folder in which they wait.
    incarnation: str
    task: int
    attempt: int
    files: list[RecordedFile]

    @property
    def key(self) -> AttemptKey:
        return (self.task, self.attempt)


def record_of(order: Collect, deployment: str, incarnation: str) -> Record:
    files = [RecordedFile(file.target, file.size, file.digest) for file in order.files]
    return Record(deployment, incarnation, order.task, order.attempt, files)


def published(record: Record) -> Published:
    files = [PublishedFile(name=file.name, size=file.size, digest=file.digest) for file in record.files]
    return Published(task=record.task, attempt=record.attempt, files=files)
