"""Which process a pid means, and whether it has ended. A pid alone names nothing: the kernel gives it again."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

#: Between two tries to ask the kernel, where it has not enough of something.
_PAUSE_SECONDS = 0.5


def start_time(pid: int) -> int | None:
    """When the living process of this pid started, in clock ticks since boot; None: there is none, or its remains.

    With the pid it is a name that is never given twice. Format: proc_pid_stat(5). Blocks while that cannot be known,
    for want of descriptors say: a process that lives is never taken for one that has ended.
    """
    while True:
        try:
            text = Path(f"/proc/{pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError, NotADirectoryError):
            return None
        except OSError:
            time.sleep(_PAUSE_SECONDS)  # no descriptor is free, and no event reports when one is
        else:
            break
    # The name in parentheses may hold blanks and parentheses; state follows it, start time is the 20th after that.
    fields = text[text.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def works_in(pid: int, directory: Path) -> bool:
    """Whether a living process has this very directory for its own, whatever the directory is called by now.

    What stands in a copy of a directory about processes is not about processes of the copy.
    """
    try:
        return os.path.samefile(f"/proc/{pid}/cwd", directory)
    except OSError:  # another user's, or gone
        return False


def exited(pidfd: int, seconds: float | None) -> bool:
    """Whether the process behind a pidfd ends within so many seconds; None waits for ever."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))


def open_pidfd(pid: int) -> int | None:
    """None: there is no such process. Blocks as `start_time` does."""
    while True:
        try:
            return os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        except OSError:
            time.sleep(_PAUSE_SECONDS)  # no descriptor is free, and no event reports when one is
