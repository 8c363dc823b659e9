"""What the HTTP application needs of a boss: events in with an answer, and two ways of reading.

Values and Protocols only. The live backend is `boss.loop`'s, the one without a running boss is
`boss.web.offline`. Nothing here knows HTTP, SQL or threads; how `ask` waits is the backend's business.

The `View` is a snapshot that the loop makes after a turn: small, complete, never changed once it is handed
out. What it does not have (single tasks, finished batches) is read from the database through `Reads`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from boss.core.effects import Answer
from boss.core.events import (
    CancelAsked,
    PauseAsked,
    QuarantineAsked,
    RedoAsked,
    RetryAsked,
    SendAsked,
    Submitted,
    WorkerDrainAsked,
)
from boss.web.reads import Lookups, Reads

Request = Submitted | CancelAsked | RetryAsked | RedoAsked | PauseAsked | WorkerDrainAsked | QuarantineAsked | SendAsked


class BackendUnavailable(Exception):
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
    #: Why it gets nothing new; empty: it does.
    quarantined: str = ""
    keep_alive: bool = False
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    holding: tuple[HeldAttempt, ...] = ()
    program: str = ""


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """One batch that has work left, or had some a moment ago."""

    number: int
    project: str
    name: str
    #: By TaskState; its own tasks and those of earlier batches to which its push is attached.
    counts: tuple[int, ...]
    paused: str = ""
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
    #: Connected to the broker; the datastore said hello.
    broker_connected: bool = True
    datastore_connected: bool = True
    #: Bytes free on the datastore's disk, as it said last; 0: it has not said.
    datastore_free: int = 0
    #: Why something does not go on, one sentence each (no worker fits, disk full, broker away ...).
    hindrances: tuple[str, ...] = ()
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

        Comes back after the commit. Raises BackendUnavailable.
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
