"""A simulated boss for the tests of the HTTP application: what is asked of it is recorded, what it says is set."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from starlette.types import ASGIApp

from boss.api.app import make_app
from boss.api.backend import BackendUnavailableError, Request, View
from boss.api.schema import BatchAnswer, HeldAnswer, PlanAnswer, PoolAnswer, WorkerAnswer, counts_of
from boss.api.serve import Server, listen
from boss.client.in_process_transport import InProcessTransport
from boss.core.effects import Answer
from boss.core.events import Submitted
from boss.core.model import Submission, TaskState
from boss.core.plan import Plan
from boss.core.rows import AttemptRow, BatchRow, InstanceRow, WorkerRow
from boss.database.views import JournalLine, JournalPage, ResultLine, StoredTask, TaskLine
from wire.messages import CommandSummary, Execution, Input, ManifestEntry, ResultItem

TOKEN = "a-token-of-the-tests"
P, Q, R, S, F, C, B = TaskState


def serve(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> Server:
    """It answers when this returns; port 0: any."""
    server = Server(app, listen(host, port))
    server.start()
    return server


def counts(**numbers: int) -> list[int]:
    return [numbers.get(state.word, 0) for state in TaskState]


def stored_tasks() -> dict[int, StoredTask]:
    """Three tasks: one succeeded with a result, one failed, one blocked."""
    return {
        1: _detail(1, "make", "succeeded", ["echo 3.42 > out"], exit_code=0),
        2: _detail(2, "fail/ä \x1b[31m", "failed", ["true", "echo on-stderr >&2; exit 1"], exit_code=1),
        3: _detail(3, "after", "blocked", ["cat out"], dependencies=["fail/ä \x1b[31m"]),
    }


def _detail(
    number: int,
    id: str,
    state: str,
    commands: list[str | list[str]],
    exit_code: int | None = None,
    dependencies: Sequence[str] = (),
) -> StoredTask:
    ran = exit_code is not None
    line = TaskLine(number=number, project="default", id=id, batch=1, state=state)
    if ran:
        line.attempt, line.worker, line.address = 1, "local-1", "127.0.0.1"
        line.phase, line.ended, line.exit_code = "executing", state, exit_code
        line.reason = "exit code 1 of command 2" if exit_code else ""
    results = [ResultItem(source="out", target="out")] if state == "succeeded" else []
    summaries = [CommandSummary(command=str(one), exit_code=exit_code or 0, seconds=0.1) for one in commands]
    manifest = [ManifestEntry(source=r.source, target=r.target, size=5, digest="b2:" + "0" * 64) for r in results]
    attempt = AttemptRow(
        task=number,
        attempt=1,
        worker="local-1",
        incarnation="a",
        phase="executing",
        ended=state,
        reason=line.reason,
        exit_code=exit_code,
        commands=msgspec.json.encode(summaries),
        manifest=msgspec.json.encode(manifest),
        stderr_tail="on-stderr\n\x1b]0;title\x07" if exit_code else "",
        seconds=0.2,
        ended_at=1.7e9,
    )
    return StoredTask(
        task=line,
        execution=Execution(commands=commands, results=results),
        requirements=[Input(name="net.inp", path="net.inp")],
        dependencies=list(dependencies),
        attempts=[attempt] if ran else [],
    )


def stored_journal() -> list[JournalLine]:
    """What happened to task 1 and its worker."""

    def line(turn: int, what: str, key: str, before: str, after: str, cause: str, attempt: int = 0) -> JournalLine:
        time = 1e9 + turn
        return JournalLine(
            turn=turn, time=time, what=what, key=key, attempt=attempt, before=before, after=after, cause=cause
        )

    return [
        line(1, "worker", "local-1", "new", "online", "hello of incarnation a"),
        line(2, "task", "1", "queued", "running", "started on local-1", 1),
        line(3, "attempt", "1", "executing", "succeeded", "", 1),
        line(3, "task", "1", "running", "succeeded", "its attempt succeeded", 1),
        line(4, "task", "2", "running", "failed", "\x1b[31mred"),
    ]


class FakeReads:
    def __init__(self) -> None:
        self.details = stored_tasks()
        first = BatchRow(1, "default", "three", 1, 3, counts(succeeded=1, failed=1, blocked=1), finished_at=2.0)
        self.rows = {1: first}
        self.journal = stored_journal()
        self.fault: Exception | None = None
        self.results: list[ResultLine] = []
        #: Digest -> size of what the datastore has of pushes.
        self.stored: dict[str, int] = {}

    def init_tasks(self, project: str, id: str) -> list[int]:
        return []

    def init_detail(self, number: int) -> None:
        return None

    def counts(self) -> list[int]:
        if self.fault is not None:
            raise self.fault
        return [sum(row.counts[state] for row in self.rows.values()) for state in TaskState]

    def batches(self) -> list[BatchRow]:
        if self.fault is not None:
            raise self.fault
        return list(self.rows.values())

    def batch(self, number: int) -> BatchRow | None:
        return self.rows.get(number)

    def workers(self) -> list[WorkerRow]:
        return []

    def live_instances(self) -> list[InstanceRow]:
        return []

    def pools_past(self) -> tuple[dict[str, list[float]], dict[str, dict[int, float]]]:
        return {}, {}

    def tasks_of(
        self,
        states: Collection[int] = (),
        batch: int = 0,
        project: str | None = None,
        after: int = 0,
        limit: int = 100,
        offset: int = 0,
        with_execution: bool = False,
    ) -> list[TaskLine]:
        words = {TaskState(state).word for state in states}
        return [
            self._line(detail)
            for number, detail in self.details.items()
            if number > after
            and (not words or detail.task.state in words)
            and (not batch or detail.task.batch == batch)
            and (project is None or detail.task.project == project)
        ][:limit]

    def task_lines(self, numbers: Sequence[int], with_execution: bool = False) -> list[TaskLine]:
        return [self._line(self.details[number]) for number in numbers if number in self.details]

    def task_detail(self, number: int) -> StoredTask | None:
        return self.details.get(number)

    def story(self, number: int) -> list[JournalLine]:
        return [line for line in self.journal if line.key == str(number) and line.what in ("task", "attempt")]

    def events(self, after: int = 0, since: float = 0.0, task: int = 0, limit: int = 1000) -> JournalPage:
        lines = [line for line in self.journal if line.turn > after and line.time >= since]
        lines = [line for line in lines if not task or line in self.story(task)]
        turn = lines[:limit][-1].turn if lines else after
        return JournalPage(lines=lines[:limit], turn=turn, more=len(lines) > limit)

    def last_events(self, count: int, task: int = 0) -> JournalPage:
        page = self.events(task=task)
        return JournalPage(lines=page.lines[-count:], turn=9, more=False)

    def results_of(
        self,
        project: str | None = None,
        first: int = 0,
        last: int = 2**63 - 1,
        after: tuple[int, bytes] = (0, b""),
        limit: int = 1000,
    ) -> list[ResultLine]:
        ordered = sorted(self.results, key=lambda line: (line.task, line.key))
        chosen = [line for line in ordered if first <= line.task <= last and (line.task, line.key) > after]
        return [line for line in chosen if project in (None, line.project)][:limit]

    def result(self, project: str, name: str) -> ResultLine | None:
        return next((line for line in self.results if (line.project, line.name) == (project, name)), None)

    def results_named(self, project: str, names: Sequence[str]) -> list[ResultLine]:
        return [line for line in self.results if line.project == project and line.name in names]

    def folder_sums(self, project: str, folder: str = "") -> dict[str, tuple[int, int]]:
        below = [line for line in self.results if not folder or line.name.startswith(f"{folder}/")]
        return {"": (len(below), sum(line.size for line in below))}

    def sent_sum(self) -> tuple[int, int]:
        return len(self.stored), sum(self.stored.values())

    def _line(self, detail: StoredTask) -> TaskLine:
        return msgspec.structs.replace(detail.task, execution=detail.execution)


class FakeLookups:
    def __init__(self, reads: FakeReads) -> None:
        self.reads = reads
        #: (id, name, digest, size) of what tasks of the next push have left.
        self.left: list[tuple[str, str, str, int]] = []

    def published(self, submission: Submission) -> list[tuple[str, str, str, int]]:
        return self.left

    def ids(self, numbers: Sequence[int]) -> dict[int, str]:
        return {number: f"task of {number}" for number in numbers}

    def states(self, numbers: Sequence[int]) -> dict[int, int]:
        return {n: TaskState[self.reads.details[n].task.state.upper()] for n in numbers if n in self.reads.details}

    def executions(self, numbers: Sequence[int]) -> dict[int, tuple[str, str, bytes]]:
        return {n: ("default", self.reads.details[n].task.id, b"{}") for n in numbers if n in self.reads.details}

    def stored(self, digests: Sequence[str]) -> dict[str, int]:
        return {digest: self.reads.stored[digest] for digest in digests if digest in self.reads.stored}

    def task_numbers(self, project: str, ids: Iterable[str]) -> dict[str, int]:
        known = {d.task.id: n for n, d in self.reads.details.items() if d.task.project == project}
        return {id: known[id] for id in ids if id in known}


class FakeBackend:
    """Answers what `says` holds; a push becomes batch 7, which has as many queued tasks as it brought."""

    def __init__(self, directory: Path) -> None:
        self.reads = FakeReads()
        self.lookups = FakeLookups(self.reads)
        self.spool = directory / "spool"
        self.asked: list[Request] = []
        self.says = Answer(reply=0, value={"retried": 2})
        #: Of the next pushes.
        self.plan: Plan | None = None
        self.away = ""
        self.followers = 0
        #: How often a client began to follow, over all.
        self.followed = 0
        self.max_followers = 0
        self.detached: list[int] = []
        self.lock = threading.Lock()
        self.now = View(
            turn=3,
            deployment="d1",
            epoch=1,
            workers=(
                WorkerAnswer(
                    id="local-1",
                    state="online",
                    pool="local",
                    slots=2,
                    address="127.0.0.1",
                    holding=[HeldAnswer(task=2, project="", id="", attempt=1, phase="executing")],
                ),
            ),
        )

    def ask(self, event: Request) -> Answer:
        if self.away:
            raise BackendUnavailableError(self.away)
        self.asked.append(event)
        if isinstance(event, Submitted) and not self.says.rejections:
            total = len(event.submission.ids)
            self.set_batch(7, queued=total)
            row = BatchRow(7, event.submission.project, event.submission.name, 100, total, counts(queued=total))
            self.reads.rows[7] = row
            value: dict[str, object] = {"batch": 7, "tasks": total, "attached": 0, "warnings": ["one warning"]}
            if self.plan is not None:
                value["plan"] = self.plan
            return Answer(reply=0, value=value)
        return self.says

    def set_batch(self, number: int, **numbers: int) -> None:
        found = counts_of(counts(**numbers))
        batch = BatchAnswer(
            number=number,
            project="default",
            name="",
            counts=found,
            total=found.total,
            finished=not found.unfinished,
        )
        self.now = msgspec.structs.replace(self.now, turn=self.now.turn + 1, batches={number: batch})

    def view(self) -> View:
        return self.now

    @contextmanager
    def follow(self, batch: int) -> Iterator[None]:
        with self.lock:
            self.followers += 1
            self.followed += 1
            self.max_followers = max(self.max_followers, self.followers)
        try:
            yield
        finally:
            with self.lock:
                self.followers -= 1

    def detach(self, batch: int) -> None:
        self.detached.append(batch)

    def carry_on(self) -> str:
        return "" if self.now.live else "no boss carries it on"


def attach(row: BatchRow, *numbers: int) -> None:
    row.attached = array("q", numbers).tobytes()


def inside(backend: FakeBackend, **options: Any) -> httpx.Client:
    """A plain HTTP client of the application in this process, with the right token."""
    app = make_app(backend, [TOKEN], **options)
    headers = {"authorization": f"Bearer {TOKEN}"}
    return httpx.Client(
        base_url="http://localhost/api/v1", headers=headers, transport=InProcessTransport(app), trust_env=False
    )


def pool_answer(**given: Any) -> PoolAnswer:
    """One pool of the settings that has nothing yet, but for what is given."""
    defaults: dict[str, Any] = {"role": "workers", "min": 0, "max": 0, "spare": 0, "grows": False, "in_settings": True}
    empty = {"plan": PlanAnswer(reason=""), "instances": {}, "boot_seconds": 0.0, "boots_measured": 0}
    return PoolAnswer(**(defaults | empty | given))
