"""A runner with real processes, and what it reports."""

from __future__ import annotations

import os
import queue
import sys
from pathlib import Path
from typing import Any

from tests.worlds.agent import run
from tests.worlds.waiting import scaled
from wire.messages import Outcome
from worker.runner import Runner, RunnerOptions
from worker.runner.processes import look
from worker.runner.spawn import base_environment

HELPER = Path(__file__).resolve().parents[1] / "worlds" / "fake_epanet_helper.py"
ROOT = Path(__file__).resolve().parents[2]


class Harness:
    """A runner, and what it reports."""

    def __init__(self, home: Path, **options: Any) -> None:
        self.ended: queue.SimpleQueue[tuple[Outcome, bool]] = queue.SimpleQueue()
        self.progress: list[tuple[int, int, float]] = []
        self.home = home
        options.setdefault("grace_seconds", 0.5)
        options.setdefault("leftover_grace_seconds", 0.3)
        environment = base_environment(os.environ, ROOT)
        self.runner = Runner(
            RunnerOptions(home=home, worker="w1", environment=environment, **options),
            lambda _, outcome, left: self.ended.put((outcome, left)),
            lambda *values: self.progress.append(values),
            helper_command=[sys.executable, str(HELPER)],
        )
        self.runner.start()

    def outcome(self, timeout: float = 20.0) -> Outcome:
        return self.ended.get(timeout=scaled(timeout))[0]

    def do(self, *commands: str | list[str], task: int = 1, **more: Any) -> Outcome:
        self.runner.execute(run(task, commands=list(commands), **more))
        return self.outcome()


def alive(pid: int) -> bool:
    process = look(pid)
    return process is not None and not process.zombie
