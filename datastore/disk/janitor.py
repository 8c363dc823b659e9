"""Removing what is no longer used, beside the work: emptied folders of incoming.

Removing a folder can wait for the disk's journal for milliseconds; for thousands of attempts that would be most of the
time that their results take. A few are removed at once. What is left at the end is swept by the next start.
"""

from __future__ import annotations

import os
import queue
import shutil
import threading

#: Up to so many are removed by the caller.
AT_ONCE = 16


class Janitor:
    def __init__(self, fd: int) -> None:
        """`fd`: of the folder that all paths are below."""
        self._fd = fd
        self._paths: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def remove(self, paths: list[str], many: bool = False) -> None:
        """Folders, with all that is in them; `many`: there is much in them. Never raises."""
        if len(paths) <= AT_ONCE and not many:
            for path in paths:
                self._remove(path)
            return
        with self._lock:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="janitor", daemon=True)
                self._thread.start()
        for path in paths:
            self._paths.put(path)

    def stop(self) -> None:
        """Leave the rest."""
        with self._lock:
            self._stopping = True
        self._paths.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (path := self._paths.get()) is not None and not self._stopping:
            self._remove(path)

    def _remove(self, path: str) -> None:
        try:
            os.rmdir(path, dir_fd=self._fd)
        except FileNotFoundError:
            pass
        except OSError:
            if not self._stopping:
                shutil.rmtree(path, dir_fd=self._fd, ignore_errors=True)
