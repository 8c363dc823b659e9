"""Which boss belongs to a state directory: `boss.json`, and whether the process it names still lives.

A process number alone says nothing (they are used again), so its start time stands beside it. Only this
machine's /proc is asked; a file of a dead boss counts as none.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

#: Written by the boss once it answers HTTP.
BOSS_FILE = "boss.json"
#: Locked (flock) by the boss of a state directory for as long as it lives.
LOCK_FILE = "lock"


class RunningBoss(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    #: Clock ticks since the machine started, as /proc says it.
    start_time: int
    url: str


def start_time_of(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None: no such process, or only its remains."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()  # the name before it may hold blanks and brackets
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def announce(state_directory: Path, url: str) -> None:
    """This process is the boss of the state directory and answers at `url`."""
    pid = os.getpid()
    boss = RunningBoss(pid=pid, start_time=start_time_of(pid) or 0, url=url)
    temporary = state_directory / f".{BOSS_FILE}.{pid}"
    temporary.write_bytes(msgspec.json.encode(boss) + b"\n")
    temporary.chmod(0o600)
    temporary.replace(state_directory / BOSS_FILE)


def withdraw(state_directory: Path) -> None:
    """This process is no longer the boss; a file of another one stays."""
    path = state_directory / BOSS_FILE
    if (boss := read(path)) is not None and boss.pid == os.getpid():
        path.unlink(missing_ok=True)


def read(path: Path) -> RunningBoss | None:
    """What the file says, or None where there is no file or it is damaged (a boss will write it again)."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunningBoss)
    except (OSError, msgspec.DecodeError):
        return None


def running_boss(state_directory: Path) -> RunningBoss | None:
    """The boss of this state directory, if its process lives."""
    boss = read(state_directory / BOSS_FILE)
    if boss is None or start_time_of(boss.pid) != boss.start_time:
        return None
    return boss
