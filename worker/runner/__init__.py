"""Runs the commands of attempts on this machine: one thread that starts, watches and ends their processes. No polling.

    Runner (`runner`) ── execution     one attempt's commands, one after the other: output, time limit, end
                      │  ├─ spawn, launch    what a process is started with; starting it (posix_spawn)
                      │  ├─ output           a file that keeps the head and the tail
                      │  └─ tree             the end of the whole process tree, daemons included
                      ├─ epanet ── helpers   an EPANET attempt, given to a warm process of worker.epanet
                      ├─ workspace           directories of attempts, used again
                      └─ watch               epoll, woken by other threads

`processes` is what the kernel says of a process, `sessions` the record of those that were started, by which the next
agent finds what a killed one left. `shared` is what all executions of a runner have in common.

Other threads call `execute`, `kill` and `stop`, which enqueue and return. It knows no message but the order to run and
the outcome, and never signals a process by its number alone.
"""

from worker.runner.runner import Runner
from worker.runner.shared import RunnerOptions

__all__ = ["Runner", "RunnerOptions"]
