"""The directory of one attempt: `attempts/<task>.<attempt>/`, in it `work/` and the captured output.

Most attempts of a large batch leave nothing behind. Their directories are as good as new and serve again under another
name: on ext4 a rename costs a tenth of making and removing a directory, whose inode is not reused for seconds.
"""

from __future__ import annotations

import os
from pathlib import Path

#: So many unused directories are kept.
_SPARES_MAX = 64


class Spares:
    """Empty directories, each with an empty `work/` in it. Belongs to the runner's thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._free: list[str] = []
        self._made = 0
        self._mode = 0
        self._user = os.geteuid()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def make(self, directory: str) -> None:
        """A directory with an empty `work/`; one that is there already (inputs were placed) stays as it is."""
        while self._free:
            try:
                os.rename(self._free.pop(), directory)
                return
            except OSError:  # it holds inputs, or another process removed our spare
                continue
        for path in (directory, f"{directory}/work"):
            try:
                os.mkdir(path)
            except FileExistsError:
                continue
            self._mode = self._mode or os.stat(path).st_mode

    def take(self, directory: str) -> bool:
        """Take a directory back if it is as it was made. True: it is gone from its place."""
        work = f"{directory}/work"
        try:
            if os.listdir(directory) != ["work"] or os.listdir(work) or not self._untouched(directory, work):
                return False
            if len(self._free) < _SPARES_MAX:
                self._made += 1
                spare = f"{self._path}/{self._made}"
                os.rename(directory, spare)
                self._free.append(spare)
            else:
                os.rmdir(work)
                os.rmdir(directory)
        except OSError:
            return not os.path.lexists(directory)
        return True

    def _untouched(self, *paths: str) -> bool:
        """A task owns its directory and may have changed its rights, owner or attributes."""
        for path in paths:
            about = os.stat(path, follow_symlinks=False)
            if about.st_mode != self._mode or about.st_uid != self._user or os.listxattr(path):
                return False
        return True

    def close(self) -> None:
        for spare in self._free:
            os.rmdir(f"{spare}/work")
            os.rmdir(spare)
        self._free.clear()
