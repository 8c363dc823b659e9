"""The boss as the HTTP application sees it: events in with an answer, a view, and queries of the database.

Values and Protocols only. The live backend is `boss.loop`'s, the one without a running boss is
`boss.api.offline`. Nothing here knows HTTP, SQL or threads; how `ask` waits is the backend's business.

The `View` is a snapshot that the loop makes after a turn: small, complete, never changed once it is handed
out; what it holds is in the shape in which it is answered. What it does not have (single tasks, finished
batches) is read from the database through `reads`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from boss.api.errors import ApiError
from boss.api.schema import BatchAnswer, InstanceAnswer, PoolAnswer, WorkerAnswer
from boss.core.effects import Answer
from boss.core.events import (
    DropWorkersAsked,
    InstancesAsked,
    PauseAsked,
    QuarantineAsked,
    ResultsAsked,
    SendAsked,
    Submitted,
    TasksAsked,
    TerminateAsked,
    WorkerDrainAsked,
)
from boss.core.store import DatabaseAwayError
from boss.database import DatabaseLookups, DatabaseReads
from boss.database.errors import DatabaseError
from boss.status import StatusReason
from wire.messages import Place

Request = (
    Submitted
    | TasksAsked
    | PauseAsked
    | WorkerDrainAsked
    | QuarantineAsked
    | SendAsked
    | ResultsAsked
    | InstancesAsked
    | TerminateAsked
    | DropWorkersAsked
)


#: What reads and changes raise while the database is away; their texts are sentences.
DATABASE_ERRORS = (DatabaseError, DatabaseAwayError)


class BackendUnavailableError(ApiError):
    """The boss cannot answer now (database away, stopping, too busy). The text is a sentence for users."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """The boss after one turn."""

    #: Rises by one with each turn that changed something.
    turn: int = 0
    deployment: str = ""
    epoch: int = 0
    #: A boss runs. False: what the database has, and no boss works on it.
    live: bool = True
    #: Those that have work left, or had some a moment ago; without the reasons below.
    batches: dict[int, BatchAnswer] = msgspec.field(default_factory=dict)
    #: What they hold may lack project and id of the task: a live boss does not have them in memory.
    workers: tuple[WorkerAnswer, ...] = ()
    #: Worker -> where its files are, once it has said hello.
    places: dict[str, Place] = msgspec.field(default_factory=dict)
    pools: tuple[PoolAnswer, ...] = ()
    instances: tuple[InstanceAnswer, ...] = ()
    #: Connected to the broker; the datastore said hello.
    broker_connected: bool = True
    datastore_connected: bool = True
    #: Bytes free on the datastore's disk, as it reported last; 0: not known.
    datastore_free: int = 0
    #: Why work waits (no worker fits, disk full, broker away ...).
    reasons: tuple[StatusReason, ...] = ()
    #: Reports of workers and of the datastore that were rejected since the boss started, by
    #: `boss.core.reasons.ReportRejection`.
    rejected_reports: dict[str, int] = msgspec.field(default_factory=dict)
    #: It is stopping and takes no more pushes.
    stopping: bool = False


class Backend(Protocol):
    """A boss as the HTTP application sees it. All calls may come from several threads at once."""

    @property
    def reads(self) -> DatabaseReads:
        """Queries; each call may block on the database."""
        ...

    @property
    def lookups(self) -> DatabaseLookups:
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
        """Work on this batch to its end even without a follower."""
        ...

    def carry_on(self) -> str:
        """Who will do the work that a change makes: empty for a running boss, else a sentence with the command."""
        ...
