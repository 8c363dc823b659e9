"""The torture's own checks see what they are there to see: each wrong that is done to a good run is reported."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from boss.core.model import TaskState
from tests.acceptance.torture import verification
from tests.acceptance.torture.killer import Fault
from tests.acceptance.torture.load import Load, Task
from tests.acceptance.torture.place import Line, Place
from tests.acceptance.torture.verification import Attempt, Record


class Run:
    """Two tasks, `b` after `a`, that came to a good end; what was done meanwhile is in `faults`."""

    def __init__(self, directory: Path) -> None:
        self.place = Place(directory)
        self.load = Load(self.place, random.Random(1))
        self.load.tasks = {"0-0": Task("0-0", [], True, 0.0), "0-1": Task("0-1", ["0-0"], True, 0.0)}
        self.record = Record(
            states={"0-0": TaskState.SUCCEEDED, "0-1": TaskState.SUCCEEDED},
            attempts={
                "0-0": [Attempt("0-0", 1, "local-1", "succeeded", "", 102.5)],
                "0-1": [Attempt("0-1", 1, "local-1", "succeeded", "", 104.5)],
            },
            results=[("out/0-0", "0-0", 1), ("out/0-1", "0-1", 1)],
            publish_records=0,
        )
        self.faults: list[Fault] = []
        self.lines = ["0-0 1 start 7 local-1 101", "0-0 1 end 7 local-1 102"]
        self.lines += ["0-1 1 start 8 local-1 103", "0-1 1 end 8 local-1 104"]
        (self.place.tree / "out").mkdir(parents=True)
        (self.place.tree / ".ecloud").mkdir()
        with contextlib.closing(sqlite3.connect(self.place.tree / ".ecloud" / "index.sqlite")) as index:
            index.execute("CREATE TABLE records (task INTEGER, attempt INTEGER)")
        for id, content in self.load.expected({"0-0": 1, "0-1": 1}).items():
            self.result(id).write_bytes(content)

    def result(self, id: str) -> Path:
        return self.place.tree / "out" / id

    def again(self, at: float) -> None:
        """`0-0` ran a first time on a worker that was lost."""
        self.record.attempts["0-0"].insert(0, Attempt("0-0", 0, "local-2", "lost", "silent", at + 3))
        self.lines.insert(0, f"0-0 0 start 6 local-2 {at:g}")

    def agent_began(self, worker: str, at: float) -> None:
        logs = self.place.home / "logs"
        logs.mkdir(parents=True)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) + f",{int(at % 1 * 1000):03d}"
        (logs / f"{worker}.log").write_text(f"{stamp} INFO worker: worker {worker} with 2 slots in x\n")

    def found(self) -> list[str]:
        lines = [Line(text) for text in self.lines]
        return verification.all_violations(self.load, self.record, lines, self.faults)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_a_good_run_is_found_good(run: Run) -> None:
    assert run.found() == []


def _failed(run: Run) -> None:
    run.record.states["0-1"] = TaskState.FAILED


def _missing(run: Run) -> None:
    del run.record.states["0-1"]


def _twice(run: Run) -> None:
    run.record.attempts["0-1"].append(Attempt("0-1", 2, "local-1", "succeeded", "", 109.0))


def _later_attempt(run: Run) -> None:
    run.record.attempts["0-1"].append(Attempt("0-1", 2, "local-1", "lost", "", 109.0))


def _open(run: Run) -> None:
    run.record.attempts["0-1"].insert(0, Attempt("0-1", 0, "local-1", "", "", 0.0))


def _torn(run: Run) -> None:
    run.result("0-0").write_bytes(run.result("0-0").read_bytes()[:-1])


def _of_another_attempt(run: Run) -> None:
    run.result("0-0").write_bytes(run.load.expected({"0-0": 2, "0-1": 1})["0-0"])


def _gone(run: Run) -> None:
    run.result("0-0").unlink()


def _too_many(run: Run) -> None:
    run.result("0-7").write_text("whose?")


def _left_in_the_datastore(run: Run) -> None:
    folder = run.place.tree / ".ecloud" / "incoming"
    folder.mkdir(parents=True)
    (folder / "part").write_text("part of a file")


def _unrecorded_result(run: Run) -> None:
    run.record.results.pop()


def _too_early(run: Run) -> None:
    run.lines[2] = "0-1 1 start 8 local-1 101.5"


def _never_ended(run: Run) -> None:
    run.lines.pop()


def _same_attempt_twice(run: Run) -> None:
    run.lines.append("0-1 1 start 9 local-2 103.5")


def _without_reason(run: Run) -> None:
    run.again(90)


def _for_a_reason_elsewhere(run: Run) -> None:
    run.again(90)
    run.faults.append(Fault("kill", "worker", "local-1", 91.0, 91.0))


def _after_its_success(run: Run) -> None:
    run.again(103)
    run.faults.append(Fault("kill", "worker", "local-2", 104.0, 104.0))


def _stray(run: Run) -> None:
    run.faults.append(Fault("kill", "worker", "local-1", 103.2, 103.2))
    run.agent_began("local-1", 103.5)  # and 0-1 ends at 104


@pytest.mark.parametrize(
    "wrong",
    [
        _failed, _missing, _twice, _later_attempt, _open, _torn, _of_another_attempt, _gone, _too_many,
        _left_in_the_datastore, _unrecorded_result, _too_early, _never_ended, _same_attempt_twice, _without_reason,
        _for_a_reason_elsewhere, _after_its_success, _stray,
    ],
    ids=lambda wrong: wrong.__name__.strip("_").replace("_", " "),
)  # fmt: skip
def test_what_is_wrong_is_reported(run: Run, wrong: Callable[[Run], None]) -> None:
    wrong(run)
    assert run.found()


def test_a_repetition_after_its_worker_was_killed_is_in_order(run: Run) -> None:
    run.again(90)
    run.faults.append(Fault("kill", "worker", "local-2", 91.0, 91.0))
    assert run.found() == []


def test_a_task_whose_agents_were_shot_three_times_in_a_row_counts_as_poisoned(run: Run) -> None:
    run.record.states["0-0"] = TaskState.FAILED
    lost = [Attempt("0-0", n, "local-1", "lost", "its instance ended", 100.0 + n * 20) for n in (1, 2, 3)]
    run.record.attempts["0-0"] = lost
    run.faults = [Fault("kill", "worker", "local-1", one.ended_at - 1, one.ended_at) for one in lost]
    assert verification.is_poisoned(run.record, "0-0", run.faults)
    run.faults.pop()
    assert not verification.is_poisoned(run.record, "0-0", run.faults)
