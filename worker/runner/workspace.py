"""The directory of one attempt: `attempts/<task>.<attempt>/`, in it `work/` and the captured output."""

from __future__ import annotations

import os
from pathlib import Path

from wire.messages import Run
from worker.runner.output import Capture


class Workspace:
    """Made when an attempt executes; what is placed into `work/` before stays."""

    def __init__(self, attempts: Path, run: Run, output_limit: int, tail_limit: int) -> None:
        self.directory = f"{attempts}/{run.task}.{run.attempt}"
        self.work = f"{self.directory}/work"
        self.stdout = Capture(f"{self.directory}/stdout", output_limit, tail_limit)
        self.stderr = Capture(f"{self.directory}/stderr", output_limit, tail_limit)

    def make(self) -> None:
        for path in (self.directory, self.work):
            try:
                os.mkdir(path)
            except FileExistsError:
                pass

    def remove_if_empty(self) -> bool:
        """The cheap way for the many attempts that leave nothing. True: it is gone."""
        try:
            os.rmdir(self.work)
            os.rmdir(self.directory)
        except OSError:
            return not os.path.lexists(self.directory)
        return True
