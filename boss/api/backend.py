"""What the HTTP application needs of a boss: events in with an answer, and two ways of reading.

Values and Protocols only. The live backend is `boss.loop`'s, the one without a running boss is
`boss.api.offline`. Nothing here knows HTTP, SQL or threads; how `ask` waits is the backend's business.

The `View` is a snapshot that the loop makes after a turn: small, complete, never changed once it is handed
out. What it does not have (single tasks, finished batches) is read from the database through `Reads`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from boss.api.errors import ApiError
from boss.api.reads import Lookups, Reads
from boss.api.schema_pools import InstanceAnswer
from boss.core.effects import Answer
from boss.core.events import (
    DropWorkersAsked,
    InstancesAsked,
    PauseAsked,
    QuarantineAsked,
    SendAsked,
    Submitted,
    TasksAsked,
    TerminateAsked,
    WorkerDrainAsked,
)
from boss.core.reasons import NotFewer, NotMore
from boss.status import StatusReason
from wire.messages import Place

Request = (
    Submitted
    | TasksAsked
    | PauseAsked
    | WorkerDrainAsked
    | QuarantineAsked
    | SendAsked
    | InstancesAsked
    | TerminateAsked
    | DropWorkersAsked
)


class BackendUnavailableError(ApiError):
    """The boss cannot answer now (database away, stopping, too busy). The text is a sentence for people."""


class HeldAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt that a worker has."""

    task: int
    attempt: int
    #: staging, staged, executing or collecting.
    phase: str
    #: Fraction done, where the task tells it.
    progress: float | None = None


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    #: online, draining, lost or gone.
    state: str
    pool: str
    slots: int
    address: str = ""
    #: At the broker, as far as it says; None: no boss runs that would know.
    connected: bool | None = None
    #: Why it gets nothing new, and which `boss.core.reasons.QuarantineKind` that is; empty: it does.
    quarantined: str = ""
    quarantined_kind: str = ""
    keep_alive: bool = False
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    holding: tuple[HeldAttempt, ...] = ()
    program: str = ""
    #: Where its files are; None: it has not said hello.
    place: Place | None = None


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """One pool: what the settings say, what there is, what was decided last and why."""

    name: str
    provider: str
    role: str = "workers"
    least: int = 0
    most: int = 0
    spare: int = 0
    #: Its size is decided by the work; False: it is kept at `least`.
    grows: bool = False
    #: False: the settings name it no more, only instances of it are left.
    in_settings: bool = True
    #: Instances by state.
    instances: dict[str, int] = msgspec.field(default_factory=dict)
    #: What a boot is expected to take, and of how many boots that was learned; 0: the settings say so.
    boot_seconds: float = 0.0
    boots_measured: int = 0
    #: The last decision, and when it was made (wall clock; 0: none yet).
    reason: str = ""
    why_not_more: NotMore | None = None
    why_not_fewer: NotFewer | None = None
    numbers: dict[str, float] = msgspec.field(default_factory=dict)
    decided_at: float = 0.0
    #: Failures in a row, and what the last one said.
    failures: int = 0
    failed: str = ""
    #: Why the provider makes no more (quota, no address left); empty: it does.
    full: str = ""
    #: Nothing is started before (wall clock); 0: it may be.
    retry_at: float = 0.0
    #: Instance-seconds of the last 30 days, and what is left of the month's budget; None: there is none.
    spent_seconds: float = 0.0
    left_seconds: float | None = None
    #: How many more the provider would make, as far as it can tell, and what limits it.
    more: int | None = None
    limited_by: str = ""


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """One batch that has work left, or had some a moment ago."""

    number: int
    project: str
    name: str
    #: By TaskState; its own tasks and those of earlier batches to which its push is attached.
    counts: tuple[int, ...]
    #: Why its queued tasks wait, and which `boss.core.reasons.PauseKind` that is; empty: not paused.
    paused: str = ""
    paused_kind: str = ""
    #: Tasks that ended per second, lately.
    rate: float = 0.0
    created_at: float = 0.0
    #: 0: not finished.
    finished_at: float = 0.0
    #: The boss works on it with nobody following.
    detached: bool = False
    warnings: tuple[str, ...] = ()
    #: Sent files that have not got their names on the datastore; nothing of it starts before.
    files_waiting: int = 0


class View(msgspec.Struct, frozen=True, kw_only=True):
    """The boss after one turn."""

    #: Rises by one with each turn that changed something.
    turn: int = 0
    deployment: str = ""
    epoch: int = 0
    #: A boss runs. False: what stands in the database, nobody works on it.
    live: bool = True
    batches: dict[int, BatchView] = msgspec.field(default_factory=dict)
    workers: tuple[WorkerView, ...] = ()
    pools: tuple[PoolView, ...] = ()
    instances: tuple[InstanceAnswer, ...] = ()
    #: Connected to the broker; the datastore said hello.
    broker_connected: bool = True
    datastore_connected: bool = True
    #: Bytes free on the datastore's disk, as it said last; 0: it has not said.
    datastore_free: int = 0
    #: Why something does not go on (no worker fits, disk full, broker away ...).
    reasons: tuple[StatusReason, ...] = ()
    #: Reports of workers and of the datastore that were rejected since the boss started, by
    #: `boss.core.reasons.ReportRejection`.
    rejected_reports: dict[str, int] = msgspec.field(default_factory=dict)
    followers: int = 0
    #: It is about to end and takes no push any more.
    stopping: bool = False


class Backend(Protocol):
    """A boss as the HTTP application sees it. All calls may come from several threads at once."""

    @property
    def reads(self) -> Reads:
        """Queries; each call may block on the database."""
        ...

    @property
    def lookups(self) -> Lookups:
        """Ids and numbers of tasks; each call may block on the database."""
        ...

    @property
    def spool(self) -> Path:
        """Directory of the files that pushes send in."""
        ...

    def ask(self, event: Request) -> Answer:
        """Give the event to the scheduler, with a reply number of the backend's choice; wait for the answer.

        Comes back after the commit. Raises BackendUnavailableError.
        """
        ...

    def view(self) -> View:
        """A snapshot not older than a moment; may wait for the loop, so async code asks for it in a thread."""
        ...

    def follow(self, batch: int) -> AbstractContextManager[None]:
        """Counts a follower while the context lasts."""
        ...

    def detach(self, batch: int) -> None:
        """Work on this batch to its end even if nobody follows."""
        ...

    def carry_on(self) -> str:
        """Who will do the work that a change makes: empty for a running boss, else a sentence with the command."""
        ...
