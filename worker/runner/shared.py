"""What all executions of one runner share: the watch, the record of sessions, the environment. Built by the runner."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from wire.messages import Outcome, Run
from worker.runner.launch import Launcher
from worker.runner.options import RunnerOptions
from worker.runner.sessions import Sessions
from worker.runner.spawn import MARK, mark_of
from worker.runner.watch import Watch
from worker.runner.workspace import Spares, Workspace


@dataclass(frozen=True, slots=True)
class Shared:
    options: RunnerOptions
    watch: Watch
    sessions: Sessions
    spares: Spares
    launcher: Launcher
    #: /dev/null for reading.
    nothing: int
    #: The FIFO through which tasks tell their progress.
    progress_path: str
    #: Called when an execution is over: run, outcome, whether its directory is still there.
    finished: Callable[[Run, Outcome, bool], None]
    progress: Callable[[int, int, float], None]

    @property
    def mark(self) -> str:
        return mark_of(self.options.home)

    def mark_of(self, run: Run) -> bytes:
        """The whole entry in the environment of each process of this attempt."""
        return f"{MARK}={self.mark}{run.task}.{run.attempt}\0".encode()

    def workspace(self, run: Run) -> Workspace:
        options = self.options
        return Workspace(options.attempts, run, options.output_limit, options.tail_limit, self.spares)


def now() -> float:
    return time.monotonic()
