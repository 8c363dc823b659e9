"""What the kernel knows of a process: who it is, whether it lives, and how to end exactly that one.

A pid alone names nothing (it is used again), so a process is (pid, start time). It is ended only through a pidfd that
was opened before its start time was compared: the pidfd keeps meaning that process whatever happens to the number.
Knows nothing of what the processes do.
"""

from __future__ import annotations

import os
import select
import signal
from typing import Literal

from boss.embedded.errors import EmbeddedError


class ProcessError(EmbeddedError):
    """The process cannot be ended; says which and why."""


def identify(pid: int) -> int | None:
    """The start time (clock ticks since boot) of the living process with this pid; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold blanks and parentheses; state follows it, start time is the 20th after that.
    fields = text[text.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def end_process(pid: int, start_time: int, grace: float) -> Literal["ended", "absent"]:
    """TERM, and KILL after `grace` seconds, but only the process that started at `start_time`.

    `absent`: it is gone already (the number may belong to somebody else by now). Raises ProcessError when it belongs
    to another user, or does not go even after KILL.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return "absent"
    try:
        if identify(pid) != start_time:
            return "absent"
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
            _send(handle, number, pid)
            if exited(handle, patience):
                return "ended"
        raise ProcessError(f"process {pid} does not end, not even by KILL: it hangs in the kernel")
    finally:
        os.close(handle)


def exited(handle: int, timeout: float) -> bool:
    """Wait up to `timeout` seconds for the end of the process behind a pidfd."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(max(0.0, timeout) * 1000))


def _send(handle: int, number: signal.Signals, pid: int) -> None:
    try:
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    except PermissionError:
        raise ProcessError(f"process {pid} belongs to another user and cannot be ended by this one") from None
