"""How the content of an open file gets to a path inside a working directory: shared blocks, a copy, or a hard link.

Knows descriptors and paths; nothing of digests, of the cache's bookkeeping or of which way is wanted.
"""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from worker.errors import WorkerError

_FICLONE = 0x40049409
#: Errors that say "this file system cannot share blocks", not "this copy failed".
_NO_REFLINK = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM}
#: Errors that say "no hard link here": another file system, too many links, another user's file, or it was replaced.
_NO_LINK = {errno.ENOENT, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EACCES, errno.ENOSYS}
_CHUNK = 64 * 1024 * 1024


class PlacingError(WorkerError):
    """The input can never be placed: its path leaves the working directory, or two inputs want one place."""


@dataclass(frozen=True)
class Looks:
    """What tells that a file is still the one that was read: any write, and any change of its rights, alters it."""

    inode: int
    size: int
    #: Nanoseconds; the second is the time of the last change of any kind, which no program can set.
    written: int
    changed: int


def looks(fd: int) -> Looks:
    return looks_of(os.fstat(fd))


def looks_of(about: os.stat_result) -> Looks:
    return Looks(about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


def inside(directory: Path, path: str) -> Path:
    """The place of a relative path below a directory, by its words alone. Raises PlacingError."""
    parts = path.split("/")
    if not path or path.startswith("/") or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise PlacingError(f"input path {path!r} is not a path inside the working directory")
    return directory.joinpath(*parts)


def make_folder(target: Path, path: str) -> None:
    """Raises PlacingError where another input is a file at that place."""
    try:
        target.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise PlacingError(f"input {path!r} needs a folder where another input is a file") from None


def create(target: Path, path: str, executable: bool) -> int:
    """The descriptor of a new, empty file of the task's own. Raises PlacingError where one is there already."""
    make_folder(target.parent, path)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(target, flags, 0o755 if executable else 0o644)
    except FileExistsError:
        raise PlacingError(f"two inputs have the path {path!r}") from None


def fill(source: int, target: int, share: bool) -> None:
    """The whole content, by shared blocks where that is wanted and the file system can."""
    if not (share and _share_blocks(source, target)):
        _copy_bytes(source, target)


def link(path: Path, target: Path, wanted: str) -> bool:
    """A second name for the file. False where the system refuses one. Raises PlacingError."""
    make_folder(target.parent, wanted)
    try:
        os.link(path, target, follow_symlinks=False)
    except FileExistsError:
        raise PlacingError(f"two inputs have the path {wanted!r}") from None
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    return True


def _share_blocks(source: int, copy: int) -> bool:
    """A copy that costs nothing: both files have the blocks until one of them is written."""
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
        sent = os.sendfile(copy, source, offset, _CHUNK)
        if sent == 0:
            return
        offset += sent
