"""The record of started sessions, on disk before it matters: what a killed agent left running is found by it.

An append-only file of lines: `boot <id>` of the machine's present life, `<pid> <start>` for a session begun, `-<pid>`
for one known to be gone. What an earlier life of the machine wrote counts for nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

_REWRITE_BYTES = 1024 * 1024


class Sessions:
    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._open: dict[int, int] = {}
        self._written = 0
        self._append(f"boot {boot_id()}\n")

    def began(self, pid: int, start: int) -> None:
        self._open[pid] = start
        self._append(f"{pid} {start}\n")

    def ended(self, pids: list[int]) -> None:
        for pid in pids:
            self._open.pop(pid, None)
        if self._written > _REWRITE_BYTES:
            os.ftruncate(self._fd, 0)
            self._written = 0
            self._append(f"boot {boot_id()}\n")
            self._append("".join(f"{pid} {start}\n" for pid, start in self._open.items()))
        else:
            self._append("".join(f"-{pid}\n" for pid in pids))

    def _append(self, text: str) -> None:
        self._written += os.write(self._fd, text.encode())

    def close(self) -> None:
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
