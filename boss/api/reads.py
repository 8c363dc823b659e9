"""What the HTTP application asks of the database, as Protocols of what `boss.database` offers. Knows no SQL.

The edges never import one another, so the shapes are named here by the attributes that are used. Any call
may block, and may raise what the database raises when it is away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from boss.core.rows import BatchRow, InstanceRow, WorkerRow
from wire.messages import CommandSummary, Execution, Input, ManifestEntry

#: The largest number that a database takes.
LARGEST = 2**63 - 1


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


class ResultLine(Protocol):
    project: str
    name: str
    task: int
    id: str
    attempt: int
    digest: str
    size: int
    time: float
    key: bytes


class FolderSum(Protocol):
    name: str
    files: int
    bytes: int


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
    def live_instances(self) -> list[InstanceRow]: ...
    def pools_past(self) -> tuple[dict[str, list[float]], dict[str, dict[int, float]]]: ...
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
    def results_of(
        self,
        project: str | None = None,
        first: int = 0,
        last: int = LARGEST,
        after: tuple[int, bytes] = (0, b""),
        limit: int = 1000,
    ) -> Sequence[ResultLine]: ...
    def result(self, project: str, name: str) -> ResultLine | None: ...
    def results_named(self, project: str, names: Sequence[str]) -> Sequence[ResultLine]: ...
    def folder_sums(self, project: str, folder: str = "") -> Sequence[FolderSum]: ...
    def sent_sum(self) -> tuple[int, int]: ...


class Lookups(Protocol):
    """What numbers and ids mean."""

    def states(self, numbers: Sequence[int]) -> dict[int, int]: ...
    def executions(self, numbers: Sequence[int]) -> dict[int, tuple[str, str, bytes]]: ...
    def task_numbers(self, project: str, ids: Iterable[str]) -> dict[str, int]: ...
    def stored(self, digests: Sequence[str]) -> dict[str, int]: ...
