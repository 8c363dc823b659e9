"""Processes of one deployment under test: found by a variable of their environment, distinguished by their roles.

Only what has the mark is ever looked at or ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tests.worlds.waiting import scaled

#: Every process of the deployment has it in its environment, because the boss hands on its own.
MARK = "TORTURE_MARK"
#: What the datastore's program starts has only this, with the device and inode of the tree.
TRANSFER = "ECLOUD_TRANSFER_OF"


@dataclass(frozen=True)
class Process:
    pid: int
    start: int
    #: boss, broker, datastore, transfer (what the datastore starts), worker, command, or other.
    role: str
    #: The worker's id, for a worker and its commands.
    worker: str
    words: tuple[str, ...]


def find(mark: str) -> list[Process]:
    """All living processes of the deployment, whose folder is the mark."""
    wanted = {f"{MARK}={mark}"}
    with contextlib.suppress(OSError):
        status = os.stat(Path(mark) / "ecloud-data")
        wanted.add(f"{TRANSFER}={status.st_dev}:{status.st_ino}")
    found = (_look(int(name), wanted) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid())
    return [process for process in found if process is not None]


def _look(pid: int, wanted: set[str]) -> Process | None:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
        if wanted.isdisjoint(variables):
            return None
        words = tuple(Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0"))[:-1]
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    environment = dict(variable.partition("=")[::2] for variable in variables)
    role = _role(words, environment)
    worker = environment.get("ECLOUD_WORKER_ID") or environment.get("ECLOUD_WORKER", "")
    return Process(pid, int(fields[19]), role, worker, words)


def _role(words: tuple[str, ...], environment: dict[str, str]) -> str:
    if "ECLOUD_TASK" in environment:
        return "command"
    if TRANSFER in environment:
        return "transfer"
    for module in ("boss", "datastore", "worker"):
        if words[-2:] == ("-m", module):
            return module
    if words and (words[0].endswith("mosquitto") or "boss.embedded.amqtt_main" in words):
        return "broker"
    return "other"


def send(process: Process, number: signal.Signals) -> bool:
    """To exactly this process; False when it has ended."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if _start_of(process.pid) != process.start:
            return False
        signal.pidfd_send_signal(handle, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def _start_of(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return -1
    return int(stat[stat.rindex(")") + 2 :].split()[19])


def started_at(process: Process) -> float:
    """Seconds of `time.time()`."""
    up = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - up + process.start / os.sysconf("SC_CLK_TCK")


def wait_until_none(mark: str, seconds: float) -> list[Process]:
    """What is still there after that (scaled) time."""
    until = time.monotonic() + scaled(seconds)
    while (left := find(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def end_all(mark: str) -> None:
    """However many there are and whatever they start meanwhile."""
    until = time.monotonic() + scaled(20)
    while (left := find(mark)) and time.monotonic() < until:
        for process in left:
            send(process, signal.SIGKILL)
        time.sleep(0.05)
