"""One whole system for a measurement: a real boss with its broker, datastore and one worker, on a fresh directory.

Starts and ends it, says which of its processes used how much CPU time and memory. Ends only what it started.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from boss.client.client import Client, ClientError
from boss.client.find import boss_of
from boss.database import Database

ROOT = Path(__file__).resolve().parent.parent
_TICK = os.sysconf("SC_CLK_TCK")
#: Only against waiting for ever.
_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class Kind:
    """Which parts the system has."""

    database: str = "sqlite"
    broker: str = "mosquitto"

    @property
    def text(self) -> str:
        names = {"sqlite": "SQLite", "mariadb": "MariaDB", "mosquitto": "Mosquitto"}
        return f"{names.get(self.database, self.database)}, {names.get(self.broker, self.broker)}"


@dataclass(frozen=True)
class Cpu:
    """Seconds of CPU time by part; `tasks` is what the worker's own processes used, and it for them."""

    boss: float = 0.0
    broker: float = 0.0
    worker: float = 0.0
    datastore: float = 0.0
    database: float = 0.0
    tasks: float = 0.0

    def since(self, before: Cpu) -> Cpu:
        return Cpu(**{name: getattr(self, name) - getattr(before, name) for name in self.__dataclass_fields__})

    def per_task(self, count: int) -> dict[str, float]:
        """Microseconds a task."""
        return {name: round(getattr(self, name) / count * 1e6, 1) for name in self.__dataclass_fields__}


class System:
    """A running one. Made by `running`."""

    def __init__(self, home: Path, kind: Kind, url: str, database_pid: int, options: dict[str, str]) -> None:
        self.home = home
        self.kind = kind
        self._url = url
        self._database_pid = database_pid
        keep = {name: value for name, value in os.environ.items() if not name.startswith("ECLOUD_")}
        path = os.pathsep.join(filter(None, [str(ROOT), keep.get("PYTHONPATH", "")]))
        self.environment = {
            **keep,
            "PYTHONPATH": path,
            "ECLOUD_HOME": str(home),
            "ECLOUD_DATABASE": url,
            "ECLOUD_EMBEDDED_BROKER": kind.broker,
            "ECLOUD_SLOTS": "2",
            "ECLOUD_ORPHAN_AFTER_SECONDS": "30",
            **options,
        }
        self._workers = int(options.get("ECLOUD_LOCAL_WORKERS", "1"))
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        assert self._client is not None
        return self._client

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def open_database(self) -> Database:
        """To read what is recorded, beside the boss."""
        return Database.open_to_read(self._url or f"sqlite:///{self.home / 'ecloud.sqlite'}")

    def with_workers(self, count: int) -> None:
        """From the next start on."""
        self.environment["ECLOUD_LOCAL_WORKERS"] = str(count)
        self._workers = count

    def start(self) -> float:
        """Until it answers and its worker is there; how long the answer took, in seconds."""
        log_path = self.home.parent / "boss.log"
        began = time.perf_counter()
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "boss"],
                env=self.environment,
                cwd=self.home.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        took = 0.0
        while True:
            if self._process.poll() is not None or time.perf_counter() - began > _TIMEOUT_SECONDS:
                raise RuntimeError(f"the boss did not start:\n{log_path.read_text(errors='replace')[-3000:]}")
            if self._answers():
                took = took or time.perf_counter() - began
                if len(self.client.workers()) >= self._workers:
                    return took
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            if self._client is None:
                self._client = boss_of(self.home)
            return self._client is not None and self._client.status().datastore_connected
        except ClientError:
            self._client = None
            return False

    def stop(self) -> None:
        """TERM to the boss ends all of it; what would not is killed."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is None:
            return
        all_of_it = [self._process.pid, *_descendants(self._process.pid)]
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        for pid in all_of_it[1:]:
            if _is_ours(pid, self.home):
                os.kill(pid, signal.SIGKILL)

    # --- what it used ----------------------------------------------------------------------------------

    def cpu(self) -> Cpu:
        used = dict.fromkeys(Cpu.__dataclass_fields__, 0.0)
        for pid in [self.pid, *_descendants(self.pid)]:
            role = "boss" if pid == self.pid else _role(pid)
            if role:
                own, reaped = _cpu_of(pid)
                used[role] += own
                if role == "worker":
                    used["tasks"] += reaped
        if self._database_pid:
            used["database"] = _cpu_of(self._database_pid)[0]
        return Cpu(**used)

    def memory_mib(self, field: str = "VmRSS") -> float:
        """Of the boss; VmHWM is its peak."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
        return 0.0


@contextmanager
def running(kind: Kind, url: str = "", database_pid: int = 0, started: bool = True, **options: str) -> Iterator[System]:
    """A system on a fresh directory, gone afterwards. `options` are settings by the names of their variables."""
    directory = Path(tempfile.mkdtemp(prefix="ecloud-bench-"))
    home = directory / ".ecloud"
    home.mkdir(mode=0o700)
    system = System(home, kind, url, database_pid, options)
    try:
        if started:
            system.start()
        yield system
    finally:
        system.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _role(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    for word, role in ((b"worker", "worker"), (b"datastore", "datastore")):
        if b"-m" in text and word in text:
            return role
    return "broker" if b"mosquitto" in text[0] or any(b"amqtt" in word for word in text) else ""


def _cpu_of(pid: int) -> tuple[float, float]:
    """Seconds of CPU time: its own, and that of its children that have ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0.0, 0.0
    fields = stat[stat.rindex(b")") + 2 :].split()
    own, reaped = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return own / _TICK, reaped / _TICK


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    work = [pid]
    while work:
        parent = work.pop()
        try:
            threads = os.listdir(f"/proc/{parent}/task")
        except OSError:
            continue
        for thread in threads:
            try:
                children = Path(f"/proc/{parent}/task/{thread}/children").read_text().split()
            except OSError:
                continue
            found += map(int, children)
            work += map(int, children)
    return found


def _is_ours(pid: int, home: Path) -> bool:
    try:
        return os.fsencode(home) in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
