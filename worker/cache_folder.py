"""The folder of the input cache: which files it holds, and what dead transfers left in it, which is removed.

Knows names and times of files only; what is needed, and what may be dropped, the cache decides.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from worker import digests
from worker.home import remove_tree

#: Partial files that nothing has written to for so long are of a transfer that is dead.
_STRAY_SECONDS = 3600.0


def scan(folder: Path) -> tuple[list[tuple[float, str, int]], int]:
    """(last use, name, bytes) of every whole file, and the bytes of partial ones; dead ones are removed."""
    found = []
    strays = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                about = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # a partial file that has just become whole
            if digests.cache_name(digests.PREFIX + entry.name) and stat.S_ISREG(about.st_mode):
                found.append((about.st_atime, entry.name, about.st_size))
            else:
                strays += _sweep(Path(entry.path))
    return found, strays


def _sweep(path: Path) -> int:
    """The bytes of a partial file or a folder of such; 0 if nothing changed there for long: then it is removed."""
    size = 0
    newest = 0.0
    for each in (path, *path.rglob("*")) if path.is_dir() and not path.is_symlink() else (path,):
        try:
            about = each.lstat()
        except FileNotFoundError:
            continue
        size += about.st_size if stat.S_ISREG(about.st_mode) else 0
        newest = max(newest, about.st_mtime, about.st_ctime)
    if newest and newest + _STRAY_SECONDS < time.time():
        remove_tree(path)
        return 0
    return size


def unlink(path: Path) -> None:
    """Whatever stands there: tasks can write here."""
    try:
        path.unlink(missing_ok=True)
    except (IsADirectoryError, PermissionError):
        remove_tree(path)
