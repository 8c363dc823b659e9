"""Rows: what the scheduler hands to the database and gets back from it, one struct per table.

The scheduler never sees SQL and the database decides nothing: a turn's `Changes` names which rows are new
and which have other values now; `Loaded` is what a start reads back. Times are wall-clock seconds since
the epoch (for users; no decision rests on them).
"""

from __future__ import annotations

from array import array

import msgspec

from boss.core.model import InitSpec, Profile, Submission


class TaskRow(msgspec.Struct):
    """The part of a task that changes."""

    number: int
    state: int
    #: The number of its newest attempt; 0 is none yet.
    attempt: int
    #: Failed attempts that used up retries since a user last asked for it.
    failures: int
    #: Workers in a row that died while it executed (poison).
    deaths: int
    #: Why it is in this state, for users; empty where the state is enough.
    reason: str
    #: A user asked to cancel it, and an attempt is still to be ended.
    cancelling: bool
    changed_at: float
    #: A user dropped it: it is in no list, and its id and the names of its results are free.
    dropped: bool = False
    #: array('q'): an attempt, then tasks: with that attempt it has succeeded, or may yet; these tasks, on which it
    #: depends, have been run again since it was sent (`boss.core.cutoff`). Empty: none has.
    outdated: bytes = b""


class AttemptRow(msgspec.Struct):
    """One attempt. `ended` empty: it is live, in `phase`."""

    task: int
    attempt: int
    worker: str
    incarnation: str
    phase: str
    ended: str = ""
    reason: str = ""
    fault: str = ""
    exit_code: int | None = None
    command: str = ""
    #: JSON of list[CommandSummary], list[Input], list[ManifestEntry], dict of figures; empty is none.
    commands: bytes = b""
    inputs: bytes = b""
    manifest: bytes = b""
    figures: bytes = b""
    stdout_tail: str = ""
    stderr_tail: str = ""
    seconds: float = 0.0
    #: Set while the datastore is asked to abandon its collection: how the attempt ends if it does
    #: (`lost`, `cancelled`, `superseded`).
    abandoning: str = ""
    sent_at: float = 0.0
    began_at: float = 0.0
    ended_at: float = 0.0
    #: JSON of list[ResultFolder]; empty is none.
    folders: bytes = b""


class BatchRow(msgspec.Struct):
    number: int
    project: str
    name: str
    #: Its own tasks are numbers first .. first + count - 1 (init tasks have numbers after those).
    first: int
    count: int
    #: How many of its own tasks that are not dropped are in each TaskState, by the state's number.
    counts: list[int]
    #: Tasks of earlier batches with the same content, to which this push is attached.
    attached: bytes = b""  # array('q')
    #: Why its queued tasks wait; empty: not paused.
    paused: str = ""
    created_at: float = 0.0
    finished_at: float = 0.0
    warnings: list[str] = msgspec.field(default_factory=list)
    #: Seconds of workers that its attempts took: of each its duration, by its share of the worker's slots.
    worker_seconds: float = 0.0
    #: What `worker_seconds` was when a user last resumed it: a budget counts from there.
    budget_from: float = 0.0
    #: Of `paused`: a `boss.core.reasons.PauseKind`; empty: not paused.
    paused_kind: str = ""
    #: With project and name they tell whose batch it is (`boss.core.versions`); empty: not known.
    submitter: str = ""
    source: str = ""


class InitRow(msgspec.Struct):
    """An init task; its executions are attempts of this number."""

    number: int
    batch: int
    position: int
    spec: InitSpec
    #: The number of the newest execution, on whatever worker.
    attempt: int = 0
    #: The next version of the batch has not got it, or another one in its place (`boss.core.init_tasks`).
    retired: bool = False


class WorkerRow(msgspec.Struct):
    id: str
    incarnation: str
    state: str
    pool: str
    slots: int
    memory: int
    labels: dict[str, str]
    place: bytes  # JSON of Place
    address: str
    #: Why it gets nothing new; empty: it does.
    quarantined: str = ""
    draining: bool = False
    keep_alive: bool = False
    program: str = ""
    first_seen_at: float = 0.0
    changed_at: float = 0.0
    #: Of `quarantined`: a `boss.core.reasons.QuarantineKind`; empty: it is not.
    quarantined_kind: str = ""


class InstanceRow(msgspec.Struct):
    """One VM or process that a provider started, or was to start."""

    number: int
    worker: str
    pool: str
    provider: str
    state: str
    #: What the provider calls it (a VM id; `pid start_time` of a process); empty until known.
    reference: str = ""
    reason: str = ""
    requested_at: float = 0.0
    changed_at: float = 0.0
    #: Of its machine, as the provider knows it.
    address: str = ""
    #: An operator asked for it, and scaling in spares it.
    keep_alive: bool = False
    #: When its worker first said hello; 0: it has not.
    hello_at: float = 0.0
    #: Its network interface for init tasks: empty, asked for, or what the provider calls it (`boss.core.nics`).
    nic: str = ""


class FileRow(msgspec.Struct):
    """A file sent with a push that is to get its name on the datastore."""

    #: Inside the datastore's tree (project folder included).
    name: str
    digest: str
    size: int
    executable: bool
    batch: int
    #: The datastore has confirmed it.
    stored: bool = False


class ResultRow(msgspec.Struct):
    """A declared result and, once published, what stands under its name."""

    project: str
    #: Inside the project's tree.
    name: str
    task: int
    attempt: int = 0
    digest: str = ""
    size: int = 0
    executable: bool = False


class Move(msgspec.Struct):
    """One move, for the journal and for stories. `what`: task, attempt, worker, instance or batch."""

    what: str
    key: str
    attempt: int
    before: str
    after: str
    cause: str


class Acceptance(msgspec.Struct):
    """A push that is accepted: its new rows, written in bulk.

    `numbers[i]` is the task number of the submission's index i. Indexes in `kept` were there already
    (their rows are not touched, but for those in `replaced`); all others are new rows `first .. first + count - 1`
    in order of index. `dependencies` of new and replaced ones as task numbers, in compressed sparse rows over
    all n indexes: index i depends on `dependency_targets[dependency_starts[i]:dependency_starts[i + 1]]`.
    """

    batch: BatchRow
    submission: Submission
    numbers: array[int]
    kept: set[int]
    dependency_starts: array[int]
    dependency_targets: array[int]
    #: State of each index at acceptance (TaskState as a byte); those in `kept` are not to be read.
    states: bytearray
    inits: list[InitRow]
    files: list[FileRow]
    #: Those of `kept` whose rows get this push's description and dependencies -> (first, count) of their batch.
    replaced: dict[int, tuple[int, int]] = msgspec.field(default_factory=dict)
    #: Those of `kept` whose contents are on record in an earlier form: they get the present one.
    renewed: list[int] = msgspec.field(default_factory=list)


class Changes(msgspec.Struct):
    """All rows of one turn. Keys make later values of the same row replace earlier ones."""

    accepted: list[Acceptance] = msgspec.field(default_factory=list)
    batches: dict[int, BatchRow] = msgspec.field(default_factory=dict)
    tasks: dict[int, TaskRow] = msgspec.field(default_factory=dict)
    attempts: dict[tuple[int, int], AttemptRow] = msgspec.field(default_factory=dict)
    inits: dict[int, InitRow] = msgspec.field(default_factory=dict)
    workers: dict[str, WorkerRow] = msgspec.field(default_factory=dict)
    instances: dict[int, InstanceRow] = msgspec.field(default_factory=dict)
    #: Files whose `stored` became true: (name, digest).
    stored: list[tuple[str, str]] = msgspec.field(default_factory=list)
    results: dict[tuple[str, str], ResultRow] = msgspec.field(default_factory=dict)
    #: Directories that were replaced whole, (project, name) -> by which attempt: what an earlier attempt of the task
    #: left below the name is there no more, and its rows go.
    folders: dict[tuple[str, str], tuple[int, int]] = msgspec.field(default_factory=dict)
    #: Ended attempts that the datastore still has to Forget: added, and taken off when confirmed.
    records: dict[tuple[int, int], bool] = msgspec.field(default_factory=dict)
    moves: list[Move] = msgspec.field(default_factory=list)

    def empty(self) -> bool:
        """True: nothing to write, so the turn requires no transaction."""
        return not (
            self.accepted
            or self.batches
            or self.tasks
            or self.attempts
            or self.inits
            or self.workers
            or self.instances
            or self.stored
            or self.results
            or self.records
            or self.moves
        )


class LoadedBatch(msgspec.Struct):
    """One batch with its graph, as columns in order of number (first .. first + count - 1)."""

    row: BatchRow
    states: bytearray
    attempts: array[int]  # 'i'
    failures: array[int]  # 'i'
    deaths: array[int]  # 'i'
    cancelling: set[int]  # numbers
    #: Index into `profiles` of this object.
    profile_of: array[int]  # 'I'
    profiles: list[Profile]
    #: len() of each execution in bytes, to keep messages small.
    sizes: array[int]  # 'I'
    #: Dependencies as task numbers (of this batch or older ones), compressed sparse rows, 'q'.
    dependency_starts: array[int]
    dependency_targets: array[int]
    inits: list[InitRow]
    #: Index into 0..count-1 of the tasks that declare results.
    with_results: set[int]
    dropped: set[int]  # numbers
    #: Number -> `TaskRow.outdated`, of those that have it.
    outdated: dict[int, bytes] = msgspec.field(default_factory=dict)


class Loaded(msgspec.Struct):
    """What a start reads: all unfinished batches and everything else that is live."""

    deployment: str
    epoch: int
    next_task: int
    next_batch: int
    next_instance: int
    batches: list[LoadedBatch]
    #: Live attempts (ended is empty).
    attempts: list[AttemptRow]
    #: Workers that are not gone.
    workers: list[WorkerRow]
    #: Instances that are neither gone nor failed.
    instances: list[InstanceRow]
    #: Files not yet stored.
    files: list[FileRow]
    #: Ended attempts whose publish record the datastore still keeps.
    records: list[tuple[int, int]]
    #: States of tasks outside the loaded batches on which loaded tasks depend, and the other way round.
    outside: dict[int, int]
    #: Edges between a task outside the batch of its dependant: (dependency, dependant).
    crossing: list[tuple[int, int]]
    #: Of each pool the boot times of its last instances, oldest first, and what those that are over took:
    #: (day, seconds) as in `boss.core.pools`.
    boots: dict[str, list[float]] = msgspec.field(default_factory=dict)
    spent: dict[str, dict[int, float]] = msgspec.field(default_factory=dict)
    #: Of each unfinished batch how long its last tasks took: (task, worker, seconds), oldest first.
    took: list[tuple[int, str, float]] = msgspec.field(default_factory=list)


class OwnedTask(msgspec.Struct, frozen=True):
    """A task of an earlier version of a batch."""

    id: str
    number: int
    batch: int
    state: int


class Description(msgspec.Struct, frozen=True):
    """What a task is, as its row has it."""

    execution: bytes
    requirements: bytes
    #: JSON of Profile.
    profile: bytes


class Known(msgspec.Struct):
    """What the loop read from the database, in the same turn, for one Submitted event."""

    #: Tasks of the project that are there already, of those ids that the push contains or depends on:
    #: id -> (number, state, content digest, batch).
    tasks: dict[str, tuple[int, int, bytes, int]] = msgspec.field(default_factory=dict)
    #: Declared results of older tasks of the project that are not dropped, of those names that the push declares or
    #: requires: name -> (task number, its state, its id).
    results: dict[str, tuple[int, int, str]] = msgspec.field(default_factory=dict)
    #: Those of `tasks` that were dropped: the push takes them up again. Only ids that it contains.
    dropped: set[str] = msgspec.field(default_factory=set)
    #: Those of `tasks` that the push contains and that belong to another batch -> that batch (`boss.core.versions`).
    foreign: dict[str, int] = msgspec.field(default_factory=dict)
    #: The rows of those batches.
    batches: dict[int, BatchRow] = msgspec.field(default_factory=dict)
    #: Those of `tasks` that have succeeded, and something they depend on was run again since.
    outdated: set[str] = msgspec.field(default_factory=set)
    #: Those of `tasks` that have succeeded and whose results are not on the datastore any more, as it was seen.
    gone: set[str] = msgspec.field(default_factory=set)
    #: Tasks of earlier versions of this batch that are not in the push and not dropped.
    left_out: list[OwnedTask] = msgspec.field(default_factory=list)
    #: The init tasks of the versions of this batch that have tasks of the push.
    inits: dict[int, list[InitRow]] = msgspec.field(default_factory=dict)
    #: What some of those were that have another content now: id -> its description so far.
    described: dict[str, Description] = msgspec.field(default_factory=dict)
