"""What must hold when a tortured deployment has come to rest: from its database, its tree, and the tasks' own log.

Each function gives the violations that it found, as sentences; none is good news.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy

from boss.core.model import TaskState
from tests.acceptance.torture.killer import Fault
from tests.acceptance.torture.load import Load
from tests.acceptance.torture.place import LEASE, Line, Place, log_time

#: Between something that happened and the boss's or the log's noticing it, on a loaded machine.
SLACK = 5.0


@dataclass(frozen=True)
class Attempt:
    id: str
    attempt: int
    worker: str
    ended: str
    reason: str
    ended_at: float


@dataclass
class Record:
    """What the database says."""

    states: dict[str, TaskState]
    attempts: dict[str, list[Attempt]]
    #: Results: id -> (digest's task attempt).
    results: list[tuple[str, str, int]]
    #: Rows that should be gone once everything is at rest.
    publish_records: int

    def succeeded(self) -> dict[str, int]:
        found = {}
        for id, attempts in self.attempts.items():
            for one in attempts:
                if one.ended == "succeeded":
                    found[id] = one.attempt
        return found


def read(url: str) -> Record:
    with _connected(url) as connection:
        return _read(connection)


def rows_of(url: str, query: str) -> list[sqlalchemy.Row[tuple[object, ...]]]:
    with _connected(url) as connection:
        return list(connection.execute(sqlalchemy.text(query)))


@contextlib.contextmanager
def _connected(url: str) -> Iterator[sqlalchemy.Connection]:
    if url.startswith("mysql:"):
        url = url.replace("mysql:", "mysql+pymysql:", 1)
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _read(connection: sqlalchemy.Connection) -> Record:
    def rows(text: str) -> list[sqlalchemy.Row[tuple[object, ...]]]:
        return list(connection.execute(sqlalchemy.text(text)))

    states = rows(
        "SELECT tasks.id, COALESCE(task_states.state, tasks.accepted_as) FROM tasks"
        " LEFT JOIN task_states ON task_states.number = tasks.number"
    )
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for row in rows(
        "SELECT tasks.id, attempts.attempt, attempts.worker, attempts.ended, attempts.reason, attempts.ended_at"
        " FROM attempts JOIN tasks ON tasks.number = attempts.task ORDER BY attempts.task, attempts.attempt"
    ):
        attempts[str(row[0])].append(Attempt(*row))  # type: ignore[arg-type]
    results = rows(
        "SELECT results.name, tasks.id, results.attempt FROM results JOIN tasks ON tasks.number = results.task"
    )
    return Record(
        states={str(id): TaskState(state) for id, state in states},
        attempts=dict(attempts),
        results=[(str(name), str(id), int(attempt)) for name, id, attempt in results],  # type: ignore[call-overload]
        publish_records=len(rows("SELECT task FROM records")),
    )


def is_poisoned(record: Record, id: str, faults: list[Fault]) -> bool:
    """Failed because its agents died under it three times in a row, each time by the killer's hand."""
    if record.states[id] is not TaskState.FAILED or len(record.attempts[id]) < 3:
        return False
    last = record.attempts[id][-3:]
    return all(one.ended == "lost" and _killed(one, faults) for one in last)


def _killed(attempt: Attempt, faults: list[Fault]) -> bool:
    of_it = [fault for fault in faults if fault.victim == "worker" and fault.worker == attempt.worker]
    return any(attempt.ended_at - LEASE - SLACK < fault.began < attempt.ended_at for fault in of_it)


def violations(load: Load, faults: list[Fault]) -> list[str]:
    """Everything that is wrong."""
    return all_violations(load, read(load.place.database), load.place.events(), faults)


def all_violations(load: Load, record: Record, lines: list[Line], faults: list[Fault]) -> list[str]:
    found = _in_database(load, record)
    if found:
        return found  # what follows builds on it
    found += _results(load, record)
    found += _order(load, record, lines)
    found += _repetitions(record, lines, faults)
    found += _strays(load.place, lines, faults)
    return found


def _in_database(load: Load, record: Record) -> list[str]:
    found = [f"{id} is not in the database" for id in load.tasks if id not in record.states]
    for id, state in record.states.items():
        attempts = record.attempts.get(id, [])
        successes = sum(one.ended == "succeeded" for one in attempts)
        if state is not TaskState.SUCCEEDED or successes != 1:
            reasons = [f"{one.attempt} {one.ended} ({one.reason})" for one in attempts]
            found.append(f"{id} is {state.word} with {successes} successes; attempts: {reasons}")
        elif attempts[-1].ended != "succeeded":
            found.append(f"{id} had attempt {attempts[-1].attempt} after it had succeeded")
        found += [f"{id}.{one.attempt} is still open at rest" for one in attempts if not one.ended]
    return found


def _results(load: Load, record: Record) -> list[str]:
    """Each result is there, is what the attempt that succeeded made, and nothing else is there."""
    tree = load.place.tree
    succeeded = record.succeeded()
    expected = load.expected(succeeded)
    found = []
    for id, content in expected.items():
        path = tree / "out" / id
        if not path.is_file():
            found.append(f"the result of {id} is not there")
        elif path.read_bytes() != content:
            found.append(f"the result of {id} is not what attempt {succeeded[id]} made: {path.read_bytes()[:80]!r}")
    there = {path.name for path in (tree / "out").iterdir()}
    found += [f"no task made {name}" for name in sorted(there - set(expected))]
    recorded = sorted((name, id, attempt) for name, id, attempt in record.results)
    wanted = sorted((f"out/{id}", id, succeeded[id]) for id in expected)
    if recorded != wanted:
        found.append(f"results in the database differ: {sorted(set(recorded) ^ set(wanted))[:5]}")
    left = [path for path in (tree / ".ecloud" / "incoming").rglob("*") if path.is_file()]
    found += [f"left in the datastore: {path}" for path in left[:5]]
    with contextlib.closing(sqlite3.connect(tree / ".ecloud" / "index.sqlite")) as index:
        kept = index.execute("SELECT task, attempt FROM records LIMIT 5").fetchall()
    found += [f"a publish record is left in the datastore: {row}" for row in kept]
    if record.publish_records:
        found.append(f"{record.publish_records} publish records are still pending")
    return found


def _order(load: Load, record: Record, lines: list[Line]) -> list[str]:
    """No attempt of a task began before the attempts of its dependencies that succeeded had ended."""
    succeeded = record.succeeded()
    ends = {line.id: line.at for line in lines if line.what == "end" and line.attempt == succeeded[line.id]}
    found = [f"{id} succeeded, and its log has no end of that attempt" for id in load.tasks if id not in ends]
    for line in lines:
        if line.what == "start":
            early = [parent for parent in load.tasks[line.id].all_parents() if ends.get(parent, 0.0) > line.at]
            found += [f"{line} began before its dependency {parent} had ended" for parent in early]
    return found


def _repetitions(record: Record, lines: list[Line], faults: list[Fault]) -> list[str]:
    """An attempt ran at most once; a task ran more than once only for a reason; never after its recorded success."""
    found = []
    starts: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line.what == "start":
            starts[line.id].append(line)
    for id, begun in starts.items():
        attempts = {one.attempt: one for one in record.attempts[id]}
        success = record.succeeded()[id] if len(begun) > 1 else 0
        numbers = [line.attempt for line in begun]
        if len(set(numbers)) < len(numbers):
            found.append(f"{id}: one attempt ran twice: {begun}")
        for line in begun:
            if success and line.attempt != success:
                found += _unexplained(line, attempts.get(line.attempt), faults)
            if success and line.at > attempts[success].ended_at and not _frozen(line, faults):
                found.append(f"{line} ran although attempt {success} had succeeded: {begun}")
    return found


def _unexplained(line: Line, attempt: Attempt | None, faults: list[Fault]) -> list[str]:
    """Nothing, if something was done to the worker, its link or the command about when the attempt ran."""
    if attempt is None:
        return [f"{line} ran, and the database knows no such attempt"]
    until = max(attempt.ended_at, line.at) + SLACK
    for fault in faults:
        near = fault.began <= until and fault.until >= line.at - LEASE - SLACK
        if near and _could(fault, line, attempt):
            return []
    return [f"{line} had no success ({attempt.ended}: {attempt.reason}), and nothing was done to it or its worker"]


def _could(fault: Fault, line: Line, attempt: Attempt) -> bool:
    """Could this have cost that attempt its success?"""
    if fault.victim == "transfer":  # each time that its results were fetched
        return " tries)" in attempt.reason
    if fault.victim in ("worker", "command"):
        return fault.worker == line.worker
    # The link of all workers: with a frozen broker, none is heard. (A dead one stops the leases, too.)
    return fault.victim == "broker" and fault.kind == "freeze" and fault.until - fault.began > LEASE / 2


def _frozen(line: Line, faults: list[Fault]) -> bool:
    """A worker that froze, or was cut off, may begin late what it was sent before."""
    cut = [fault for fault in faults if fault.kind == "freeze" and fault.began <= line.at <= fault.until + SLACK]
    return any(fault.worker == line.worker or fault.victim == "broker" for fault in cut)


_STARTED = re.compile(r"^(\S+ [\d:]+,\d+) INFO worker: worker \S+ with \d+ slots")


def _strays(place: Place, lines: list[Line], faults: list[Fault]) -> list[str]:
    """What an agent that was killed had begun says nothing more once the next agent of that home has begun."""
    found = []
    for fault in faults:
        if fault.kind != "kill" or fault.victim != "worker":
            continue
        next_start = min((at for at in agent_starts(place, fault.worker) if at > fault.began), default=None)
        if next_start is None:
            continue
        begun = {(line.id, line.attempt): line for line in lines if line.what == "start"}
        for line in lines:
            start = begun.get((line.id, line.attempt))
            of_it = line.worker == fault.worker and start is not None and start.at < fault.began
            if of_it and line.what == "end" and line.at > next_start:
                found.append(f"{line} was begun by an agent that was killed, and went on under the next one")
    return found


def agent_starts(place: Place, worker: str) -> list[float]:
    """When agents of this worker had cleaned up and began, from their log."""
    found = []
    for path in sorted((place.home / "logs").glob(f"{worker}.log*")):
        for text in path.read_text(errors="replace").splitlines():
            matched = _STARTED.match(text)
            if matched:
                found.append(log_time(matched[1]))
    return found


def resumes(url: str, starts: list[float]) -> list[float]:
    """Seconds from each start of a boss but the first to the next success that was recorded."""
    ends = sorted(one.ended_at for attempts in read(url).attempts.values() for one in attempts if one.ended)
    later = [next((end for end in ends if end > start), None) for start in starts[1:]]
    return [end - start for start, end in zip(starts[1:], later, strict=True) if end is not None]


def left_directories(home: Path) -> list[Path]:
    """Attempts' directories of workers at rest."""
    return sorted(home.glob("workers/*/attempts/*"))
