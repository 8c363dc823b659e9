"""Agents of the former release, which speak version 1 of the protocol, at a boss of today: stopped, or refused."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.client.client import Client
from boss.common import processes
from tests.worlds.deployment import Deployment, deployment
from tests.worlds.external_broker import broker
from tests.worlds.looking import workers
from tests.worlds.stored_release import worker_files
from tests.worlds.waiting import scaled, wait_for

__all__ = ["broker", "deployment"]

pytestmark = pytest.mark.needs("mosquitto")


class FormerAgents:
    """Starts the worker program of the former release."""

    def __init__(self, directory: Path) -> None:
        self._program = directory / "former"
        self._log = directory / "former.log"
        self._started: list[subprocess.Popen[bytes]] = []
        for name, content in worker_files().items():
            path = self._program / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def start(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        variables = {**environment, "PYTHONPATH": str(self._program)}
        with self._log.open("ab") as log:
            process = subprocess.Popen([sys.executable, "-P", "-m", "worker"], env=variables, stdout=log, stderr=log)
        self._started.append(process)
        return process

    def log(self) -> str:
        return self._log.read_text()

    def end(self) -> None:
        for process in self._started:
            process.kill()
            process.wait(scaled(60))


@pytest.fixture
def former(tmp_path: Path) -> Iterator[FormerAgents]:
    made = FormerAgents(tmp_path)
    yield made
    made.end()


def states(deployment: Deployment) -> dict[str, tuple[str, bool]]:
    return {one["id"]: (one["state"], one["connected"]) for one in deployment.look(workers)}


def test_one_that_survived_its_boss_stops_and_another_takes_its_place(
    deployment: Deployment, former: FormerAgents
) -> None:
    deployment.settings["local_workers"] = 1
    boss = deployment.start_boss()
    wait_for(lambda: states(deployment) == {"local-1": ("online", True)}, "its worker says hello")
    agent = deployment.pid("worker")
    environ = Path(f"/proc/{agent}/environ").read_bytes().split(b"\0")
    variables = dict(os.fsdecode(one).split("=", 1) for one in environ if b"=" in one)
    boss.kill()
    boss.wait(scaled(60))
    os.kill(agent, signal.SIGKILL)
    survivor = former.start(variables)
    wait_for(lambda: "incarnation" in former.log(), "the former agent has its home")
    with contextlib.closing(sqlite3.connect(deployment.home / "ecloud.sqlite")) as database, database:
        reference = f"{survivor.pid} {processes.start_time(survivor.pid)}"  # as the former boss recorded its own
        assert database.execute("UPDATE instances SET reference = ?", (reference,)).rowcount == 1

    boss = deployment.start_boss()
    assert survivor.wait(scaled(60)) == 0, former.log()
    assert "ending: told to stop by the boss" in former.log()
    sentence = "worker local-1 speaks version 1 of the protocol and the boss version 2: it finishes what it executes"
    assert deployment.log().count(sentence) == 1
    wait_for(lambda: states(deployment) == {"local-1": ("online", True)}, "another one says hello")
    done = deployment.push(deployment.write("tasks.json", [{"id": "one", "commands": "true"}]))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("broker", ["password"], indirect=True)
def test_one_that_was_started_manually_is_refused_by_name(
    broker: Deployment, former: FormerAgents, tmp_path: Path
) -> None:
    broker.settings["local_workers"] = 0
    broker.start_boss()
    refused = former.start(
        {
            **broker.environment(),
            "ECLOUD_WORKER_ID": "lab",
            "ECLOUD_WORKER_HOME": str(tmp_path / "lab"),
            "ECLOUD_WORKER_USERNAME": str(broker.settings["broker_username"]),
            "ECLOUD_WORKER_PASSWORD_FILE": str(broker.settings["broker_password_file"]),
            "ECLOUD_DEPLOYMENT": str(broker.look(Client.status)["deployment"]),
        }
    )
    sentence = (
        "worker lab speaks version 1 of the protocol and the boss version 2: it is refused and gets no tasks; "
        "update ecloud where it runs and start it again"
    )
    wait_for(lambda: sentence in broker.look(Client.status)["warnings"], "status names it")
    assert broker.log().count(sentence) == 1
    shown = broker.admin("status").stdout
    assert sentence in shown and "of agents that speak another version of the protocol" in shown
    assert broker.look(workers) == []
    assert refused.poll() is None
    assert "a message of protocol version 2; this program speaks version 1: update the older side" in former.log()
