"""Why work waits: one value for each way, with all that is known of it. Values only.

`boss.core.diagnosis` makes them of the state, `boss.status` words them for users. Times are wall-clock seconds since
the epoch. `kind` is which way it is, `about` of what (a worker, a pool, a batch): they distinguish a reason that
lasts, while its numbers change, from another one.
"""

from __future__ import annotations

from enum import StrEnum

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
    CLAIM_REFUSED = "claim_refused"
    # Of a task before anything can be sent.
    DEPENDENCIES = "dependencies"
    BLOCKED = "blocked"
    BATCH_PAUSED = "batch_paused"
    FILES_WAITING = "files_waiting"
    RETRY = "retry"
    RESULTS_SOUGHT = "results_sought"
    INPUTS_COMPARED = "inputs_compared"
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

    @property
    def kind(self) -> WaitKind:
        return _KINDS[type(self)][0]

    @property
    def about(self) -> str:
        return " ".join(str(getattr(self, field)) for field in _KINDS[type(self)][1].split())


class _OfPool(Wait, frozen=True):
    pool: str


class _OfWorker(Wait, frozen=True):
    worker: str


# --- the boss as a whole ---------------------------------------------------------------------------


class BossWarning(Wait, frozen=True):
    """What a part of the boss's program warns of, in its own words."""

    part: str
    text: str


class Stopping(Wait, frozen=True):
    """The boss is about to stop: nothing more is sent."""


class NoBroker(Wait, frozen=True):
    """The boss is not connected to its broker."""


class NoDatastore(Wait, frozen=True):
    """The datastore's program has not said hello, or is not connected."""


class DatastoreHeld(Wait, frozen=True):
    """The datastore takes nothing new, for a reason in its own words."""

    text: str


class FileNotStored(Wait, frozen=True):
    """The datastore could not give a file that a push sent its name; it is asked again."""

    name: str
    digest: str
    text: str


class VersionAnswer(StrEnum):
    """What the boss does about an agent that uses another version of the protocol (`boss.core.other_version`)."""

    #: It was ordered to fetch the boss's program, or will be once that is made.
    REPLACED = "replaced"
    #: It was ordered to stop; the boss starts another one.
    STOPPED = "stopped"
    REFUSED = "refused"


class OtherVersion(Wait, frozen=True):
    """A worker, or the datastore (`agent` "datastore"), uses another version of the protocol than the boss."""

    agent: str
    version: int
    own: int
    answer: VersionAnswer


class ClaimRefused(_OfWorker, frozen=True):
    """A worker states a pool, labels or slots beyond what it may have; it works on without them."""

    #: What it stated. Empty, or 0: no more than it may.
    pool: str
    labels: tuple[tuple[str, str], ...]
    slots: int
    #: The pool of its instance, by whose settings it is bounded; empty: its login bounds it.
    of_pool: str
    #: With how many slots it counts.
    believed_slots: int


# --- a task before anything can be sent ------------------------------------------------------------


class Dependency(msgspec.Struct, frozen=True):
    """A task on which another one depends."""

    task: int
    state: TaskState


class _OfDependencies(Wait, frozen=True):
    count: int
    tasks: tuple[Dependency, ...] = ()


class Dependencies(_OfDependencies, frozen=True):
    """So many dependencies have not succeeded yet; which, where that is known."""


class Blocked(_OfDependencies, frozen=True):
    """So many dependencies failed, were cancelled or are blocked themselves; which, where that is known."""


class BatchPaused(Wait, frozen=True):
    """Until a user resumes the batch."""

    batch: int
    reason: Pause


class FilesWaiting(Wait, frozen=True):
    """So many files that were sent with the batch are not on the datastore yet: nothing of it starts before."""

    batch: int
    count: int


class Retry(Wait, frozen=True):
    """It is sent again then. `failures`: how many of its retries are used; an attempt that was lost costs none."""

    at: float
    failures: int
    retries: int


class ResultsSought(Wait, frozen=True):
    """The datastore is asked whether its results exist already."""


class InputsAwaited(Wait, frozen=True):
    """It succeeded before, and its inputs are being compared with those of then: it may not have to run again."""

    kind = WaitKind.INPUTS_COMPARED


# --- workers and pools that it could be sent to ----------------------------------------------------


class NoWorker(Wait, frozen=True):
    """No worker takes tasks: some are connected and do not (`there`), or none is. `coming`: are being started."""

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

    demand: Demand
    tasks: int
    elastic: bool
    misfits: tuple[Misfit, ...] = ()


class UnknownPool(_OfPool, frozen=True):
    """So many queued tasks require a pool that is not in the settings, and of which there is no worker."""

    tasks: int
    known: tuple[str, ...]


class WorkersBusy(Wait, frozen=True):
    """The workers that could run it have all that they take at present; so many tasks wait for them."""

    workers: int
    slots: int
    tasks: int


class WorkersNotServing(Wait, frozen=True):
    """Workers that could run it and take nothing: they drain, are lost, are not connected."""

    draining: int
    lost: int
    disconnected: int


class WorkerQuarantined(_OfWorker, frozen=True):
    """The worker gets nothing new. `probe_at`: it gets a test task then; 0: it has one, or only a user releases it."""

    reason: Quarantine
    probe_at: float


class InputsNotBrought(_OfWorker, frozen=True):
    """The datastore could not bring the last inputs to the worker; it is tried again."""

    text: str


class PoolGrows(_OfPool, frozen=True):
    """So many workers of the pool are being started."""

    coming: int


class PoolLimited(_OfPool, frozen=True):
    """The pool is not given more workers."""

    reason: NotMore


class PoolCannotGrow(_OfPool, frozen=True):
    """The pool cannot grow (a quota, no address left). `retry_at`: asked again then; 0: at once."""

    text: str
    retry_at: float


class PoolStartsFail(_OfPool, frozen=True):
    """So many starts failed in a row. `retry_at`: tried again then; 0: at once."""

    failures: int
    text: str
    retry_at: float


class PoolRemoved(_OfPool, frozen=True):
    """The settings have no such pool any more; so many of its workers are left, and stop when they hold nothing."""

    workers: int


# --- an attempt that was sent ----------------------------------------------------------------------


class Staging(_OfWorker, frozen=True):
    """Its inputs are being brought to the worker. `since`: the datastore was last asked then; 0: it is asked next."""

    since: float


class InitTasks(_OfWorker, frozen=True):
    """So many init tasks of its batch come first on the worker. `network`: they wait for a network interface."""

    count: int
    network: bool


class SentAhead(_OfWorker, frozen=True):
    """It was sent ahead and begins when a slot of the worker is free."""

    connected: bool


class TakenBack(_OfWorker, frozen=True):
    """The worker was asked to give it back, or to end it, and has not answered yet."""


class Collecting(_OfWorker, frozen=True):
    """Its commands have succeeded; its results are being brought to the datastore."""


#: Of each class its kind, and the fields that name what it is the reason of, where there may be several at once.
_KINDS: dict[type[Wait], tuple[WaitKind, str]] = {
    BossWarning: (WaitKind.WARNING, "part"),
    Stopping: (WaitKind.STOPPING, ""),
    NoBroker: (WaitKind.NO_BROKER, ""),
    NoDatastore: (WaitKind.NO_DATASTORE, ""),
    DatastoreHeld: (WaitKind.DATASTORE_HELD, ""),
    FileNotStored: (WaitKind.FILE_NOT_STORED, "name digest"),
    OtherVersion: (WaitKind.OTHER_VERSION, "agent"),
    ClaimRefused: (WaitKind.CLAIM_REFUSED, "worker"),
    Dependencies: (WaitKind.DEPENDENCIES, ""),
    Blocked: (WaitKind.BLOCKED, ""),
    BatchPaused: (WaitKind.BATCH_PAUSED, "batch"),
    FilesWaiting: (WaitKind.FILES_WAITING, "batch"),
    Retry: (WaitKind.RETRY, ""),
    ResultsSought: (WaitKind.RESULTS_SOUGHT, ""),
    NoWorker: (WaitKind.NO_WORKER, ""),
    NoFit: (WaitKind.NO_FIT, "demand"),
    UnknownPool: (WaitKind.UNKNOWN_POOL, "pool"),
    WorkersBusy: (WaitKind.WORKERS_BUSY, ""),
    WorkersNotServing: (WaitKind.WORKERS_NOT_SERVING, ""),
    WorkerQuarantined: (WaitKind.WORKER_QUARANTINED, "worker"),
    InputsNotBrought: (WaitKind.INPUTS_NOT_BROUGHT, "worker"),
    PoolGrows: (WaitKind.POOL_GROWS, "pool"),
    PoolLimited: (WaitKind.POOL_LIMITED, "pool"),
    PoolCannotGrow: (WaitKind.POOL_CANNOT_GROW, "pool"),
    PoolStartsFail: (WaitKind.POOL_STARTS_FAIL, "pool"),
    PoolRemoved: (WaitKind.POOL_REMOVED, "pool"),
    Staging: (WaitKind.STAGING, ""),
    InitTasks: (WaitKind.INIT_TASKS, ""),
    SentAhead: (WaitKind.SENT_AHEAD, ""),
    TakenBack: (WaitKind.TAKEN_BACK, ""),
    Collecting: (WaitKind.COLLECTING, ""),
}
