"""What the machine itself can do: processes started by the kernel alone, and by `xargs`. Knows nothing of ecloud."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from dataclasses import dataclass

TRUE = shutil.which("true") or "/bin/true"


@dataclass(frozen=True)
class Floor:
    """So many processes in so many seconds, with all the CPU time that it took."""

    count: int
    seconds: float
    cpu_seconds: float


def spawn_loop(count: int, processes: int = 2) -> Floor:
    """`processes` loops, each of which starts `true` by posix_spawn and waits for it: the least that a task costs."""
    began, cpu = time.perf_counter(), _children_cpu()
    loops = [_fork_loop(count // processes) for _ in range(processes)]
    for pid in loops:
        os.waitpid(pid, 0)
    return Floor(count // processes * processes, time.perf_counter() - began, _children_cpu() - cpu)


def xargs(count: int) -> Floor:
    """`xargs -P2 -n1 true`: what a shell user would take."""
    began, cpu = time.perf_counter(), _children_cpu()
    words = "\n".join(map(str, range(count))).encode()
    subprocess.run(["xargs", "-P2", "-n1", TRUE], input=words, check=True)
    return Floor(count, time.perf_counter() - began, _children_cpu() - cpu)


def _fork_loop(count: int) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for _ in range(count):
                os.waitpid(os.posix_spawn(TRUE, [TRUE], {}), 0)
            status = 0
        finally:
            os._exit(status)
    return pid


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
