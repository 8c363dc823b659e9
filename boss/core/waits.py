"""Why work waits: one value for each way, with all that is known of it. Values only.

`boss.core.diagnosis` makes them of the state, `boss.status` words them for users. Times are wall-clock seconds since
the epoch. `kind` is which way it is, `about` of what (a worker, a pool, a batch): they distinguish a reason that
lasts, while its numbers change, from another one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from boss.core.model import TaskState
from boss.core.ready import Demand, Kind
from boss.core.reasons import NotMore, Pause, Quarantine


class WaitKind(StrEnum):
    # Of the boss as a whole.
    WARNING = "warning"
    STOPPING = "stopping"
    NO_BROKER = "no_broker"
    NO_DATASTORE = "no_datastore"
    DATASTORE_HELD = "datastore_held"
    FILE_NOT_STORED = "file_not_stored"
    OTHER_VERSION = "other_version"
    # Of a task before anything can be sent.
    DEPENDENCIES = "dependencies"
    BLOCKED = "blocked"
    BATCH_PAUSED = "batch_paused"
    FILES_WAITING = "files_waiting"
    RETRY = "retry"
    RESULTS_SOUGHT = "results_sought"
    # Of workers and pools that it could be sent to.
    NO_WORKER = "no_worker"
    NO_FIT = "no_fit"
    UNKNOWN_POOL = "unknown_pool"
    WORKERS_BUSY = "workers_busy"
    WORKERS_NOT_SERVING = "workers_not_serving"
    WORKER_QUARANTINED = "worker_quarantined"
    INPUTS_NOT_BROUGHT = "inputs_not_brought"
    POOL_GROWS = "pool_grows"
    POOL_LIMITED = "pool_limited"
    POOL_CANNOT_GROW = "pool_cannot_grow"
    POOL_STARTS_FAIL = "pool_starts_fail"
    POOL_REMOVED = "pool_removed"
    # Of an attempt that was sent.
    STAGING = "staging"
    INIT_TASKS = "init_tasks"
    SENT_AHEAD = "sent_ahead"
    TAKEN_BACK = "taken_back"
    COLLECTING = "collecting"


class Wait(msgspec.Struct, frozen=True):
    """One reason. What all of them have; each way has a class of its own."""

    kind: ClassVar[WaitKind]
    #: The field that names what it is the reason of, where there may be several of its kind at once.
    subject: ClassVar[str] = ""

    @property
    def about(self) -> str:
        return str(getattr(self, self.subject)) if self.subject else ""


# --- the boss as a whole ---------------------------------------------------------------------------


class BossWarning(Wait, frozen=True):
    """What a part of the boss's program warns of, in its own words."""

    kind = WaitKind.WARNING
    subject = "part"
    part: str
    text: str


class Stopping(Wait, frozen=True):
    """The boss is about to stop: nothing more is sent."""

    kind = WaitKind.STOPPING


class NoBroker(Wait, frozen=True):
    """The boss is not connected to its broker."""

    kind = WaitKind.NO_BROKER


class NoDatastore(Wait, frozen=True):
    """The datastore's program has not said hello, or is not connected."""

    kind = WaitKind.NO_DATASTORE


class DatastoreHeld(Wait, frozen=True):
    """The datastore takes nothing new, for a reason in its own words."""

    kind = WaitKind.DATASTORE_HELD
    text: str


class FileNotStored(Wait, frozen=True):
    """The datastore could not give a file that a push sent its name; it is asked again."""

    kind = WaitKind.FILE_NOT_STORED
    name: str
    digest: str
    text: str

    @property
    def about(self) -> str:
        return f"{self.name} {self.digest}"


class VersionAnswer(StrEnum):
    """What the boss does about an agent that uses another version of the protocol (`boss.core.other_version`)."""

    #: It was ordered to fetch the boss's program, or will be once that is made.
    REPLACED = "replaced"
    #: It was ordered to stop; the boss starts another one.
    STOPPED = "stopped"
    REFUSED = "refused"


class OtherVersion(Wait, frozen=True):
    """A worker, or the datastore (`agent` "datastore"), uses another version of the protocol than the boss."""

    kind = WaitKind.OTHER_VERSION
    subject = "agent"
    agent: str
    version: int
    own: int
    answer: VersionAnswer


# --- a task before anything can be sent ------------------------------------------------------------


class Dependency(msgspec.Struct, frozen=True):
    """A task on which another one depends."""

    task: int
    state: TaskState


class Dependencies(Wait, frozen=True):
    """So many dependencies have not succeeded yet; which, where that is known."""

    kind = WaitKind.DEPENDENCIES
    count: int
    tasks: tuple[Dependency, ...] = ()


class Blocked(Wait, frozen=True):
    """So many dependencies failed, were cancelled or are blocked themselves; which, where that is known."""

    kind = WaitKind.BLOCKED
    count: int
    tasks: tuple[Dependency, ...] = ()


class BatchPaused(Wait, frozen=True):
    """Until a user resumes the batch."""

    kind = WaitKind.BATCH_PAUSED
    subject = "batch"
    batch: int
    reason: Pause


class FilesWaiting(Wait, frozen=True):
    """So many files that were sent with the batch are not on the datastore yet: nothing of it starts before."""

    kind = WaitKind.FILES_WAITING
    subject = "batch"
    batch: int
    count: int


class Retry(Wait, frozen=True):
    """It is sent again then. `failures`: how many of its retries are used; an attempt that was lost costs none."""

    kind = WaitKind.RETRY
    at: float
    failures: int
    retries: int


class ResultsSought(Wait, frozen=True):
    """The datastore is asked whether its results exist already."""

    kind = WaitKind.RESULTS_SOUGHT


# --- workers and pools that it could be sent to ----------------------------------------------------


class NoWorker(Wait, frozen=True):
    """No worker takes tasks: some are connected and do not (`there`), or none is. `coming`: are being started."""

    kind = WaitKind.NO_WORKER
    there: bool
    coming: int


class Lack(StrEnum):
    """What a worker has not that a task requires."""

    POOL = "pool"
    LABELS = "labels"
    SLOTS = "slots"
    MEMORY = "memory"


class Misfit(msgspec.Struct, frozen=True):
    """A kind of worker that there is, or that a pool would start, and what it lacks. `workers` 0: none is there."""

    kind: Kind
    workers: int
    lacks: tuple[Lack, ...]


class NoFit(Wait, frozen=True):
    """So many queued tasks require what no worker has. `elastic`: there are pools that grow, and none has it either."""

    kind = WaitKind.NO_FIT
    subject = "demand"
    demand: Demand
    tasks: int
    elastic: bool
    misfits: tuple[Misfit, ...] = ()


class UnknownPool(Wait, frozen=True):
    """So many queued tasks require a pool that is not in the settings, and of which there is no worker."""

    kind = WaitKind.UNKNOWN_POOL
    subject = "pool"
    pool: str
    tasks: int
    known: tuple[str, ...]


class WorkersBusy(Wait, frozen=True):
    """The workers that could run it have all that they take at present; so many tasks wait for them."""

    kind = WaitKind.WORKERS_BUSY
    workers: int
    slots: int
    tasks: int


class WorkersNotServing(Wait, frozen=True):
    """Workers that could run it and take nothing: they drain, are lost, are not connected."""

    kind = WaitKind.WORKERS_NOT_SERVING
    draining: int
    lost: int
    disconnected: int


class WorkerQuarantined(Wait, frozen=True):
    """The worker gets nothing new. `probe_at`: it gets a test task then; 0: it has one, or only a user releases it."""

    kind = WaitKind.WORKER_QUARANTINED
    subject = "worker"
    worker: str
    reason: Quarantine
    probe_at: float


class InputsNotBrought(Wait, frozen=True):
    """The datastore could not bring the last inputs to the worker; it is tried again."""

    kind = WaitKind.INPUTS_NOT_BROUGHT
    subject = "worker"
    worker: str
    text: str


class _OfPool(Wait, frozen=True):
    subject = "pool"
    pool: str


class PoolGrows(_OfPool, frozen=True):
    """So many workers of the pool are being started."""

    kind = WaitKind.POOL_GROWS
    coming: int


class PoolLimited(_OfPool, frozen=True):
    """The pool is not given more workers."""

    kind = WaitKind.POOL_LIMITED
    reason: NotMore


class PoolCannotGrow(_OfPool, frozen=True):
    """The pool cannot grow (a quota, no address left). `retry_at`: asked again then; 0: at once."""

    kind = WaitKind.POOL_CANNOT_GROW
    text: str
    retry_at: float


class PoolStartsFail(_OfPool, frozen=True):
    """So many starts failed in a row. `retry_at`: tried again then; 0: at once."""

    kind = WaitKind.POOL_STARTS_FAIL
    failures: int
    text: str
    retry_at: float


class PoolRemoved(_OfPool, frozen=True):
    """The settings have no such pool any more; so many of its workers are left, and stop when they hold nothing."""

    kind = WaitKind.POOL_REMOVED
    workers: int


# --- an attempt that was sent ----------------------------------------------------------------------


class _OfAttempt(Wait, frozen=True):
    worker: str


class Staging(_OfAttempt, frozen=True):
    """Its inputs are being brought to the worker. `since`: the datastore was last asked then; 0: it is asked next."""

    kind = WaitKind.STAGING
    since: float


class InitTasks(_OfAttempt, frozen=True):
    """So many init tasks of its batch come first on the worker. `network`: they wait for a network interface."""

    kind = WaitKind.INIT_TASKS
    count: int
    network: bool


class SentAhead(_OfAttempt, frozen=True):
    """It was sent ahead and begins when a slot of the worker is free."""

    kind = WaitKind.SENT_AHEAD
    connected: bool


class TakenBack(_OfAttempt, frozen=True):
    """The worker was asked to give it back, or to end it, and has not answered yet."""

    kind = WaitKind.TAKEN_BACK


class Collecting(_OfAttempt, frozen=True):
    """Its commands have succeeded; its results are being brought to the datastore."""

    kind = WaitKind.COLLECTING
