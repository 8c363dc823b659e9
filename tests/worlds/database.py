"""A small world for the database's tests: pushes and rows made directly, and what a load should give back."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from boss.core.model import InitSpec, Profile, Submission, TaskState
from boss.core.rows import Acceptance, AttemptRow, BatchRow, Changes, FileRow, InitRow, Move, TaskRow, WorkerRow
from boss.database import Database
from wire.messages import Execution, Input

P, Q, R, S, F, C, B = TaskState


@dataclass
class Push:
    """A push in few words: task id -> ids or numbers it depends on."""

    graph: Mapping[str, Sequence[str | int]]
    project: str = "default"
    first: int = 1
    batch: int = 1
    executions: Mapping[str, Execution] = field(default_factory=dict)
    requirements: Mapping[str, list[Input]] = field(default_factory=dict)
    results: list[tuple[str, str]] = field(default_factory=list)
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    kept: Mapping[str, int] = field(default_factory=dict)
    inits: list[InitSpec] = field(default_factory=list)
    files: list[FileRow] = field(default_factory=list)
    states: Mapping[str, TaskState] = field(default_factory=dict)

    def number(self, id: str) -> int:
        if id in self.kept:
            return self.kept[id]
        return self.first + [one for one in self.graph if one not in self.kept].index(id)

    def state(self, id: str) -> TaskState:
        return self.states.get(id, P if self.graph[id] else Q)

    def accepted(self) -> Acceptance:
        ids = list(self.graph)
        new = [id for id in ids if id not in self.kept]
        starts, targets = array("q", [0]), array("q")
        for id in ids:
            targets.extend(one if isinstance(one, int) else self.number(one) for one in self.graph[id])
            starts.append(len(targets))
        states = [self.state(id) for id in ids]
        counts = [sum(self.state(id) == state for id in new) for state in TaskState]
        row = BatchRow(self.batch, self.project, f"push {self.batch}", self.first, len(new), counts, created_at=5.0)
        row.attached = array("q", [self.kept[id] for id in ids if id in self.kept]).tobytes()
        return Acceptance(
            batch=row,
            submission=self.submission(),
            numbers=array("q", map(self.number, ids)),
            kept={index for index, id in enumerate(ids) if id in self.kept},
            dependency_starts=starts,
            dependency_targets=targets,
            states=bytearray(states),
            inits=[InitRow(self.first + len(new) + i, self.batch, i, spec) for i, spec in enumerate(self.inits)],
            files=self.files,
        )

    def submission(self) -> Submission:
        ids = list(self.graph)
        profiles: list[Profile] = []
        for id in ids:
            profile = self.profiles.get(id, Profile())
            if profile not in profiles:
                profiles.append(profile)
        starts, targets = array("I", [0]), array("I")
        for needed in self.graph.values():
            targets.extend(ids.index(one) for one in needed if isinstance(one, str))
            starts.append(len(targets))
        encode = msgspec.json.encode
        return Submission(
            project=self.project,
            name=f"push {self.batch}",
            ids=ids,
            executions=[encode(self.executions.get(id, Execution(commands=[f"echo {id}"]))) for id in ids],
            requirements=[encode(self.requirements[id]) if id in self.requirements else b"" for id in ids],
            contents=[content(id) for id in ids],
            profiles=profiles,
            profile_of=array("I", [profiles.index(self.profiles.get(id, Profile())) for id in ids]).tobytes(),
            results=[(name, ids.index(id)) for name, id in self.results],
            dependency_starts=starts.tobytes(),
            dependency_targets=targets.tobytes(),
        )


def content(id: str) -> bytes:
    return id.encode("utf-8")[:16].ljust(16, b"\0")


def push(database: Database, graph: Mapping[str, Sequence[str | int]], **more: object) -> Push:
    made = Push(graph, **more)  # type: ignore[arg-type]
    database.commit(Changes(accepted=[made.accepted()]), 1.0)
    return made


def moved(number: int, state: TaskState, attempt: int = 0, reason: str = "", cancelling: bool = False) -> TaskRow:
    return TaskRow(number, state, attempt, 0, 0, reason, cancelling, 7.0)


def attempt(task: int, number: int = 1, **more: object) -> AttemptRow:
    values: dict[str, object] = {"worker": "worker-1", "incarnation": "i1", "phase": "staging", "sent_at": 6.0}
    return AttemptRow(task, number, **(values | more))  # type: ignore[arg-type]


def worker(id: str = "worker-1", state: str = "online", **more: object) -> WorkerRow:
    return WorkerRow(id, "i1", state, "local", 2, 0, {"os": "linux"}, b"{}", "127.0.0.1", **more)  # type: ignore[arg-type]


def taken_over(url: str, timeout: float = 5.0) -> Database:
    database = Database.open(url, retry_seconds=timeout)
    database.take_over("host", 1)
    return database


def whole_turn() -> Changes:
    """Something in every table."""
    return Changes(
        accepted=[Push({"a": [], "b": ["a"]}, results=[("out", "a")]).accepted()],
        tasks={1: moved(1, R, 1)},
        attempts={(1, 1): attempt(1)},
        workers={"worker-1": worker()},
        records={(1, 1): True},
        moves=[Move("task", "1", 1, "queued", "running", "began")],
    )


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh one, taken over, on each kind of server."""
    made = taken_over(database_url)
    yield made
    made.close()


def turn_on_disk(database: Database) -> int:
    """The number of the last turn that is committed, read on a connection of its own."""
    with database._readers.connect() as connection:
        return int(connection.exec_driver_sql("SELECT turn FROM deployment").scalar_one())
