"""Makes writes of a program fail while a file is there: `{"error": "ENOSPC", "part": 0.2, "programs": ["worker"]}`.

What the kernel would fail, and only that: opening a file for writing, making names, writing to regular files, syncs.
With EMFILE and ENFILE everything that needs a new descriptor. SQLite is not reached: tests give it a small disk.
Each place in the code that was struck is noted beside the file, so that a test knows that it has tested something.
"""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import random
import stat
import sys
import threading
from collections.abc import Callable
from typing import Any

_NAMES = ("mkdir", "rename", "replace", "link", "symlink", "mkfifo", "ftruncate", "fsync")
_DATA = ("write", "pwrite", "sendfile")
_DESCRIPTORS = ("pidfd_open", "pipe", "scandir", "listdir")
_MAKES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class _Faults:
    def __init__(self, path: str, program: str) -> None:
        self._path = path
        self._program = program
        self._chance = random.Random(f"{program} {os.getpid()}")
        self._lock = threading.Lock()
        self._noted: set[str] = set()
        self._open, self._write, self._close, self._stat = os.open, os.write, os.close, os.fstat

    def plan(self) -> dict[str, Any]:
        """Empty: nothing fails at present."""
        try:
            fd = self._open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return {}
        try:
            plan = json.loads(os.read(fd, 4096) or b"{}")
        except ValueError:  # it is just being written
            return {}
        finally:
            self._close(fd)
        return plan if self._program in plan.get("programs", ()) else {}

    def strike(self, plan: dict[str, Any], call: str) -> None:
        """Now and then. Raises OSError."""
        with self._lock:
            if self._chance.random() >= plan["part"]:
                return
        frame = sys._getframe(2)
        place = f"{call} {frame.f_code.co_filename.split('/work/')[-1]}:{frame.f_code.co_qualname}"
        if place not in self._noted:
            self._noted.add(place)
            fd = self._open(f"{self._path}.struck", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._write(fd, f"{self._program}: {place}\n".encode())
            self._close(fd)
        number = getattr(errno, plan["error"])
        raise OSError(number, os.strerror(number))

    def is_file(self, fd: Any) -> bool:
        return isinstance(fd, int) and stat.S_ISREG(self._stat(fd).st_mode)


def install(path: str, program: str) -> None:
    faults = _Faults(path, program)

    def wrap(name: str, applies: Callable[[dict[str, Any], tuple[Any, ...]], bool]) -> None:
        plain = getattr(os, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            plan = faults.plan()
            if plan and applies(plan, arguments):
                faults.strike(plan, name)
            return plain(*arguments, **named)

        setattr(os, name, wrapped)
        for known in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            if plain in known:
                known.add(wrapped)

    def descriptors(plan: dict[str, Any]) -> bool:
        return plan["error"] in ("EMFILE", "ENFILE")

    for name in _NAMES:
        wrap(name, lambda plan, _: not descriptors(plan))
    for name in _DATA:
        wrap(name, lambda plan, arguments: not descriptors(plan) and faults.is_file(arguments[0]))
    for name in _DESCRIPTORS:
        wrap(name, lambda plan, _: descriptors(plan))
    wrap("open", lambda plan, arguments: descriptors(plan) or bool(arguments[1] & _MAKES))
    plain_open = io.open

    def opened(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        plan = faults.plan()
        if plan and not isinstance(file, int) and (descriptors(plan) or set(mode) & set("wax+")):
            faults.strike(plan, "open")
        return plain_open(file, mode, *arguments, **named)

    io.open = builtins.open = opened
