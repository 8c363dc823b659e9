"""A thread that ends by an error takes its program with it, which is started again: nothing is lost, nothing hangs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.cli.command import ExitCode
from tests.worlds.deployment import TOP, Deployment
from tests.worlds.inside.plan import FOLDER
from tests.worlds.waiting import scaled, wait_for

TASKS = 12
SAID = "the thread to-be-lost ended by an error: this program ends as a whole (exit code 70)"


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    (tmp_path / "lost").mkdir()
    monkeypatch.setenv("LOSE_THREADS", str(tmp_path / "lost"))
    monkeypatch.setenv("PYTHONPATH", str(FOLDER))
    made = Deployment(tmp_path / "user", heartbeat_seconds=0.5, lease_seconds=5)
    made.python_path = [FOLDER, TOP]
    yield made
    made.end()


@pytest.mark.timeout(180)
def test_a_lost_thread_costs_a_restart_of_its_program_and_nothing_else(deployment: Deployment, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    tasks = [
        {"id": f"t{number}", "commands": [f"until [ -e {gate} ]; do sleep 0.1; done; echo x > out"],
         "results": [["out", f"r/{number}"]]}
        for number in range(TASKS)
    ]  # fmt: skip
    push = deployment.start_push(deployment.write("tasks.json", tasks))
    wait_for(lambda: any(deployment.home.glob("workers/*/attempts/*/work")), "tasks run", story=deployment.log)
    for program, log in (("datastore", "datastore"), ("worker", "local-1"), ("boss", "boss")):
        (tmp_path / "lost" / program).touch()
        wait_for(lambda log=log: SAID in deployment.log(log), f"{program} ends")  # type: ignore[misc]
    gate.touch()
    assert push.wait(scaled(120)) == ExitCode.OK, deployment.log()[-3000:]
    assert sorted(int(path.name) for path in deployment.tree.glob("r/*")) == list(range(TASKS))
    assert deployment.log().count("the boss answers at") == 2, "the push has started it again"
    assert os.listdir(tmp_path / "lost") == []
    deployment.wait_until_alone()


@pytest.mark.timeout(180)
def test_a_boss_that_loses_a_thread_again_is_not_started_a_third_time(deployment: Deployment, tmp_path: Path) -> None:
    tasks = [{"id": "t", "commands": [f"until [ -e {tmp_path}/gate ]; do sleep 0.1; done"]}]
    push = deployment.start_push(deployment.write("tasks.json", tasks))
    wait_for(lambda: any(deployment.home.glob("workers/*/attempts/*/work")), "the task runs", story=deployment.log)
    for starts in (1, 2):
        wait_for(lambda: deployment.log().count("the boss answers at") == starts, "it answers")  # noqa: B023
        (tmp_path / "lost" / "boss").touch()
        wait_for(lambda: deployment.log().count(SAID) == starts, "it ends", story=deployment.log)  # noqa: B023
    assert push.wait(scaled(60)) == ExitCode.NO_BOSS
    (tmp_path / "gate").touch()
