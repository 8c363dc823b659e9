"""Runs the commands of attempts on this machine. See `worker.runner.runner`."""

from worker.runner.options import RunnerOptions
from worker.runner.runner import Runner

__all__ = ["Runner", "RunnerOptions"]
