"""Attempts whose results are to be fetched again: what of them has come, and where the rest may be. Knows no disk.

Safe from any thread: the transfers of a worker come one after another, but an attempt may be given up at any time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from wire.messages import AttemptKey, CollectFile


class HeldResults:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folder: dict[AttemptKey, str] = {}
        self._came: dict[AttemptKey, dict[int, CollectFile]] = {}
        self._in: dict[str, set[AttemptKey]] = {}

    def begin(self, key: AttemptKey, folder: str) -> dict[int, CollectFile]:
        """From now on it is held, with this receive folder; what has come in earlier tries, by number."""
        with self._lock:
            if key not in self._folder:
                self._folder[key] = folder
                self._came[key] = {}
                self._in.setdefault(folder, set()).add(key)
            return dict(self._came[key])

    def came(self, key: AttemptKey) -> dict[int, CollectFile]:
        with self._lock:
            return dict(self._came.get(key, {}))

    def add(self, key: AttemptKey, number: int, file: CollectFile) -> None:
        with self._lock:
            if key in self._came:
                self._came[key][number] = file

    def end(self, key: AttemptKey) -> str:
        """It is not held any more; its receive folder, or empty: it was not."""
        with self._lock:
            folder = self._folder.pop(key, "")
            if folder:
                del self._came[key]
                self._in[folder].discard(key)
                if not self._in[folder]:
                    del self._in[folder]
            return folder

    def in_folder(self, folder: str, besides: Iterable[AttemptKey] = ()) -> set[AttemptKey]:
        """Those of this receive folder, but for some."""
        with self._lock:
            return self._in.get(folder, set()) - set(besides)
