"""The measurements on a running system. Each pushes something and says how long it took until all was recorded."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import loads
from benchmarks.system import ROOT, Cpu, System
from boss.database import Database

#: Only against waiting for ever.
_TIMEOUT_SECONDS = 1800.0


@dataclass(frozen=True)
class Run:
    """One push of `count` tasks that all succeeded. `seconds` counts from its acceptance to the last record."""

    count: int
    seconds: float
    cpu: Cpu


@dataclass(frozen=True)
class Acceptance:
    """One push of `count` tasks up to the word "accepted"."""

    count: int
    seconds: float
    #: The boss's memory: before, and at its peak.
    before_mib: float
    peak_mib: float
    cpu_seconds: float


def run(system: System, nodes: Iterable[loads.Node], count: int, *, noop: bool, project: str) -> Run:
    """Push, and wait until the boss has recorded the last success."""
    stream = list(loads.pieces(iter(nodes), count, noop=noop, project=project))
    before = system.cpu()
    number = system.client.submit(stream, detach=True).batch
    seconds = _wait(system, number)
    return Run(count, seconds, system.cpu().since(before))


def wait_for_all(system: System, batch: int, count: int) -> Run:
    """Of a batch that waited for this boss: from now to its end."""
    before, began = system.cpu(), time.perf_counter()
    _wait(system, batch)
    return Run(count, time.perf_counter() - began, system.cpu().since(before))


def _wait(system: System, number: int) -> float:
    """By the boss's own clock, from the turn that accepted the batch to the turn that recorded its end."""
    until = time.monotonic() + _TIMEOUT_SECONDS
    while True:
        answer = system.client.batch(number, wait=20.0)
        if answer.finished:
            break
        if time.monotonic() > until:
            raise RuntimeError(f"batch {number} is not finished: {answer.counts}")
    if answer.counts.succeeded != answer.total:
        raise RuntimeError(f"not all tasks of batch {number} succeeded: {answer.counts}")
    return answer.finished_at - answer.created_at


def latencies(system: System, tries: int, *, noop: bool) -> list[float]:
    """Seconds from sending the push of one task to its success being readable in the database, sorted."""
    database = system.open_database()
    found = []
    try:
        for number in range(tries):
            stream = list(loads.pieces(loads.independent(1), 1, noop=noop, project=f"latency-{noop}-{number}"))
            time.sleep(0.05)  # so that the system is idle again
            began = time.perf_counter()
            batch = system.client.submit(stream, detach=True).batch
            while not _is_finished(database, batch):
                time.sleep(0.0003)
            found.append(time.perf_counter() - began)
    finally:
        database.close()
    return sorted(found)


def _is_finished(database: Database, batch: int) -> bool:
    row = database.reads.batch(batch)
    return row is not None and row.finished_at > 0.0


def accept(system: System, count: int, project: str) -> Acceptance:
    """Push tasks with two dependencies each; the stream is made before, so that the boss alone is measured."""
    stream = list(loads.pieces(loads.two_dependencies(count), count, noop=True, project=project))
    before, cpu = system.memory_mib(), system.cpu()
    began = time.perf_counter()
    system.client.submit(_handed_out(stream), detach=True)
    seconds = time.perf_counter() - began
    return Acceptance(count, seconds, before, system.memory_mib("VmHWM"), system.cpu().since(cpu).boss)


def _handed_out(stream: list[bytes]) -> Iterator[bytes]:
    yield from stream


def push_file(system: System, path: Path, project: str) -> float:
    """`push_tasks.py --detach FILE` as a user types it: reading and checking the file, sending, accepting."""
    command = [sys.executable, str(ROOT / "push_tasks.py"), "--detach", "--project", project, str(path)]
    began = time.perf_counter()
    subprocess.run(command, env=system.environment, check=True, capture_output=True, cwd=path.parent)
    return time.perf_counter() - began


def median_and_worst(seconds: list[float]) -> tuple[float, float]:
    """The median, and the value below which 95 % lie."""
    return statistics.median(seconds), seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))]
