"""The state directory's lock: one boss on a state directory, and a second one learns which is the first.

Early and by name; what makes it certain that one boss alone writes is the database's epoch.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from boss.common.file_lock import take_lock
from boss.common.times import format_utc
from boss.state_directory.boss_file import LOCK_FILE, read
from boss.state_directory.find import StateDirectoryError


class CannotStartError(StateDirectoryError):
    """The boss cannot start; the text is a sentence for operators."""


def cannot_start(state_directory: Path, error: OSError) -> str:
    """A full disk, a directory without permission: what the operating system says, and where."""
    place = error.filename or state_directory
    return f"the boss cannot start: {place}: {error.strerror or error}; mend that, then start it again"


def lock(state_directory: Path) -> int:
    """The state directory is this boss's as long as the descriptor is open. No child inherits it."""
    path = state_directory / LOCK_FILE
    try:
        descriptor = take_lock(path)
    except BlockingIOError:
        holder = path.read_text(errors="replace")[:1000].strip()
        first = read(state_directory / "boss.json")
        url = f", answering at {first.url}" if first is not None else ""
        raise CannotStartError(
            f"a boss runs on the state directory {state_directory} already: {holder or 'another process'}{url}. "
            "Use it, or end it first (admin.py and push_tasks.py find it automatically); nothing was changed"
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{socket.gethostname()}, process {os.getpid()}, since {format_utc(time.time())}\n".encode())
    return descriptor
