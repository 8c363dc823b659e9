"""What a task's own Python code may import: a way to tell how far it is. Needs nothing but the standard library.

Outside of a worker every function does nothing, so that a script runs the same on a laptop.
"""

from __future__ import annotations

import math
import os


def progress(fraction: float) -> None:
    """Tell which fraction of this task's work is done, from 0 to 1. Cheap; never fails because no agent listens."""
    value = float(fraction)
    if not math.isfinite(value):
        raise ValueError(f"progress must be a number from 0 to 1, not {fraction!r}")
    path = os.environ.get("ECLOUD_PROGRESS")
    if not path:
        return
    task, attempt = os.environ.get("ECLOUD_TASK", "0"), os.environ.get("ECLOUD_ATTEMPT", "0")
    line = f"{task} {attempt} {min(max(value, 0.0), 1.0):.6g}\n"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return
    try:
        os.write(fd, line.encode("ascii"))
    except OSError:
        pass
    finally:
        os.close(fd)
