"""The record of started sessions, on disk before it matters: what a killed agent left running is found by it.

An append-only file of lines: `boot <id>` of the machine's present life, `<pid> <start>` for a session begun, `-<pid>`
for one known to be gone. What an earlier life of the machine wrote counts for nothing.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from worker.files import replace_file, write_all

logger = logging.getLogger(__name__)

_REWRITE_BYTES = 1024 * 1024


class Sessions:
    """Never raises: what cannot be written is kept in memory, and written whole as soon as there is room."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._open: dict[int, int] = {}
        self._written = 0
        #: Not all of what is open is in the file.
        self._missing = False
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._append(f"\nboot {boot_id()}\n")
        except OSError as error:
            self._failed(error)

    def began(self, pid: int, start: int) -> None:
        self._open[pid] = start
        self._note(f"{pid} {start}\n")

    def ended(self, pids: list[int]) -> None:
        for pid in pids:
            self._open.pop(pid, None)
        self._note("".join(f"-{pid}\n" for pid in pids))

    def _note(self, text: str) -> None:
        try:
            if self._missing or self._written > _REWRITE_BYTES:
                self._rewrite()
            else:
                self._append(text)
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        if not self._missing:
            logger.error(
                "cannot write %s: %s; it is tried again with each command; if this agent is killed before, what runs "
                "is found by its environment", self._path, error, extra={"action": "sessions_failed"},
            )  # fmt: skip
        self._missing = True

    def _rewrite(self) -> None:
        lines = [f"boot {boot_id()}\n", *(f"{pid} {start}\n" for pid, start in self._open.items())]
        text = "".join(lines).encode()
        fd = replace_file(self._path, text)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._written, self._missing = fd, len(text), False

    def _append(self, text: str) -> None:
        write_all(self._fd, text.encode())
        self._written += len(text)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def read_sessions(path: Path) -> dict[int, int]:
    """pid -> start time of the sessions that were open when the file was last written; a torn last line is left out."""
    found: dict[int, int] = {}
    try:
        lines = path.read_text(encoding="ascii", errors="replace").split("\n")[:-1]
    except FileNotFoundError:
        return found
    here = True
    for line in lines:
        words = line.split()
        if words[:1] == ["boot"]:
            here = words[1:] == [boot_id()]
            found = found if here else {}
        if not here:
            continue
        if line.startswith("-") and line[1:].isdigit():
            found.pop(int(line[1:]), None)
        elif len(words) == 2 and words[0].isdigit() and words[1].isdigit():
            found[int(words[0])] = int(words[1])
    return found
