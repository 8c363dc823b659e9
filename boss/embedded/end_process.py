"""How to end exactly one process, and no other that has its pid meanwhile.

A process is (pid, start time). It is ended only through a pidfd that
was opened before its start time was compared: the pidfd keeps meaning that process whatever happens to the number.
Knows nothing of what the processes do.
"""

from __future__ import annotations

import os
import signal
from typing import Literal

from boss.common.processes import exited, start_time
from boss.embedded.errors import EmbeddedError


class ProcessError(EmbeddedError):
    """The process cannot be ended; says which and why."""


def end_process(pid: int, started: int, grace: float) -> Literal["ended", "absent"]:
    """TERM, and KILL after `grace` seconds, but only the process that started at `started` (clock ticks since boot).

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
            _send(handle, number, pid)
            if exited(handle, timeout):
                return "ended"
        raise ProcessError(f"process {pid} does not end, not even by KILL: it hangs in the kernel")
    finally:
        os.close(handle)


def _send(handle: int, number: signal.Signals, pid: int) -> None:
    try:
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    except PermissionError:
        raise ProcessError(f"process {pid} belongs to another user and cannot be ended by this one") from None
