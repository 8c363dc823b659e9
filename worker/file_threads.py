"""Threads for slow work with files: placing inputs, listing results, removing directories. Never in the loop's thread.

Work about one task goes to one thread, in the order given, so that a directory is removed only after it was filled.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class FileThreads:
    def __init__(self, threads: int = 2) -> None:
        self._queues: list[queue.SimpleQueue[Callable[[], None] | None]] = [queue.SimpleQueue() for _ in range(threads)]
        self._threads = [
            threading.Thread(target=_work, args=(each,), name=f"keeper-{number}", daemon=True)
            for number, each in enumerate(self._queues)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def do(self, task: int, work: Callable[[], None]) -> None:
        self._queues[task % len(self._queues)].put(work)

    def stop(self, timeout: float) -> None:
        """Finish what was given, up to `timeout` seconds."""
        for each in self._queues:
            each.put(None)
        for thread in self._threads:
            thread.join(timeout)


def _work(jobs: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        try:
            job()
        except Exception:
            logger.exception("work with files failed", extra={"action": "keeper_failed"})
