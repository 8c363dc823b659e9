"""Which boss belongs to a state directory: `boss.json`, and whether the process it names still lives.

A process number alone says nothing (they are used again), so its start time stands beside it. Only this
machine's /proc is asked; a file of a dead boss counts as none.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from boss.common.private_files import write_private
from boss.common.processes import start_time

#: Written by the boss once it answers HTTP.
BOSS_FILE = "boss.json"
#: Locked (flock) by the boss of a state directory for as long as it lives.
LOCK_FILE = "lock"


class RunningBoss(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    #: Clock ticks since the machine started, as /proc says it.
    start_time: int
    url: str


def announce(state_directory: Path, url: str) -> None:
    """This process is the boss of the state directory and answers at `url`."""
    boss = RunningBoss(pid=os.getpid(), start_time=start_time(os.getpid()) or 0, url=url)
    write_private(state_directory / BOSS_FILE, msgspec.json.encode(boss) + b"\n")


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
    return boss if boss is not None and start_time(boss.pid) == boss.start_time else None
