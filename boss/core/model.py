"""The words of the boss: states of tasks, attempts, workers, instances and their network interfaces.

Values only; which state may follow which is in `boss.core.legal`, where everything is kept in `boss.core.state`.
A test compares docs/glossary.md with the states.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec


class TaskState(IntEnum):
    """State of a task. An int, because a million of them stand in one bytearray."""

    PENDING = 0
    QUEUED = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELLED = 5
    BLOCKED = 6

    @property
    def word(self) -> str:
        return self.name.lower()


#: Tasks in these states have work left that happens automatically.
UNFINISHED = frozenset({TaskState.PENDING, TaskState.QUEUED, TaskState.RUNNING})
#: Tasks in these states move again only when a user asks (or, blocked, when what blocks them does).
TERMINAL = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.BLOCKED})
#: A dependency in one of these blocks its dependants.
BROKEN = frozenset({TaskState.FAILED, TaskState.CANCELLED, TaskState.BLOCKED})


class Phase(StrEnum):
    """Where a live attempt is."""

    STAGING = "staging"
    STAGED = "staged"
    EXECUTING = "executing"
    COLLECTING = "collecting"


class Ended(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    #: Worker or instance gone. Costs no retry.
    LOST = "lost"
    #: Sent ahead, and taken or given back before it executed. Costs no retry.
    RETURNED = "returned"
    SUPERSEDED = "superseded"


class WorkerState(StrEnum):
    ONLINE = "online"
    DRAINING = "draining"
    LOST = "lost"
    GONE = "gone"


class InstanceState(StrEnum):
    #: The intent is on disk; the call was made or not.
    REQUESTED = "requested"
    #: The provider reports that it exists; its worker has not said hello.
    BOOTING = "booting"
    RUNNING = "running"
    #: Its stop was requested.
    STOPPING = "stopping"
    #: The provider does not list it any more.
    GONE = "gone"
    #: The provider gave up.
    FAILED = "failed"


class NicState(StrEnum):
    """The network interface of an instance for its init tasks (`boss.core.nics`)."""

    NONE = "none"
    #: Requested, and the provider has not answered.
    REQUESTED = "requested"
    ATTACHED = "attached"
    DETACHING = "detaching"


#: Of instances: requested, and the worker has not said hello yet; requested, and not to stop; ended for good.
COMING = (InstanceState.REQUESTED, InstanceState.BOOTING)
ALIVE = (*COMING, InstanceState.RUNNING)
OVER = (InstanceState.GONE, InstanceState.FAILED)


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the scheduler has to know of a task beside its place in the graph.

    Few tasks of a push differ in it, so they share one, and a task holds its index only.
    """

    slots: int = 1
    #: Bytes; 0 is no demand.
    memory: int = 0
    #: Pool that must run it; empty is any.
    pool: str = ""
    #: Labels that the worker must have.
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    #: Higher runs first.
    priority: int = 0
    #: How often a failed attempt is followed by another one; None: as often as the policy has it.
    retries: int | None = None
    #: Seconds before the first retry, doubled each time, with jitter, up to `retry_delay_max`; None: the policy's.
    retry_delay: float | None = None
    retry_delay_max: float | None = None
    #: Exit codes that are worth a retry; empty is all. A time-out counts as exit code 124.
    retry_on: tuple[int, ...] = ()
    #: It has requirements: an attempt is staged before it executes.
    staging: bool = False
    #: False: a task whose results all exist on the datastore succeeds without running.
    overwrite_result: bool = True
    #: The user's guess of its duration in seconds; 0 is none.
    expect: float = 0.0
    #: What kind of command it is, for what such tasks took before (`boss.core.durations`); 0 is none.
    template: int = 0
    #: Digest and size of sent files that it requires and shares with other tasks: it prefers workers that have them.
    inputs: tuple[tuple[str, int], ...] = ()


class Submission(msgspec.Struct, kw_only=True):
    """One push, checked by `boss.intake` and ready to be accepted: a graph as columns, not as objects.

    A million tasks are a few large lists and buffers. Position in these columns is the task's `index`
    (0 .. n-1, in file order without init tasks); accepting gives task `index` the number `first + index`.
    """

    project: str = "default"
    #: What the user calls the batch (file name or "name" of the file).
    name: str = ""
    merge_strategy: str = ""  # "", "replace" or "keep_succeeded"
    allow_shared_results: bool = False
    #: Who pushes it, as the client states; and the digest of the file's absolute path. Empty: not known.
    submitter: str = ""
    source: str = ""
    #: A user gave the batch its name; else it is the file's, and another file of that name is another batch.
    named: bool = True
    #: Ids are made of contents (`--create_ids`): the same id is the same task, whoever pushes it.
    created_ids: bool = False
    #: Tasks of former versions that are not in this one are dropped.
    prune: bool = False
    #: Nothing is changed: only what the push would do is answered.
    dry_run: bool = False
    #: The user knows that tasks which run now are superseded.
    confirmed: bool = False
    #: User's ids, unique.
    ids: list[str] = msgspec.field(default_factory=list)
    #: Canonical JSON of wire.messages.Execution, one each.
    executions: list[bytes] = msgspec.field(default_factory=list)
    #: JSON of list[wire.messages.Input], one each; b"" where there are none. `name` is inside the
    #: project's tree; `digest` is set for files sent with the push, else empty.
    requirements: list[bytes] = msgspec.field(default_factory=list)
    #: Digest of the task's content (canonical description and digests of sent files), 16 bytes each.
    contents: list[bytes] = msgspec.field(default_factory=list)
    #: Index -> its content in earlier forms, where those are other ones: rows of older programs have one of them.
    former_contents: dict[int, tuple[bytes, ...]] = msgspec.field(default_factory=dict)
    profiles: list[Profile] = msgspec.field(default_factory=list)
    #: array('I') as bytes: index into `profiles` of each task.
    profile_of: bytes = b""
    #: Dependencies within the push in compressed sparse rows, array('I') as bytes, n+1 and m entries:
    #: task i depends on targets[starts[i]:starts[i+1]].
    dependency_starts: bytes = b""
    dependency_targets: bytes = b""
    #: Dependencies on tasks that are not in this push: (index, id), ids in the same project.
    external: list[tuple[int, str]] = msgspec.field(default_factory=list)
    #: Requirements that are neither a result in this push nor a sent file: (index, name). A result of an
    #: older task of the project makes that task a dependency; else it is looked up on the datastore.
    external_names: list[tuple[int, str]] = msgspec.field(default_factory=list)
    #: Every declared result: (name inside the project's tree, index).
    results: list[tuple[str, int]] = msgspec.field(default_factory=list)
    inits: list[InitSpec] = msgspec.field(default_factory=list)
    #: Files sent along that get their names when the push is accepted.
    files: list[SentFile] = msgspec.field(default_factory=list)
    #: Shown to the user, change nothing.
    warnings: list[str] = msgspec.field(default_factory=list)


class InitSpec(msgspec.Struct, kw_only=True):
    """An init task of a batch: once per worker, in file order, before the batch's first other task there."""

    id: str
    execution: bytes
    requirements: bytes = b""


class SentFile(msgspec.Struct, kw_only=True):
    """A file that came with a push; its content lies in the boss's spool under its digest."""

    #: Inside the project's tree.
    name: str
    digest: str
    size: int
    executable: bool = False
