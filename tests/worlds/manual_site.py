"""A boss whose datastore and worker an operator starts, by what `admin.py login` writes; all on this machine.

The worker's host is a real sshd on loopback.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from boss.client.client import Client
from tests.worlds.deployment import TOP, Deployment
from tests.worlds.looking import workers
from tests.worlds.ssh_server import SshServer
from tests.worlds.waiting import wait_for

TASKS = [
    {"id": "double", "requirements": ["in.txt"], "commands": ["cat in.txt in.txt > out.txt"], "results": ["out.txt"]},
    {"id": "count", "requirements": ["out.txt"], "commands": ["wc -l < out.txt > n.txt"], "results": ["n.txt"]},
]


class Site:
    """A boss whose datastore and worker `w1` are elsewhere."""

    def __init__(self, directory: Path, server: SshServer) -> None:
        self.server = server
        self.files = directory / "files"
        self.deployment = Deployment(
            directory / "user",
            datastore_host="store.example",
            broker_listen="127.0.0.2",
            boss_address="127.0.0.2",
            http_host="0.0.0.0",
        )
        self.tree = directory / "elsewhere"
        self.home = server.make("worker-home")

    def start(self) -> None:
        answer = self.deployment.asked("init")
        (self.server.own / "authorized").write_text("".join(f"{line}\n" for line in answer["authorized_keys"]))
        self.deployment.start_boss()
        self.make_files("datastore")
        self.make_files("w1")
        self.start_datastore()
        self.start_worker()
        wait_for(lambda: self.workers() == {"w1"}, "the worker is there")
        wait_for(lambda: self.deployment.look(Client.status)["datastore_connected"], "the datastore is there")

    def make_files(self, name: str) -> str:
        folder = self.files / name
        done = self.deployment.admin("login", name, "--write", str(folder), "--installed_in", str(folder))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start_datastore(self) -> None:
        self._start("datastore", "datastore", ECLOUD_DATASTORE_TREE=str(self.tree))

    def start_worker(self) -> subprocess.Popen[str]:
        return self._start(
            "w1",
            "worker",
            ECLOUD_WORKER_HOME=str(self.home),
            ECLOUD_WORKER_SSH_PORT=str(self.server.port),
            ECLOUD_WORKER_SSH_HOST_KEYS=f"{self.server.host_key_file}.pub",
            ECLOUD_WORKER_ADDRESS="127.0.0.1",
            ECLOUD_SLOTS="1",
        )

    def _start(self, name: str, module: str, **more: str) -> subprocess.Popen[str]:
        """As an operator does manually: adapt the file of settings, read it, start the program."""
        with open(self.files / name / f"{module}.env", "a") as file:
            file.writelines(f"{key}={value}\n" for key, value in more.items())
        kept = {key: value for key, value in self.deployment.environment().items() if not key.startswith("ECLOUD_")}
        typed = f'set -a; . "{self.files / name}/{module}.env"; exec "{sys.executable}" -P -m {module}'
        with open(self.files / f"{module}.log", "a") as log:
            process = subprocess.Popen(
                ["sh", "-c", typed],
                env={**kept, "PYTHONPATH": str(TOP)},
                cwd=self.files,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.deployment._started.append(process)
        return process

    def workers(self) -> set[str]:
        return {worker["id"] for worker in self.deployment.look(workers) if worker["state"] == "online"}

    def debug(self, worker: str) -> tuple[int, str, str]:
        done = self.deployment.admin("debug_worker", worker)
        return done.returncode, done.stdout, done.stderr
