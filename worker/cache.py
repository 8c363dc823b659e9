"""The cache of inputs under their digests, and how one gets from there into an attempt's directory.

The datastore's side puts files in (under other names until they are whole); this side copies out and keeps the total
below a limit. What is copied out was read against its digest in this life of the agent, so that a damaged file is found
before a task sees it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from wire.messages import Digest, Input
from worker import digests

_FICLONE = 0x40049409
#: Errors that say "this file system cannot share blocks", not "this copy failed".
_NO_REFLINK = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM}
#: What was used within so many seconds is not dropped: an attempt may be about to need it.
_RECENT_SECONDS = 60.0


class InputMissing(Exception):
    """The input is not in the cache, or was damaged there (then it is removed): it must be staged again."""


class BadInput(Exception):
    """The input can never be placed: its path leaves the working directory, or two have the same path."""


class Cache:
    def __init__(self, path: Path, limit_bytes: int) -> None:
        self.path = path
        self._limit = limit_bytes
        #: File name -> what it looked like when its content was read and right.
        self._verified: dict[str, tuple[int, int, int]] = {}
        self._trimming = threading.Lock()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def contents(self) -> list[Digest]:
        """Digests in the cache, least recently used first."""
        return [digests.PREFIX + name for _, name, _ in sorted(self._files())]

    def _files(self) -> list[tuple[float, str, int]]:
        found = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                if digests.cache_name(digests.PREFIX + entry.name) and entry.is_file(follow_symlinks=False):
                    about = entry.stat(follow_symlinks=False)
                    found.append((about.st_mtime, entry.name, about.st_size))
        return found

    def place(self, item: Input, directory: Path) -> None:
        """Copy one input to its path below `directory`. Raises InputMissing, BadInput or OSError."""
        name = digests.cache_name(item.digest)
        if name is None:
            raise BadInput(f"input {item.path!r} has no digest but {item.digest!r}")
        target = inside(directory, item.path)
        try:
            source = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise InputMissing(item.digest) from None
        try:
            self._copy(source, name, item, target)
        finally:
            os.close(source)

    def _copy(self, source: int, name: str, item: Input, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            copy = os.open(target, flags, 0o755 if item.executable else 0o644)
        except FileExistsError:
            raise BadInput(f"two inputs have the path {item.path!r}") from None
        try:
            known = self._verified.get(name) == _looks(source)
            if not _share_blocks(source, copy):
                _copy_bytes(source, copy)
            if not known and digests.of_descriptor(copy) != item.digest:
                self._remove(name)
                os.unlink(target)
                raise InputMissing(item.digest)
        finally:
            os.close(copy)
        self._used(source, name)

    def _used(self, source: int, name: str) -> None:
        if os.fstat(source).st_mtime < time.time() - _RECENT_SECONDS / 2:
            os.utime(source)
        self._verified[name] = _looks(source)

    def _remove(self, name: str) -> None:
        self._verified.pop(name, None)
        (self.path / name).unlink(missing_ok=True)

    def trim(self) -> list[Digest]:
        """Drop what was not used for longest until the total is below the limit; which ones."""
        if not self._trimming.acquire(blocking=False):
            return []
        try:
            files = sorted(self._files())
            total = sum(size for _, _, size in files)
            dropped = []
            for used, name, size in files:
                if total <= self._limit or used > time.time() - _RECENT_SECONDS:
                    break
                self._remove(name)
                total -= size
                dropped.append(digests.PREFIX + name)
            return dropped
        finally:
            self._trimming.release()


def inside(directory: Path, path: str) -> Path:
    """The place of a relative path below a directory, by its words alone. Raises BadInput."""
    parts = path.split("/")
    if not path or path.startswith("/") or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise BadInput(f"input path {path!r} is not a path inside the working directory")
    return directory.joinpath(*parts)


def place_all(cache: Cache, items: Iterable[Input], directory: Path) -> list[Digest]:
    """Place every input; the digests that are missing, all of them."""
    missing = []
    for item in items:
        try:
            cache.place(item, directory)
        except InputMissing:
            missing.append(item.digest)
    return missing


def _looks(fd: int) -> tuple[int, int, int]:
    about = os.fstat(fd)
    if not stat.S_ISREG(about.st_mode):
        raise BadInput("a file in the cache is not a regular file")
    return about.st_ino, about.st_size, about.st_mtime_ns


def _share_blocks(source: int, copy: int) -> bool:
    """A copy that costs nothing, where the file system can."""
    try:
        fcntl.ioctl(copy, _FICLONE, source)
    except OSError as error:
        if error.errno in _NO_REFLINK:
            return False
        raise
    return True


def _copy_bytes(source: int, copy: int) -> None:
    size = os.fstat(source).st_size
    offset = 0
    while offset < size:
        sent = os.sendfile(copy, source, offset, 64 * digests.CHUNK)
        if sent == 0:
            return
        offset += sent
