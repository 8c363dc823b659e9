"""Programs that transfers start (rsync, ssh): bound to this process, followed to their end, and found by the next one.

Each child has a session of its own. It is killed by the kernel when the thread that started it ends, so children are
started by threads that live as long as the program works (those of a pool). What a child starts itself is not reached
by that, and a kill may come between two steps; so all of them carry a mark in their environment, by which the next
start of a datastore on the same tree finds and ends them before any other work. It knows nothing of what they do.
"""

from __future__ import annotations

import logging
import os
import select
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from typing import IO

from datastore.transfers.errors import TransferError

logger = logging.getLogger(__name__)

#: In the environment of every child: whose it is.
MARK = "ECLOUD_TRANSFER_OF"

#: Run by sh inside the child: is the parent still the one that started us? And limits: largest file, address space.
_BOUND = '[ "$PPID" = "$0" ] || exit 125; [ -z "$1" ] || ulimit -f "$1" || exit 125; '
_BOUND += '[ -z "$2" ] || ulimit -v "$2" || exit 125; shift 2; exec "$@"'
_BLOCK_BYTES = 512
#: Until KILL has ended a process, which only a hanging kernel delays.
_KILL_SECONDS = 10.0


class TransferStartError(TransferError, OSError):
    """The program could not be started; a sentence."""


class TransferProcess:
    """One started program; all calls are safe from any thread."""

    def __init__(
        self,
        argv: Sequence[str],
        environment: dict[str, str],
        *,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        stdout: IO[bytes] | int = subprocess.DEVNULL,
        stderr: IO[bytes] | int = subprocess.DEVNULL,
        largest_file: int | None = None,
        memory: int | None = None,
    ) -> None:
        """`largest_file`: bytes; it is ended when it writes more into one. `memory`: bytes.

        Raises TransferStartError.
        """
        self._lock = threading.Lock()
        try:
            self._process = subprocess.Popen(
                _bound(argv, largest_file, memory), stdin=stdin, stdout=stdout, stderr=stderr, env=environment, cwd="/",
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise TransferStartError(f"{argv[0]} cannot be started: {error.strerror}") from None
        self._handle = os.pidfd_open(self._process.pid)

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def __del__(self) -> None:
        # Not before: two threads may wait for it, and the number of a closed handle soon means another file.
        if hasattr(self, "_handle"):
            os.close(self._handle)

    def ended(self) -> bool:
        return self._process.returncode is not None or self._exited(0)

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit code (negative: ended by that signal), or None: it still runs after so long.

        When it has ended, nothing of its session is left running either.
        """
        if not self._exited(seconds):
            return None
        with self._lock:
            if self._process.returncode is None:
                self._signal(signal.SIGKILL)  # whatever it left; its own number is not free before the next line
                self._process.wait()
        return self._process.returncode

    def moved(self) -> int:
        """Bytes that it and its children have read and written so far."""
        pid = self._process.pid
        return sum(_moved(each) for each in (pid, *_children(pid)))

    def written(self) -> int:
        """Bytes that it and its children have written so far, without those that run another program (ssh)."""
        pid = self._process.pid
        name = _name(pid)
        return sum(_counts(each)["wchar"] for each in (pid, *_children(pid)) if _name(each) == name)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal it and all of its session."""
        with self._lock:
            if self._process.returncode is None:
                self._signal(number)

    def _exited(self, seconds: float | None) -> bool:
        if self._process.returncode is not None:
            return True
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):  # all are gone, or are just becoming a session of their own
            self._process.send_signal(number)


def environment(mark: str) -> dict[str, str]:
    """The environment of a child: nothing of ours that would change how rsync and ssh behave."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "TZ") if name in os.environ}
    return {**kept, "LC_ALL": "C", "SHELL": "/bin/sh", MARK: mark}


def mark_of(fd: int) -> str:
    """The mark of a tree, by a descriptor of its root: the same whatever path leads there."""
    status = os.fstat(fd)
    return f"{status.st_dev}:{status.st_ino}"


def end_leftovers(mark: str) -> int:
    """End every process with this mark and wait for it; how many there were. Only for who holds the tree's lock."""
    wanted = f"{MARK}={mark}".encode()
    found = 0
    while True:
        handles = [handle for pid in _others() if (handle := _open_marked(pid, wanted)) is not None]
        if not handles:
            break
        found += len(handles)
        for handle in handles:
            _kill(handle)
    if found:
        logger.warning("%d processes of transfers of a former start were ended", found, extra={"action": "end"})
    return found


# -- parts -------------------------------------------------------------------------------------------


def _bound(argv: Sequence[str], largest_file: int | None, memory: int | None) -> list[str]:
    """The same program, ended by the kernel when our thread ends. The pid stays the program's own."""
    program = shutil.which(argv[0])
    if program is None:
        raise TransferStartError(f"{argv[0]} is not installed on the datastore's host")
    blocks = "" if largest_file is None else str(largest_file // _BLOCK_BYTES + 1)
    kilobytes = "" if memory is None else str(memory // 1024)
    command = ["/bin/sh", "-c", _BOUND, str(os.getpid()), blocks, kilobytes, program, *argv[1:]]
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *command] if setpriv else command


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def _moved(pid: int) -> int:
    counts = _counts(pid)
    return counts["rchar"] + counts["wchar"]


def _counts(pid: int) -> dict[str, int]:
    """Of bytes, as proc_pid_io(5) has them."""
    try:
        with open(f"/proc/{pid}/io") as file:
            return {name: int(count) for name, count in (line.split(": ") for line in file)}
    except OSError:  # ended meanwhile
        return {"rchar": 0, "wchar": 0}


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read()
    except OSError:
        return ""


def _others() -> list[int]:
    mine = os.getpid()
    return [pid for entry in os.listdir("/proc") if entry.isdigit() and (pid := int(entry)) != mine]


def _open_marked(pid: int, wanted: bytes) -> int | None:
    """A handle of the process if it has the mark. The mark is read after the handle was got: it is that process's."""
    try:
        if wanted not in _environ(pid):
            return None
        handle = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        if wanted in _environ(pid):
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def _environ(pid: int) -> list[bytes]:
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read().split(b"\0")


def _kill(handle: int) -> None:
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll(_KILL_SECONDS * 1000)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)
