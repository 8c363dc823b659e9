"""The bodies of the HTTP API, one struct each. Values only: server and client share them.

These are the API's contract: `openapi` is generated from them and docs/http-api.md describes them. States are
strings here, never numbers. Fields are only ever added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from boss.core.model import UNFINISHED, TaskState


class _Body(msgspec.Struct, kw_only=True):
    """Of a request or of an answer."""


class _Viewed(msgspec.Struct, kw_only=True, frozen=True):
    """Part of the boss's view as it is: never changed once it is handed out."""


class ErrorAnswer(_Body):
    #: One sentence: what is wrong and what to do.
    error: str
    #: One line per problem, where there are several.
    details: list[str] = msgspec.field(default_factory=list)


class ReasonAnswer(_Body):
    """Why work waits. Kind and `about` (a worker, a pool, a batch) stay while the numbers change."""

    kind: str
    about: str
    text: str


class Counts(_Body):
    """Tasks by state."""

    pending: int = 0
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    blocked: int = 0

    @property
    def total(self) -> int:
        """All tasks."""
        return self.ended + self.unfinished

    @property
    def unfinished(self) -> int:
        """Tasks that have not ended: pending, queued, running."""
        return sum(getattr(self, state.word) for state in UNFINISHED)

    @property
    def ended(self) -> int:
        """Tasks that have ended, in whatever way, and blocked ones."""
        return self.succeeded + self.failed + self.cancelled + self.blocked


def counts_of(numbers: Sequence[int]) -> Counts:
    """From counts by TaskState's number, as rows and views have them."""
    return Counts(**{state.word: numbers[state] for state in TaskState if state < len(numbers)})


def reasons_of(reasons: Sequence[object]) -> list[ReasonAnswer]:
    """From the reasons of a view, which have the same fields."""
    return msgspec.convert(reasons, list[ReasonAnswer], from_attributes=True)


class StatusAnswer(_Body):
    #: False: no boss runs; this is what the database has.
    running: bool
    workers: int
    #: pending and queued tasks; `available` of them are queued.
    in_queue: int
    available: int
    in_progress: int
    finished: int
    succeeded: int
    #: failed tasks, and blocked ones (their dependencies failed).
    failed: int
    cancelled: int
    counts: Counts
    #: Former name of `warnings`; the same.
    hindrances: list[str]
    broker_connected: bool
    datastore_connected: bool
    deployment: str
    epoch: int
    turn: int
    #: Why work waits, a sentence each; and the same with their kinds.
    warnings: list[str] = msgspec.field(default_factory=list)
    reasons: list[ReasonAnswer] = msgspec.field(default_factory=list)
    #: Reports of workers and of the datastore that the boss rejected since it started, by reason; those that are not
    #: zero. They are of another deployment, worker, incarnation or host than they should be.
    rejected_reports: dict[str, int] = msgspec.field(default_factory=dict)


class BatchAnswer(_Viewed, frozen=True):
    number: int
    project: str
    name: str
    #: Its own tasks, and those that were there before with the same content.
    counts: Counts
    total: int
    finished: bool
    #: Why its queued tasks wait; empty: it is not paused.
    paused: str = ""
    #: Of `paused`: operator, budget or init_task.
    paused_kind: str = ""
    detached: bool = False
    #: Tasks that ended per second, lately.
    rate: float = 0.0
    #: None: not known yet.
    eta_seconds: float | None = None
    created_at: float = 0.0
    finished_at: float = 0.0
    warnings: list[str] = msgspec.field(default_factory=list)
    hindrances: list[str] = msgspec.field(default_factory=list)
    #: The same with their kinds.
    reasons: list[ReasonAnswer] = msgspec.field(default_factory=list)
    #: Sent files that are on their way to the datastore; nothing of it starts before.
    files_waiting: int = 0


class BatchList(_Body):
    batches: list[BatchAnswer]


class TaskAnswer(_Body):
    """A task in a list."""

    number: int
    project: str
    id: str
    state: str
    batch: int
    reason: str = ""
    #: Its newest attempt; 0: none yet.
    attempt: int = 0
    phase: str = ""
    worker: str = ""
    address: str = ""
    exit_code: int | None = None
    #: What the user wrote, one line each; an EPANET run is one line of words.
    commands: list[str] = msgspec.field(default_factory=list)


class TaskList(_Body):
    tasks: list[TaskAnswer]
    #: Give it as `after` to get the next ones; None: these were the last.
    next: int | None = None


class CommandAnswer(_Body):
    command: str
    exit_code: int
    seconds: float


class AttemptAnswer(_Body):
    attempt: int
    worker: str
    #: Empty: it is live, in `phase`.
    ended: str
    phase: str
    reason: str = ""
    fault: str = ""
    exit_code: int | None = None
    command: str = ""
    commands: list[CommandAnswer] = msgspec.field(default_factory=list)
    stdout_tail: str = ""
    stderr_tail: str = ""
    seconds: float = 0.0
    figures: dict[str, float] = msgspec.field(default_factory=dict)
    sent_at: float = 0.0
    began_at: float = 0.0
    ended_at: float = 0.0


class FileAnswer(_Body):
    name: str
    #: Inside the attempt's working directory.
    path: str
    digest: str = ""
    size: int = 0


class TaskDetail(_Body):
    task: TaskAnswer
    dependencies: list[str]
    requirements: list[FileAnswer]
    results: list[FileAnswer]
    attempts: list[AttemptAnswer]
    #: The description as it is kept.
    execution: dict[str, Any]


class DerivedCommand(_Body):
    #: download, run, upload or cleanup.
    kind: str
    text: str


class CommandsAnswer(_Body):
    commands: list[DerivedCommand]


class OutputAnswer(_Body):
    task: int
    attempt: int
    stdout_tail: str
    stderr_tail: str


class HeldAnswer(_Viewed, frozen=True):
    """One attempt that a worker has."""

    task: int
    project: str
    id: str
    attempt: int
    #: staging, staged, executing or collecting.
    phase: str
    #: Fraction done, where the task reports it.
    progress: float | None = None


class WorkerAnswer(_Viewed, frozen=True):
    id: str
    state: str
    pool: str
    slots: int
    address: str = ""
    #: To the broker; null: no boss runs that would know. Its attempts are its own until it is lost.
    connected: bool | None = None
    #: Why it gets nothing new; empty: it does.
    quarantined: str = ""
    #: Of `quarantined`: operator, other_host_key, no_host_key, untrusted, failures, init_task or results.
    quarantined_kind: str = ""
    #: Not stopped when it is idle.
    keep_alive: bool = False
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    holding: list[HeldAnswer] = msgspec.field(default_factory=list)
    program: str = ""


class WorkerList(_Body):
    workers: list[WorkerAnswer]
    #: What was asked of providers and has no worker at present: it has not said hello yet, or it was dropped. `state`
    #: is the instance's.
    without_worker: list[WorkerAnswer] = msgspec.field(default_factory=list)


class EventAnswer(_Body):
    """One move of a task, an attempt, a worker, an instance, a batch, or of a pool's size."""

    #: The boss's turn in which it happened, and when that was.
    turn: int
    time: float
    what: str
    #: A number, a worker's id, or a pool's name.
    key: str
    before: str
    after: str
    cause: str
    #: Of tasks and attempts.
    attempt: int = 0
    project: str = ""
    id: str = ""


class EventsAnswer(_Body):
    events: list[EventAnswer]
    #: Give it as `after` to get what comes later.
    next: int
    #: There is more already.
    more: bool


class StoryAnswer(_Body):
    task: TaskAnswer
    #: Everything that the journal still has of it, oldest first.
    events: list[EventAnswer]


class SelectionRequest(_Body, forbid_unknown_fields=True):
    """Which tasks: those named, those of the batches, or with `all` every one to which it applies."""

    tasks: list[str] = msgspec.field(default_factory=list)
    batches: list[int] = msgspec.field(default_factory=list)
    all: bool = False
    #: Name space of `tasks`; with `all`, only this project's unless it is empty.
    project: str = "default"


class DropTasksRequest(SelectionRequest, forbid_unknown_fields=True):
    """Which tasks, as in SelectionRequest; of these only those in one of the states, if there are any."""

    states: list[str] = msgspec.field(default_factory=list)


class ReasonRequest(_Body, forbid_unknown_fields=True):
    #: This text is part of the API, as it was first.
    reason: str = "a person asked for it"


class EmptyRequest(_Body, forbid_unknown_fields=True):
    """{}"""


class ChangeAnswer(_Body):
    #: What the boss did: counts and batches.
    done: dict[str, Any]
    #: Who carries the work on, where no boss runs; else empty.
    carry_on: str = ""


class SubmitAnswer(_Body):
    #: 0: nothing was accepted, as the push only asked what it would do (`dry_run`).
    batch: int
    #: What became of the push: how many tasks are new, how many the boss had already.
    done: dict[str, Any]
    warnings: list[str] = msgspec.field(default_factory=list)
    carry_on: str = ""
    #: What it does, counted and named, in sentences; the numbers are in `done`.
    plan: list[str] = msgspec.field(default_factory=list)


#: The reason of a change for which an operator gave none.
BY_OPERATOR = "requested by an operator"

#: Where the files of a login are on the other host, unless the operator names another folder.
LOGIN_FOLDER = "/etc/ecloud"


class LoginRequest(_Body, forbid_unknown_fields=True):
    #: Where the files will be on the other host, or where the machine puts them.
    folder: str = LOGIN_FOLDER
    #: What a worker with this login may say it is: its pool, its labels, at most so many slots (0: as many as any).
    #: What is left out stays as it was; of a new login: no pool, no labels.
    pool: str | None = None
    labels: dict[str, str] | None = None
    slots: int | None = None


class LoginAnswer(_Body):
    #: A worker's id, or `datastore`.
    name: str
    #: What it is called at the broker.
    username: str
    #: It is new.
    made: bool
    #: What the program on the other host requires: file name -> content. Secret.
    files: dict[str, str]
    #: What the operator still has to do, a sentence each.
    notes: list[str] = msgspec.field(default_factory=list)


class LoginRemoved(_Body):
    name: str


class InstanceLoginAnswer(_Body):
    #: What the program on that machine requires: file name -> content. Secret.
    files: dict[str, str]
    #: Its other settings, as environment variables.
    variables: dict[str, str]


class DebugLine(_Body):
    """One line of what was found out about a worker; the last one has `ended`."""

    text: str = ""
    ended: bool = False
    #: Of the last line: which checks failed; empty: all is well.
    failed: list[str] = msgspec.field(default_factory=list)


class ResultAnswer(_Body):
    project: str
    #: Inside the project's tree.
    name: str
    size: int
    digest: str
    #: The id and the number of the task that made it.
    task: str
    number: int
    #: 0: it was found there, no attempt made it.
    attempt: int
    #: When that attempt ended, in seconds since 1970.
    time: float


class ResultList(_Body):
    results: list[ResultAnswer]
    #: Give it as `after` to get the next ones; None: these were the last.
    next: str | None = None


class BundleItem(_Body, forbid_unknown_fields=True):
    name: str
    digest: str


class BundleRequest(_Body, forbid_unknown_fields=True):
    """Small results, at most 500; larger ones and those that are not available are left out of the answer."""

    results: list[BundleItem]
    project: str = "default"


class FolderAnswer(_Body):
    #: Inside the project's tree; empty: the files that stand in the folder itself.
    name: str
    files: int
    bytes: int


class UsageAnswer(_Body):
    #: What results come to, for each folder directly below the one that was asked about.
    folders: list[FolderAnswer]
    files: int
    bytes: int
    #: Contents that pushes sent, of all projects.
    sent_files: int
    sent_bytes: int
    #: Contents that the datastore keeps by digest, and the bytes of those that have no name; None: not known.
    kept_files: int | None = None
    kept_bytes: int | None = None
    #: Free on the datastore's disk; None: not known.
    free_bytes: int | None = None


class MissingRequest(_Body, forbid_unknown_fields=True):
    digests: list[str]


class MissingFile(_Body):
    digest: str
    #: Bytes of it that are here already: send from this offset on.
    have: int = 0


class MissingAnswer(_Body):
    missing: list[MissingFile]


class UploadAnswer(_Body):
    digest: str
    have: int
    complete: bool


class ContextAnswer(_Body):
    #: What other machines call the boss's.
    boss_address: str
    #: Empty: its machine is not made yet.
    datastore_address: str
    #: An operator has set where the datastore is.
    said: bool = False
    #: Remarks for the operator, a sentence each.
    notes: list[str] = []


class DatastoreRequest(_Body):
    address: str


# --- pools, instances, and changes of workers' machines ------------------------------------------------


class InstanceAnswer(_Viewed, frozen=True):
    """A machine or process that was requested of a provider, and that has not ended."""

    number: int
    worker: str
    pool: str
    provider: str
    #: requested, booting, running or stopping.
    state: str
    #: What the provider calls it; empty until it has answered.
    reference: str = ""
    address: str = ""
    #: What led to its state.
    reason: str = ""
    #: Scaling in spares it.
    keep_alive: bool = False
    #: In seconds since 1970; `since`: of its last change.
    requested_at: float = 0.0
    since: float = 0.0


class InstanceList(_Body):
    instances: list[InstanceAnswer]


class PlanAnswer(_Viewed, frozen=True):
    """The last decision about a pool's size."""

    reason: str
    why_not_more: str = ""
    #: Of `why_not_more`: limit, cannot_grow, budget, failures, one_try, starts_at_once, not_worth_it, enough, no_work.
    why_not_more_kind: str = ""
    why_not_fewer: str = ""
    #: Of `why_not_fewer`: worth_it, wanted_soon, minimum, just_idle or busy.
    why_not_fewer_kind: str = ""
    #: What it was decided on, by name; null: without end.
    numbers: dict[str, float | None] = msgspec.field(default_factory=dict)
    #: In seconds since 1970; 0: nothing was decided yet.
    decided_at: float = 0.0


class PoolAnswer(_Viewed, frozen=True):
    name: str
    provider: str
    #: workers, or datastore.
    role: str
    min: int
    max: int
    spare: int
    #: Its size follows the work; false: it is kept at `min`.
    grows: bool
    #: false: it is no longer in the settings, and only instances of it are left.
    in_settings: bool
    plan: PlanAnswer
    #: Instances by state.
    instances: dict[str, int]
    #: What a boot is expected to take, and of how many boots that was learned; 0: it is the configured one.
    boot_seconds: float
    boots_measured: int
    #: Failures in a row, and the text of the last one.
    failures: int = 0
    failed: str = ""
    #: Why the pool cannot grow (quota, no address left); empty: it can.
    full: str = ""
    #: Nothing is started before, in seconds since 1970; 0: it may be.
    retry_at: float = 0.0
    #: Hours of its instances in the last 30 days, and what is left of the month's budget; null: there is none.
    hours_spent: float = 0.0
    hours_left: float | None = None
    #: How many more the provider can start, as far as it knows, and what limits it.
    more: int | None = None
    limited_by: str = ""


class PoolList(_Body):
    pools: list[PoolAnswer]


class StartRequest(_Body, forbid_unknown_fields=True):
    count: int = 1
    #: Empty: the pool that is used first.
    pool: str = ""
    #: Scaling in spares them.
    keep_alive: bool = False


class StartedAnswer(_Body):
    pool: str
    #: Their ids; they say hello when they have booted.
    workers: list[str]
    #: What was not done, a sentence each.
    notes: list[str]


class TerminateRequest(_Body, forbid_unknown_fields=True):
    """Those of these ids and of these pools, or with `all` every one that the boss started elsewhere."""

    workers: list[str] = msgspec.field(default_factory=list)
    pools: list[str] = msgspec.field(default_factory=list)
    all: bool = False
    #: True: what they execute is lost, and runs elsewhere. False: they finish it first.
    now: bool = False


class TerminatedAnswer(_Body):
    ended: list[str]
    #: These finish the tasks that they hold first.
    draining: list[str]
    notes: list[str]


class DropRequest(_Body, forbid_unknown_fields=True):
    """Those of these ids, or with `all` every one; neither: those that are lost."""

    workers: list[str] = msgspec.field(default_factory=list)
    all: bool = False


class DroppedAnswer(_Body):
    dropped: list[str]
    notes: list[str]
