"""Writes of every program fail at times, for want of room or descriptors, or by the disk: nothing hangs, or is lost."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.cli.command import ExitCode
from tests.worlds.deployment import TOP, Deployment
from tests.worlds.inside.plan import FOLDER
from tests.worlds.waiting import scaled, wait_for

#: Seconds in which writes fail.
STORM = 8.0
TASKS = 60


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    monkeypatch.setenv("WRITE_FAULTS", str(tmp_path / "faults"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER), str(TOP)]))
    made = Deployment(
        tmp_path / "user", heartbeat_seconds=0.5, local_workers=2, probe_seconds=2, retry_delay_seconds=0.1
    )
    made.python_path = [FOLDER, TOP]
    yield made
    made.end()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EMFILE"])
def test_writes_that_fail_for_a_while_cost_no_task_and_no_program(
    deployment: Deployment, tmp_path: Path, error: str
) -> None:
    faults = tmp_path / "faults"
    deployment.start_boss()
    (deployment.directory / "in.txt").write_text("input")
    tasks = [
        {
            "id": f"t{number}",
            "commands": ["cat in.txt > out; echo said; sleep 0.3", "mkdir d && echo x > d/y"],
            "requirements": ["in.txt"],
            "results": [["out", f"r/{number}"], ["d", f"d/{number}"]],
            "retries": 0,
        }
        for number in range(TASKS)
    ]
    push = deployment.start_push(deployment.write("tasks.json", tasks))
    wait_for(lambda: any(deployment.tree.glob("r/*")), "the first results are there")
    (tmp_path / "new").write_text(
        json.dumps({"error": error, "part": 0.2, "programs": ["boss", "datastore", "worker"]})
    )
    (tmp_path / "new").rename(faults)
    time.sleep(STORM)  # as long as the disk fails
    faults.unlink()
    assert push.wait(scaled(120)) == ExitCode.OK, deployment.admin("show_failed").stdout
    assert sorted(int(path.name) for path in deployment.tree.glob("r/*")) == list(range(TASKS))
    assert all((deployment.tree / f"d/{number}/y").read_text() == "x\n" for number in range(TASKS))
    struck = (tmp_path / "faults.struck").read_text()
    assert {line.partition(":")[0] for line in struck.splitlines()} >= {"worker", "datastore"}, struck
    for name in ("boss", "datastore", "local-1", "local-2"):
        assert "ended by an error" not in deployment.log(name), deployment.log(name)[-5000:]
