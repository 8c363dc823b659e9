"""What the HTTP application asks of the database, as Protocols of what `boss.database` offers. Knows no SQL.

The edges never import one another, so the shapes are named here by the attributes that are used. Any call
may block, and may raise what the database raises when it is away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from boss.core.rows import BatchRow, WorkerRow
from wire.messages import CommandSummary, Execution, Input, ManifestEntry


class TaskLine(Protocol):
    number: int
    project: str
    id: str
    batch: int
    #: The state's word.
    state: str
    attempt: int
    reason: str
    worker: str
    address: str
    phase: str
    ended: str
    exit_code: int | None
    #: Only where it was asked for.
    execution: Execution | None


class AttemptView(Protocol):
    attempt: int
    worker: str
    phase: str
    ended: str
    reason: str
    fault: str
    exit_code: int | None
    command: str
    commands: list[CommandSummary]
    manifest: list[ManifestEntry]
    figures: dict[str, float]
    stdout_tail: str
    stderr_tail: str
    seconds: float
    sent_at: float
    began_at: float
    ended_at: float


class DependencyView(Protocol):
    id: str


class JournalLine(Protocol):
    turn: int
    time: float
    what: str
    key: str
    attempt: int
    before: str
    after: str
    cause: str


class JournalPage(Protocol):
    #: The last turn that was looked at.
    turn: int
    more: bool

    @property
    def lines(self) -> Sequence[JournalLine]: ...


class TaskDetail(Protocol):
    execution: Execution
    requirements: list[Input]

    @property
    def task(self) -> TaskLine: ...
    @property
    def dependencies(self) -> Sequence[DependencyView]: ...
    @property
    def attempts(self) -> Sequence[AttemptView]: ...


class Reads(Protocol):
    """What people see."""

    def counts(self) -> Sequence[int]: ...
    def batches(self) -> list[BatchRow]: ...
    def batch(self, number: int) -> BatchRow | None: ...
    def workers(self) -> list[WorkerRow]: ...
    def tasks_of(
        self,
        states: Collection[int] = (),
        batch: int = 0,
        project: str | None = None,
        after: int = 0,
        limit: int = 100,
        offset: int = 0,
        with_execution: bool = False,
    ) -> Sequence[TaskLine]: ...
    def task_lines(self, numbers: Sequence[int], with_execution: bool = False) -> Sequence[TaskLine]: ...
    def task_detail(self, number: int) -> TaskDetail | None: ...
    def story(self, number: int) -> Sequence[JournalLine]: ...
    def events(self, after: int = 0, since: float = 0.0, task: int = 0, limit: int = 1000) -> JournalPage: ...
    def last_events(self, count: int, task: int = 0) -> JournalPage: ...


class Lookups(Protocol):
    """What numbers and ids mean."""

    def states(self, numbers: Sequence[int]) -> dict[int, int]: ...
    def executions(self, numbers: Sequence[int]) -> dict[int, tuple[str, str, bytes]]: ...
    def task_numbers(self, project: str, ids: Iterable[str]) -> dict[str, int]: ...
