"""What a runner needs to know of its worker. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


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
