"""Start a program as a child of this process and follow it to its end; end exactly one process, a child or not.

Knows nothing of what the programs are.

Each child has a session of its own (Ctrl-C at the terminal reaches the boss only, which decides), no descriptor of
ours but its log, and optionally dies with its parent:

* the kernel sends TERM to a child when the *thread* that started it ends, not the process. So children that die with
  their parent are started by one thread that lives as long as the process;
* the order to the kernel is given inside the child, so a parent that was killed just before would go unnoticed. The
  child compares its parent's pid afterwards, and leaves if it is another one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from boss.common.processes import exited, start_time
from boss.embedded.errors import EmbeddedError

logger = logging.getLogger(__name__)

#: A log above this size is rotated (one generation) when its child is started.
LOG_LIMIT_BYTES = 5 * 1024 * 1024

#: Run by sh inside the child, after the kernel has its orders: is the parent still the one that started us?
_STILL_OURS = '[ "$PPID" = "$0" ] || exit 125; exec "$@"'


class ChildError(EmbeddedError):
    """The program could not be started; says which and why."""


class ProcessError(EmbeddedError):
    """The process cannot be ended; says which and why."""


class Child:
    """One started program. Its end is noticed by a thread of its own; every call is safe from any thread."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, ended: Callable[[Child], None] | None) -> None:
        self.name = name
        self.pid = process.pid
        # Until it is waited for (by our own thread, below) the number cannot be used again.
        self.start_time = start_time(process.pid) or 0
        #: Set when it has ended and `exit_code` holds how (negative: by that signal; None while it runs).
        self.wait_event = threading.Event()
        self.exit_code: int | None = None
        self._process = process
        self._signals = threading.Lock()
        self._on_end = ended
        threading.Thread(target=self._follow, name=f"child-{name}", daemon=True).start()

    def send(self, number: signal.Signals) -> bool:
        """False when it has ended already."""
        with self._signals:  # never after it was waited for: the number might be another process's
            if self._process.returncode is not None:
                return False
            self._process.send_signal(number)
            return True

    def terminate(self, grace: float) -> int:
        """TERM, KILL after `grace` seconds; returns its exit code."""
        for number, timeout in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
            self.send(number)
            if self.wait_event.wait(timeout) and self.exit_code is not None:
                return self.exit_code
        raise ProcessError(f"{self.name} (pid {self.pid}) does not end, not even by KILL: it hangs in the kernel")

    def _follow(self) -> None:
        with contextlib.suppress(ChildProcessError):  # `send` has waited for it
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._signals:
            self.exit_code = self._process.wait()
        self.wait_event.set()
        if self._on_end is not None:
            self._on_end(self)  # an error in it takes the program with it (`boss.common.threads`)


def start_child(
    argv: Sequence[str],
    env: Mapping[str, str] | None = None,
    log_path: Path | None = None,
    die_with_parent: bool = False,
    cwd: Path | None = None,
    name: str = "",
    ended: Callable[[Child], None] | None = None,
) -> Child:
    """Start `argv` (argv[0] is looked up in PATH). Its output is appended to `log_path`, or dropped.

    `ended` is called once, from a thread of its own, however it ends. Raises ChildError.
    """
    name = name or Path(argv[0]).name
    if die_with_parent:
        bound = _bound_to_parent(argv)
        return _spawner().submit(_start, bound, env, log_path, cwd, name, ended).result()
    return _start(list(argv), env, log_path, cwd, name, ended)


def _start(
    argv: list[str],
    env: Mapping[str, str] | None,
    log_path: Path | None,
    cwd: Path | None,
    name: str,
    ended: Callable[[Child], None] | None,
) -> Child:
    try:
        log = os.open(os.devnull, os.O_WRONLY) if log_path is None else _open_log(log_path)
    except OSError as error:
        raise ChildError(f"cannot start {name}: its log {log_path} cannot be written: {error.strerror}") from None
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=cwd, start_new_session=True
        )
    except OSError as error:
        raise ChildError(f"cannot start {name} ({argv[0]}): {error.strerror}") from None
    finally:
        os.close(log)
    return Child(process, name, ended)


def _open_log(path: Path) -> int:
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def log_tail(path: Path, lines: int = 10) -> str:
    """The last lines of a child's log, for an error message."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _bound_to_parent(argv: Sequence[str]) -> list[str]:
    """The same program, which gets TERM from the kernel when we end. The pid stays the program's own."""
    program = shutil.which(argv[0])
    if program is None:
        raise ChildError(f"cannot start {argv[0]}: there is no such program")
    path, parent = os.path.abspath(program), str(os.getpid())
    setpriv = shutil.which("setpriv")
    if setpriv is not None:
        return [setpriv, "--pdeathsig", "TERM", "--", "/bin/sh", "-c", _STILL_OURS, parent, path, *argv[1:]]
    helper = str(Path(__file__).with_name("parent_death.py"))
    return [sys.executable, "-I", "-S", helper, parent, path, *argv[1:]]


def end_process(pid: int, started: int, grace: float) -> Literal["ended", "absent"]:
    """TERM, and KILL after `grace` seconds, but only the process that started at `started` (clock ticks since boot).

    It is ended only through a pidfd that was opened before its start time was compared: the pidfd keeps meaning that
    process whatever happens to the number.

    `absent`: it is gone already (the number may belong to another process by now). Raises ProcessError when it belongs
    to another user, or does not go even after KILL.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return "absent"
    try:
        if start_time(pid) != started:
            return "absent"
        for number, timeout in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            if exited(handle, timeout):
                return "ended"
        raise ProcessError(f"process {pid} does not end, not even by KILL: it hangs in the kernel")
    except PermissionError:
        raise ProcessError(f"process {pid} belongs to another user and cannot be ended by this one") from None
    finally:
        os.close(handle)


def last_lines(log: Path) -> str:
    """The last line of a child's log: why it ended, if it said so."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError as error:
        return f"(it cannot be read: {error.strerror})"
    return next((line for line in reversed(lines) if line.strip()), "")[:1000]


#: By process: a fork has no threads.
_spawners: dict[int, ThreadPoolExecutor] = {}


def _spawner() -> ThreadPoolExecutor:
    """A thread that starts children and never ends before the process does."""
    return _spawners.setdefault(os.getpid(), ThreadPoolExecutor(1, "spawner"))
