"""Which process a pid means, and whether it has ended. A pid alone names nothing: the kernel gives it again."""

from __future__ import annotations

import select
from pathlib import Path


def start_time(pid: int) -> int | None:
    """When the living process of this pid started, in clock ticks since boot; None: there is none, or its remains.

    With the pid it is a name that is never given twice. Format: proc_pid_stat(5).
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold blanks and parentheses; state follows it, start time is the 20th after that.
    fields = text[text.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def exited(pidfd: int, seconds: float | None) -> bool:
    """Whether the process behind a pidfd ends within so many seconds; None waits for ever."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))
