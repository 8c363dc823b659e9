"""One deployment of real processes in a temporary directory: a boss that the test starts, and all that it starts.

Knows how to start, ask and end it; what is done to it meanwhile is the killer's.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from boss.api.schema import StatusAnswer
from boss.bootstrap.ssh_keys import ensure_keys
from boss.client.client import Client, ClientError, RequestRefusedError
from boss.client.find import boss_of
from tests.acceptance.torture import processes
from tests.acceptance.torture.processes import MARK, Process
from tests.worlds.doc_blocks import TOP
from tests.worlds.inside.plan import FOLDER
from tests.worlds.ssh_server import SshServer
from tests.worlds.waiting import scaled, wait_for

LEASE = 3.0

T = TypeVar("T")


class Place:
    """The deployment. `database` empty: SQLite in the state directory."""

    def __init__(self, directory: Path, database: str = "", workers: int = 3, slots: int = 4, **settings: str) -> None:
        self.directory = directory
        self.home = directory / ".ecloud"
        self.tree = directory / "ecloud-data"
        self.log = directory / "log"
        self.mark = str(directory)
        self.database = database or f"sqlite:///{self.home / 'ecloud.sqlite'}"
        self._settings = {
            "ECLOUD_HOME": str(self.home),
            "ECLOUD_LEASE_SECONDS": f"{LEASE:g}",
            "ECLOUD_HEARTBEAT_SECONDS": "0.5",
            "ECLOUD_ORPHAN_AFTER_SECONDS": "120",
            "ECLOUD_LOCAL_WORKERS": str(workers),
            "ECLOUD_SLOTS": str(slots),
            **({"ECLOUD_DATABASE": database} if database else {}),
            **settings,
        }
        #: Where the programs find their modules.
        self.python_path = [TOP]
        #: Workers that the datastore reaches by SSH.
        self.by_ssh: tuple[str, ...] = ()
        self._boss: subprocess.Popen[bytes] | None = None
        self._shot = False
        self.starts: list[float] = []

    def reach_by_ssh(self, server: SshServer, *workers: str) -> None:
        """Before the first start: the datastore reaches these workers through this sshd, which logs us in."""
        _, key = ensure_keys(self.home)
        with open(server.own / "authorized", "a", encoding="ascii") as authorized:
            authorized.write(f"{key.public}\n")
        variables = {
            "ECLOUD_WORKER_PLACE": "ssh",
            "ECLOUD_WORKER_ADDRESS": server.host,
            "ECLOUD_WORKER_SSH_PORT": str(server.port),
            "ECLOUD_WORKER_SSH_HOST_KEYS": f"{server.host_key_file}.pub",
        }
        self.by_ssh = workers
        self.python_path.append(FOLDER)
        self._settings["WORKER_SETTINGS"] = json.dumps(dict.fromkeys(workers, variables))

    # --- the boss --------------------------------------------------------------------------------------

    def start_boss(self) -> None:
        """Does not wait until it answers."""
        assert self._boss is None or self._boss.poll() is not None
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ECLOUD_", "PYTEST_"))}
        path = os.pathsep.join(map(str, self.python_path))
        environment = {**kept, **self._settings, MARK: self.mark, "PYTHONPATH": path}
        self.starts.append(time.time())
        self._shot = False
        with open(self.directory / "boss.log", "ab") as log:
            self._boss = subprocess.Popen(
                [sys.executable, "-P", "-m", "boss"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self.directory,
                start_new_session=True,
            )

    def boss_ended(self) -> int | None:
        """Its exit code, None while it runs."""
        assert self._boss is not None
        return self._boss.poll()

    def look_after_boss(self) -> None:
        """A boss never ends automatically, except that one which cannot reach its database at its start says so.

        That one is started again, as a service manager would do.
        """
        code = self.boss_ended()
        if code is None or self._shot:
            return
        last = self.boss_log(1)
        if code == 3 and last.startswith("python -m boss: database ") and "server" in last:
            self.start_boss()
        else:
            pytest.fail(f"the boss ended unasked (exit code {code}):\n{self.boss_log()}")

    def signal_boss(self, number: signal.Signals) -> None:
        assert self._boss is not None
        self._boss.send_signal(number)
        if number == signal.SIGKILL:
            self._shot = True
            self._boss.wait(scaled(30))

    def let_boss_be_shot(self) -> None:
        """This boss will not end automatically, and not by `signal_boss`."""
        self._shot = True

    def end_boss(self) -> int:
        """As a user would: TERM; everything of it ends."""
        assert self._boss is not None
        self._boss.send_signal(signal.SIGTERM)
        return self._boss.wait(scaled(90))

    def end(self) -> None:
        """Leave nothing, whatever happened."""
        processes.end_all(self.mark)
        if self._boss is not None:
            self._boss.wait(scaled(30))

    def boss_log(self, lines: int = 60) -> str:
        path = self.directory / "boss.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    # --- asking it -------------------------------------------------------------------------------------

    def ask(self, call: Callable[[Client], T]) -> T | None:
        """One try; None when no boss answers now."""
        try:
            client = boss_of(self.home)
        except ClientError:
            return None
        if client is None:
            return None
        try:
            return call(client)
        except RequestRefusedError as error:
            if error.status != 503:
                raise
            return None
        except ClientError:
            return None
        finally:
            client.close()

    def ask_until(self, call: Callable[[Client], T]) -> T:
        """Tried until a boss answers."""
        answers: list[T] = []

        def answered() -> bool:
            if (answer := self.ask(call)) is not None:
                answers.append(answer)
            return bool(answers)

        wait_for(answered, "a boss answers", 90, every=0.1, check=self.look_after_boss, story=self.boss_log)
        return answers[0]

    def status(self) -> StatusAnswer:
        return self.ask_until(lambda client: client.status())

    # --- its processes ---------------------------------------------------------------------------------

    def processes(self, *roles: str) -> list[Process]:
        return [process for process in processes.find(self.mark) if not roles or process.role in roles]

    def stray_transfers(self) -> list[Process]:
        """What a datastore started that is dead, although the next one is at work."""
        now = self.processes("datastore", "transfer")
        datastores = [process for process in now if process.role == "datastore"]
        if len(datastores) != 1 or self._datastore_ready() < processes.started_at(datastores[0]):
            return []
        older = [one for one in now if one.role == "transfer" and one.start < datastores[0].start]
        return [one for one in older if one in self.processes("transfer")]

    def _datastore_ready(self) -> float:
        """When a datastore last said that it begins to work."""
        path = self.home / "logs" / "datastore.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        said = [line for line in lines if " INFO datastore: datastore of " in line]
        return log_time(" ".join(said[-1].split()[:2])) if said else 0.0

    def wait_for(self, what: str, condition: Callable[[], object], seconds: float = 90.0) -> None:
        def story() -> str:
            return f"the boss's log ends:\n{self.boss_log(30)}"

        wait_for(condition, what, seconds, every=0.05, check=self.look_after_boss, story=story)

    def events(self) -> list[Line]:
        return read_log(self.log)


class Line:
    """One line of the tasks' own log: what really ran, and when."""

    __slots__ = ("at", "attempt", "id", "pid", "what", "worker")

    def __init__(self, text: str) -> None:
        self.id, attempt, self.what, pid, self.worker, at = text.split()
        self.attempt, self.pid, self.at = int(attempt), int(pid), float(at)

    def __repr__(self) -> str:
        return f"{self.id}.{self.attempt} {self.what} on {self.worker} at {self.at:.3f}"


def log_time(stamp: str) -> float:
    """Of a program's log line: `2026-01-31 12:00:00,123`."""
    seconds, _, milliseconds = stamp.partition(",")
    return time.mktime(time.strptime(seconds, "%Y-%m-%d %H:%M:%S")) + int(milliseconds) / 1000


def read_log(path: Path) -> list[Line]:
    return [Line(text) for text in path.read_text().splitlines()] if path.exists() else []
