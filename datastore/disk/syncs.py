"""Making files and folders durable with few calls. A sync costs a round to the disk, however little there is to write.

A few are synced one by one; many at once by `syncfs`, which writes out the whole file system in one go (and since
Linux 5.8 tells of write errors). Every call to the disk goes through here, so that tests can count.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable

#: Above this many files or folders one `syncfs` is cheaper than a call each.
ONE_BY_ONE = 16

#: SYNC_FILE_RANGE_WRITE.
_WRITE = 2

_libc = ctypes.CDLL(None, use_errno=True)


def start_writing(fd: int) -> None:
    """Let the disk begin with what this file has in memory, without waiting; a sync later waits for less."""
    _libc.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), _WRITE)


def sync_one(fd: int) -> None:
    os.fsync(fd)


def sync_all(fd: int) -> None:
    """Everything on the file system of this descriptor."""
    if _libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"syncfs: {os.strerror(number)}")


def sync_many(root: int, paths: Iterable[str], open_one: Callable[[str], int]) -> None:
    """Make all these durable; `open_one` opens a path, its descriptor is closed here."""
    wanted = list(paths)
    if len(wanted) > ONE_BY_ONE:
        sync_all(root)
        return
    for path in wanted:
        fd = open_one(path)
        try:
            sync_one(fd)
        finally:
            os.close(fd)
