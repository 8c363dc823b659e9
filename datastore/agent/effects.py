"""Actions: what the agent wants done. Imperative, values only.

Each says what must be true when its event is given back; that, and nothing about how, is the contract with
the program, with each kind of transfer, and with the simulator, which may crash between any two of them.
What an effect has done without its event having been given may be lost or not: recovery copes with both.

Never more than one of SyncIncoming, WriteRecords, PlaceFiles is under way, nor more than one StoreFiles; any number
of transfers, each of another (worker, direction).
"""

from __future__ import annotations

import msgspec

from datastore.agent.records import Record
from wire.messages import AttemptKey, Collect, DatastoreReport, LookUp, Send, Stage, Store

# --- said to the boss, without an event -------------------------------------------------------------


class Report(msgspec.Struct):
    """Say this. If it cannot be said now it is dropped: the boss asks again, and a hello follows every connection."""

    report: DatastoreReport


class Confirm(msgspec.Struct):
    """The orders of this message are taken. Goes with the next report, or alone."""

    epoch: int
    number: int


# --- transfers --------------------------------------------------------------------------------------


class StageFiles(msgspec.Struct):
    """Put each attempt's inputs into its worker's cache.

    InputsStaged for each attempt: StageDone when all its inputs are there under their digests. TransferEnded last.
    """

    transfer: int
    worker: str
    jobs: list[Stage]


class FetchResults(msgspec.Struct):
    """Bring each attempt's files into `incoming/<incarnation>/<task>.<attempt>/`, empty before.

    ResultsFetched or FetchFailed for each attempt (need not be durable yet), TransferEnded last.
    """

    transfer: int
    worker: str
    jobs: list[Collect]


class StopFetching(msgspec.Struct):
    """A hint: this attempt of a FetchResults is no longer needed. Its event is still given."""

    key: AttemptKey


# --- publishing, in this order ----------------------------------------------------------------------


class SyncIncoming(msgspec.Struct):
    """Build the folders of these records from their files; make all durable in incoming, with few syncs.

    It also finds out whether the names can be given. IncomingSynced or StepFailed. Nothing in the tree has changed.
    """

    records: list[Record]


class WriteRecords(msgspec.Struct):
    """Write all these records, whole or not at all. RecordsWritten when durable, else StepFailed."""

    records: list[Record]


class PlaceFiles(msgspec.Struct):
    """Give every file and folder that is still in incoming its name (what is not there any more has it already).

    Each by one rename (a folder changes places with the former one), a former version kept as blobs. FilesPlaced when
    durable, else StepFailed; may be repeated.
    """

    records: list[Record]


class DropRecords(msgspec.Struct):
    """Remove these records. No event; a record that comes back after a crash does no harm."""

    keys: list[AttemptKey]
    #: Whose; that of the agent except after a start.
    deployment: str


class Discard(msgspec.Struct):
    """Remove what is left of these attempts in incoming. Discarded."""

    keys: list[AttemptKey]


# --- the rest ---------------------------------------------------------------------------------------


class KeepEpoch(msgspec.Struct):
    """Write this epoch. EpochKept when durable."""

    epoch: int


class Sweep(msgspec.Struct):
    """Remove all of incoming. Only after every record is completed, and when no former writer lives. Swept."""


class StoreFiles(msgspec.Struct):
    """Give each content its name, in this order, each by one rename, verified before. StoresEnded when durable."""

    orders: list[Store]


class LookUpNames(msgspec.Struct):
    """See which names are there, with size and digest. NamesFound."""

    order: LookUp


class SendFile(msgspec.Struct):
    """Send this content to the boss, from where an earlier try broke off. FileSent."""

    order: Send


Effect = (
    Report
    | Confirm
    | StageFiles
    | FetchResults
    | StopFetching
    | SyncIncoming
    | WriteRecords
    | PlaceFiles
    | DropRecords
    | Discard
    | KeepEpoch
    | Sweep
    | StoreFiles
    | LookUpNames
    | SendFile
)
