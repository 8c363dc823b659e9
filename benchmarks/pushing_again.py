"""Pushing a file of finished tasks again: python -m benchmarks.pushing_again [--tasks 100000].

The scheduler's and the database's part (SQLite), without HTTP: what the project has already is read, decided on and
recorded. Prints seconds for each way to push again, beside those of the first push.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from array import array
from pathlib import Path

from boss.core.events import Submitted
from boss.core.model import Profile, Submission, TaskState
from boss.core.policy import Policy
from boss.core.rows import Changes, Known, TaskRow
from boss.core.scheduler import Scheduler
from boss.database import Database
from boss.database.store import DatabaseStore
from boss.turn import decide, record


def submission(count: int, strategy: str = "", variant: bytes = b"c") -> Submission:
    """Tasks that depend on the two before them."""
    starts, targets = array("I", [0]), array("I")
    for index in range(count):
        targets.extend(before for before in (index - 1, index - 2) if before >= 0)
        starts.append(len(targets))
    return Submission(
        ids=[f"task-{index:07d}" for index in range(count)],
        executions=[b'{"commands":["true"]}'] * count,
        requirements=[b""] * count,
        contents=[variant + b"%015d" % index for index in range(count)],
        profiles=[Profile()],
        profile_of=bytes(4 * count),
        dependency_starts=starts.tobytes(),
        dependency_targets=targets.tobytes(),
        merge_strategy=strategy,
    )


def push(store: DatabaseStore, made: Submission) -> float:
    """Seconds, in a boss that has just started."""
    scheduler = Scheduler(Policy())
    scheduler.restore(store.load(), 1.0, 1.0)
    start = time.perf_counter()
    decided = decide(scheduler, store, [Submitted(submission=made, known=Known())], 2.0, 2.0)
    record(decided, store, 2.0)
    return time.perf_counter() - start


def finish_all(database: Database, count: int) -> None:
    """As if all had run."""
    row = database.reads.batches()[0]
    row.counts = [0] * len(TaskState)
    row.counts[TaskState.SUCCEEDED] = count
    row.finished_at = 1.0
    rows = {number: TaskRow(number, TaskState.SUCCEEDED, 1, 0, 0, "", False, 1.0) for number in range(1, count + 1)}
    database.commit(Changes(tasks=rows, batches={row.number: row}), 1.0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pushing_again", description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000, help="how many tasks")
    count: int = parser.parse_args().tasks
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(f"sqlite:///{folder}/ecloud.sqlite")
        database.take_over("benchmark", 1)
        store = DatabaseStore(database, Path(folder))
        first = push(store, submission(count))
        finish_all(database, count)
        cases = {
            "the same again, all of it done": submission(count),
            "the same with keep_succeeded": submission(count, "keep_succeeded"),
            "the same with replace": submission(count, "replace"),
            "another content with replace": submission(count, "replace", b"d"),
        }
        sys.stdout.write(f"{count:,} tasks with two dependencies each: first push {first:.2f} s\n")
        for words, made in cases.items():
            seconds = push(store, made)
            sys.stdout.write(f"  {words:32} {seconds:6.2f} s, {seconds / first:.1f} x the first\n")
        database.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
