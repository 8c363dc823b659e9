"""What the kernel says about processes, and how one is ended for certain. Linux only: /proc, pidfd, subreaper.

Knows nothing of attempts. A process is signalled through a pidfd, after its start time was compared: a number alone may
meanwhile belong to another process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

_PR_SET_CHILD_SUBREAPER = 36
#: The kernel hands such lists out in pieces of one page at least.
_ONE_READ = 4096


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    session: int
    #: Clock ticks from the machine's start to the process's: with the pid, a name that is never given twice.
    start: int
    #: It has exited and waits to be reaped.
    zombie: bool


def look(pid: int) -> Process | None:
    """The process, or None when there is none. Raises OSError where that cannot be known: too many open files, say."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        text = os.read(fd, 4096)
    except (FileNotFoundError, ProcessLookupError):
        return None
    finally:
        os.close(fd)
    fields = text[text.rindex(b")") + 2 :].split()  # the name before may hold blanks and brackets
    return Process(pid, int(fields[1]), int(fields[3]), int(fields[19]), fields[0] in (b"Z", b"X"))


def children(pid: int) -> list[int]:
    """Direct children of all threads of a process."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        found += _children_of_thread(pid, thread)
    return found


def _children_of_thread(pid: int, thread: str | int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def orphans() -> list[int]:
    """Processes whose parents died below us: the kernel gives them to our main thread, which starts none itself."""
    pid = os.getpid()
    text = os.pread(_main_threads_children(pid), _ONE_READ, 0)
    if len(text) > _ONE_READ // 2:  # there may be more, and a second read at an offset could cut a number in two
        return _children_of_thread(pid, pid)
    return [int(word) for word in text.split()]


@cache
def _main_threads_children(pid: int) -> int:
    """Kept open: it is read after every attempt."""
    return os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)


def with_descendants(pids: Iterable[int]) -> list[Process]:
    """These processes and all below them, parents first."""
    found: dict[int, Process] = {}
    todo = list(pids)
    for pid in todo:
        process = look(pid)
        if process is None or pid in found:
            continue
        found[pid] = process
        todo += children(pid)
    return list(found.values())


def is_tagged(pid: int, mark: bytes) -> bool:
    """Whether the environment that the process was started with holds `mark` as one whole entry's beginning."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            return b"\0" + mark in b"\0" + (file.readall() or b"")
    except OSError:
        return False


def become_subreaper() -> None:
    """From now on orphans below this process become its children instead of those of process 1."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def send(process: Process, number: int) -> bool:
    """Signal exactly this process. False: it is gone, or not ours to signal."""
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        now = look(process.pid)
        if now is None or now.start != process.start or now.zombie:
            return False
        signal.pidfd_send_signal(fd, number)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def reap(pid: int) -> None:
    """Take an exited child's status, so that its number is free again."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def end(processes: Iterable[Process], kill: bool, asked: set[tuple[int, int]]) -> None:
    """KILL these, or TERM those that were not asked yet (pid and start); `asked` keeps which were."""
    for process in processes:
        if kill:
            send(process, signal.SIGKILL)
        elif (process.pid, process.start) not in asked:
            asked.add((process.pid, process.start))
            send(process, signal.SIGTERM)


def end_all(find: Callable[[], list[Process]], grace: float, timeout: float) -> list[Process]:
    """TERM whatever `find` finds, KILL it after `grace`; return what is still there after `timeout` more.

    Blocks; for the start and the end of the program only.
    """
    kill_at = time.monotonic() + grace
    give_up_at = kill_at + timeout
    asked: set[tuple[int, int]] = set()
    while found := find():
        now = time.monotonic()
        if now >= give_up_at:
            return found
        end(found, now >= kill_at, asked)
        _wait_for_any(found, 0.2)
    return []


def _wait_for_any(processes: list[Process], seconds: float) -> None:
    poll = select.poll()
    fds: list[int] = []
    for process in processes[:256]:
        with contextlib.suppress(OSError):
            fds.append(os.pidfd_open(process.pid))
            poll.register(fds[-1], select.POLLIN)
    try:
        if fds:
            poll.poll(int(seconds * 1000))
    finally:
        for fd in fds:
            os.close(fd)
    time.sleep(0.005)  # an exit is seen a moment before the process has left /proc
