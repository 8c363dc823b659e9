"""What all executions of one runner share: its options, the watch, the record of sessions. Built by the runner."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wire.messages import Outcome, Run
from worker.runner.launch import Launcher
from worker.runner.sessions import Sessions
from worker.runner.spawn import MARK, mark_of
from worker.runner.watch import Watch
from worker.runner.workspace import Spares


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    home: Path
    worker: str
    #: What every task sees, without its own variables.
    environment: dict[str, str] = field(default_factory=dict)
    #: Between TERM and KILL of what is cancelled or out of time.
    grace_seconds: float = 5.0
    #: Between TERM and KILL of what outlived its attempt's last command.
    leftover_grace_seconds: float = 1.0
    #: After KILL: what is still there then (stuck in the kernel) is given up and reported.
    give_up_seconds: float = 10.0
    #: Bytes of each captured stream.
    output_limit: int = 10 * 1024 * 1024
    tail_limit: int = 8000
    #: True: this process has no children but the runner's, so that an orphan of unknown origin is one of a task.
    owns_all_children: bool = False

    @property
    def attempts(self) -> Path:
        return self.home / "attempts"


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
    #: Does a step of an execution; an error in it ends that execution, and nothing else.
    guard: Callable[[Any, Callable[[], None]], None]

    @property
    def mark(self) -> str:
        return mark_of(self.options.home)

    def mark_of(self, run: Run) -> bytes:
        """The whole entry in the environment of each process of this attempt."""
        return f"{MARK}={self.mark}{run.task}.{run.attempt}\0".encode()


def now() -> float:
    return time.monotonic()
