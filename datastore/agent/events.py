"""Events: what happened, as the datastore's agent gets it. Past tense, values only."""

from __future__ import annotations

from typing import Literal

import msgspec

from datastore.agent.records import Record
from wire.messages import (
    AttemptKey,
    DatastoreOrders,
    Found,
    SendFailed,
    Sent,
    Stage,
    StageDone,
    StageFailed,
    StageFault,
    Stored,
    StoreFailed,
)

# --- from the program itself ------------------------------------------------------------------------


class Started(msgspec.Struct):
    """The first event: what is on disk. All records, those of other deployments too."""

    #: Highest epoch of a boss of this deployment whose orders were taken; 0: none yet.
    epoch: int
    records: list[Record]


class TimePassed(msgspec.Struct):
    """A deadline may have come."""

    #: Bytes that are free on the tree's file system.
    disk_free: int = 0


# --- from the broker --------------------------------------------------------------------------------


class LinkConnected(msgspec.Struct):
    """Connected, and the subscription to the orders is granted."""


class LinkDisconnected(msgspec.Struct):
    """What was reported since the last answer may be lost."""


class BossSeen(msgspec.Struct):
    """The boss's presence says that this incarnation of it is online; a hint."""

    incarnation: str


class Ordered(msgspec.Struct):
    """A message on the orders' topic."""

    message: DatastoreOrders


# --- results of effects -----------------------------------------------------------------------------


class EpochKept(msgspec.Struct):
    """KeepEpoch is done: the epoch is durable."""

    epoch: int


class InputsStaged(msgspec.Struct):
    """One attempt of a StageFiles is answered."""

    answer: StageDone | StageFailed


def not_staged(order: Stage, fault: StageFault, reason: str) -> StageFailed:
    """The answer for an attempt whose inputs are not in its worker's cache; `reason` is a sentence."""
    return StageFailed(task=order.task, attempt=order.attempt, fault=fault, reason=reason)


class ResultsFetched(msgspec.Struct):
    """One attempt of a FetchResults: all its files are in incoming, with the sizes and digests of the order."""

    key: AttemptKey


class FetchFailed(msgspec.Struct):
    """One attempt of a FetchResults. After `transfer` and `changed` parts may be left, for the next try or Discard."""

    key: AttemptKey
    #: `result`: the worker has not what it said. `changed`: what came has another size or digest, as a file that was
    #: written while it was sent. `path`: a path that is refused. `transfer`: could not be fetched, perhaps later.
    #: `host`: the host is another, or sent what no honest one sends. `full`: the datastore's disk is full.
    #: `no_space`: this one does not fit on it, others may. `stopped`: StopFetching was heeded.
    fault: Literal["result", "changed", "path", "transfer", "host", "full", "no_space", "stopped"]
    reason: str = ""


class TransferEnded(msgspec.Struct):
    """A StageFiles or FetchResults is over. Attempts that were not answered failed for `error`."""

    transfer: int
    error: str = ""


class IncomingSynced(msgspec.Struct):
    """SyncIncoming is done: the files of all records but the refused ones are durable in incoming."""

    #: Attempts whose names cannot be given (a folder stands there, ...), each with the reason.
    refused: list[tuple[AttemptKey, str]] = msgspec.field(default_factory=list)
    #: Inodes of the folders that were built, in the order of the record, of attempts that have some.
    folders: list[tuple[AttemptKey, list[int]]] = msgspec.field(default_factory=list)


class RecordsWritten(msgspec.Struct):
    """WriteRecords is done: the records are durable."""


class FilesPlaced(msgspec.Struct):
    """PlaceFiles is done: every file of the records has its name, durably."""


class StepFailed(msgspec.Struct):
    """The SyncIncoming, WriteRecords or PlaceFiles under way did not come to its end."""

    reason: str
    #: True: for lack of space, and (WriteRecords) certainly nothing was recorded.
    full: bool = False


class Discarded(msgspec.Struct):
    """Discard is done: nothing of these attempts is left in incoming."""

    keys: list[AttemptKey]


class Swept(msgspec.Struct):
    """Sweep is done."""


class StoresEnded(msgspec.Struct):
    """A StoreFiles is done; what is in neither list was not done for lack of space, and `full` says so."""

    answers: list[Stored | StoreFailed]
    full: str = ""


class NamesFound(msgspec.Struct):
    """A LookUpNames is done."""

    answer: Found


class FileSent(msgspec.Struct):
    """A SendFile is over."""

    answer: Sent | SendFailed


Event = (
    Started
    | TimePassed
    | LinkConnected
    | LinkDisconnected
    | BossSeen
    | Ordered
    | EpochKept
    | InputsStaged
    | ResultsFetched
    | FetchFailed
    | TransferEnded
    | IncomingSynced
    | RecordsWritten
    | FilesPlaced
    | StepFailed
    | Discarded
    | Swept
    | StoresEnded
    | NamesFound
    | FileSent
)
