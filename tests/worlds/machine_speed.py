"""How much slower than an idle one this machine is now, measured by what tests do all the time: starts and fsyncs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

#: Seconds of one of each on an idle machine of the kind that the tests are written on.
_START_SECONDS = 0.075
_FSYNC_SECONDS = 0.005
#: Modules that all our programs load: the start takes longer than a processor's turn, so that a crowd shows.
_PROGRAM = "import asyncio, http.client, json, logging.handlers, sqlite3, ssl"
_STARTS, _FSYNCS = 3, 15
#: No machine is believed to be slower, so that what hangs is found.
_MOST = 20.0


def timeout_factor(processes: int) -> float:
    """What to multiply timeouts by in a run of so many parallel test processes: at least 1. Takes about 0.3 s."""
    measured = max(_start_seconds() / _START_SECONDS, _fsync_seconds() / _FSYNC_SECONDS, 1.0)
    crowd = max(processes / len(os.sched_getaffinity(0)), 1.0)
    return min(measured * crowd, _MOST)


def _start_seconds() -> float:
    began = time.perf_counter()
    for _ in range(_STARTS):
        subprocess.run([sys.executable, "-I", "-c", _PROGRAM], check=True)
    return (time.perf_counter() - began) / _STARTS


def _fsync_seconds() -> float:
    with tempfile.TemporaryFile() as file:
        began = time.perf_counter()
        for _ in range(_FSYNCS):
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
        return (time.perf_counter() - began) / _FSYNCS
