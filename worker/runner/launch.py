"""Starts one process in a directory and a session of its own, as cheaply as this system can: `posix_spawn`.

That call knows no working directory, so the thread that starts goes there itself. It first takes a current directory
of its own from the kernel; where that is refused (some containers), the whole program's changes for a moment, which
nothing here minds: all its paths are absolute. Descriptors need no closing: Python makes none that a child inherits,
and those that this program was itself started with are marked once.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import time

from wire.descriptors import give_back
from worker.runner.processes import look

_CLONE_FS = 0x200
_TICK_NANOSECONDS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
#: What Python ignores and a program expects to find as usual.
_RESTORED = [getattr(signal, name) for name in ("SIGPIPE", "SIGXFZ", "SIGXFSZ") if hasattr(signal, name)]


class Launcher:
    """Belongs to one thread, which calls `begin` before the first `start`."""

    def __init__(self) -> None:
        self._back = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._alone = False
        #: Whether the kernel's start times are those of our clock; None: not compared yet.
        self._clock_agrees: bool | None = None

    def begin(self) -> None:
        """Take a current directory for this thread alone, if the system lets us."""
        with contextlib.suppress(OSError):
            os.close(self._back)
            self._back = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2:
                with contextlib.suppress(OSError):
                    os.set_inheritable(int(name), False)
        self._alone = ctypes.CDLL(None, use_errno=True).unshare(_CLONE_FS) == 0

    def start(
        self, arguments: list[str], directory: str, environment: dict[str, str], stdin: int, stdout: int, stderr: int
    ) -> tuple[int, int | None]:
        """The process's number and its start time in clock ticks, as /proc has it (None: unknown).

        Raises OSError that names the program or the directory; ValueError for what no system can start.
        """
        os.chdir(directory)
        try:
            program = find_program(arguments[0], environment)
            before = _ticks()
            pid = os.posix_spawn(
                program,
                arguments,
                environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, to) for to, fd in enumerate((stdin, stdout, stderr))],
                setsid=True,
                setsigdef=_RESTORED,
            )
            give_back(pid)
        finally:
            if not self._alone:
                os.fchdir(self._back)
        try:
            return pid, self._start_time(pid, before)
        except OSError:  # too many open files: it runs all the same
            return pid, None

    def _start_time(self, pid: int, before: int) -> int | None:
        """Reading it waits for the child's exec, so our own clock serves where it leaves no doubt."""
        if self._clock_agrees and _ticks() == before:
            return before
        certain = _ticks() == before
        process = look(pid)
        if process is not None and certain and self._clock_agrees is None:
            self._clock_agrees = process.start == before
        return None if process is None else process.start

    def close(self) -> None:
        os.close(self._back)


def find_program(name: str, environment: dict[str, str]) -> str:
    """The file that a name means in this environment, as a shell looks for it. Raises FileNotFoundError."""
    if "/" in name:
        return name
    there = ""
    for folder in environment.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            if os.access(path, os.X_OK):
                return path
            there = there or path  # the kernel says why it cannot be run
    if not there or not name:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return there


def _ticks() -> int:
    """The time since the machine's start, as the kernel notes it of a process."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // _TICK_NANOSECONDS
