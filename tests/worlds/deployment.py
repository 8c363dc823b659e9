"""A whole ecloud in a directory of its own: pushes, bosses and admin commands as a user types them, its processes.

Every process of it carries the directory in its environment (the boss hands its own on to all it starts), so that
they can be found by role, and so that `end` can prove that none is left. Take the fixtures like this:

    from tests.worlds.deployment import Deployment, deployment
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from boss.client.find import boss_of
from boss.state_directory.boss_file import running_boss
from tests.worlds.looking import Question, answer_of
from tests.worlds.waiting import scaled, wait_for

TOP = Path(__file__).resolve().parents[2]
#: The variable that marks every process of a deployment.
MARK = "DEPLOYMENT_OF_TEST"

T = TypeVar("T")


class Deployment:
    """`settings` are ECLOUD_ variables without the prefix, in small letters: lease_seconds=2."""

    def __init__(self, directory: Path, **settings: object) -> None:
        self.directory = directory
        self.home = directory / ".ecloud"
        self.tree = directory / "ecloud-data"
        self.settings: dict[str, object] = {"slots": 2, **settings}
        #: Where a boss that is started manually finds packages besides those installed.
        self.python_path = [TOP]
        self._started: list[subprocess.Popen[str]] = []
        directory.mkdir(parents=True, exist_ok=True)

    # --- commands ----------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ECLOUD_", "PYTEST_"))}
        chosen = {f"ECLOUD_{name.upper()}": str(value) for name, value in self.settings.items()}
        return {**kept, **chosen, "ECLOUD_HOME": str(self.home), MARK: str(self.directory)}

    def write(self, name: str, content: object) -> Path:
        """A file beside the state directory: a task file (anything that JSON can say), or a text."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def push(self, tasks: Path | str, *options: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """`push_tasks.py` to its end."""
        return self._run("push_tasks.py", *options, str(tasks), timeout=timeout)

    def start_push(self, tasks: Path | str, *options: str, terminal: str = "") -> subprocess.Popen[str]:
        """`push_tasks.py` in the background, in a session of its own; its output can be read when it has ended.

        `terminal`: path of one, which becomes the session's, so that Ctrl-C and closing it work as they do for users.
        """
        command = [sys.executable, str(TOP / "push_tasks.py"), *options, str(tasks)]
        if terminal:
            command = ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', terminal, *command]
        return self._start(command)

    def admin(self, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        return self._run("admin.py", *arguments, timeout=timeout)

    def asked(self, *arguments: str) -> Any:
        """What an admin command says with --json."""
        done = self.admin(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def look(self, question: Question) -> Any:
        """What its boss answers, which has to run, asked over HTTP: for what is waited for."""
        boss = boss_of(self.home)
        assert boss is not None, f"no boss runs:\n{self.log()}"
        return answer_of(boss, question)

    def start_boss(self, *options: str, wait: bool = True) -> subprocess.Popen[str]:
        """`python -m boss`; returns when it answers (its log is logs/boss.log, as that of a push's boss)."""
        logs = self.home / "logs"
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment = {**self.environment(), "PYTHONPATH": os.pathsep.join(map(str, self.python_path))}
        with open(logs / "boss.log", "a") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "boss", *options],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._started.append(process)
        if wait:
            wait_for(lambda: self._answers(process), "the boss answers")
        return process

    def _answers(self, process: subprocess.Popen[str]) -> bool:
        assert process.poll() is None, f"the boss ended with {process.returncode}:\n{self.log()}"
        found = running_boss(self.home)
        return found is not None and found.pid == process.pid

    def log(self, name: str = "boss") -> str:
        path = self.home / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _run(self, script: str, *arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(TOP / script), *arguments],
            cwd=self.directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=scaled(timeout),
            check=False,
        )

    def _start(self, command: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            cwd=self.directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    # --- processes ---------------------------------------------------------------------------------

    def processes(self) -> dict[int, str]:
        """pid -> role: boss, broker, datastore, worker, epanet, push, or command (whatever a task started)."""
        mark = f"{MARK}={self.directory}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = _role((entry / "cmdline").read_bytes().split(b"\0"))
            except OSError:
                continue  # ended meanwhile
        return found

    def pids(self, role: str) -> list[int]:
        return [pid for pid, its in self.processes().items() if its == role]

    def pid(self, role: str) -> int:
        """The one process of this role, waited for."""
        return wait_for(lambda: self.pids(role), f"a process of role {role}")[0]

    def kill(self, role: str, number: signal.Signals = signal.SIGKILL) -> list[int]:
        """Signal every process of this role; their pids."""
        pids = self.pids(role)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        self._reap()
        return pids

    def wait_until_alone(self, seconds: float = 60.0) -> dict[int, str]:
        """What is left of its processes after this (scaled) time; empty as soon as there is nothing."""
        until = time.monotonic() + scaled(seconds)
        while (left := self.processes()) and time.monotonic() < until:
            self._reap()
            time.sleep(0.1)
        return left

    def end(self) -> None:
        """Whatever still runs is killed."""
        until = time.monotonic() + scaled(60)
        while (left := self.processes()) and time.monotonic() < until:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._reap()
            time.sleep(0.05)
        for process in self._started:
            process.wait(timeout=scaled(60))
            if process.stdout is not None:
                process.stdout.close()
        assert not left, f"these could not be ended: {left}"

    def _reap(self) -> None:
        for process in self._started:
            process.poll()


def _role(command: list[bytes]) -> str:
    words = [word.decode(errors="replace") for word in command]
    if "-m" in words:
        module = words[words.index("-m") + 1 :][:1]
        if module in (["boss"], ["worker"], ["datastore"]):
            return module[0]
        if module == ["boss.embedded.amqtt_main"]:
            return "broker"
        if module == ["worker.epanet"]:
            return "epanet"
    if Path(words[0]).name == "mosquitto":
        return "broker"
    return "push" if any(word.endswith("push_tasks.py") for word in words[:3]) else "command"


def lines_of(path: Path) -> list[str]:
    """What the tasks have written into a side-effect log so far."""
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """A fresh one; `deployment.settings` may be changed before the first command."""
    made = Deployment(tmp_path / "user")
    yield made
    made.end()
