"""The datastore's tree where it is on this machine: one version of a name, opened for reading; free space on its disk.

The tree is the datastore program's, and users may change it manually, so nothing is trusted: each component is
opened on its own beneath the root, links are never followed, and a version is known by its content. Writes nothing.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections import OrderedDict
from pathlib import Path

from boss.api.errors import ApiError
from boss.common.digests import digest_of

#: Where the datastore keeps versions whose name means another one now, under the digits of their digests.
BLOBS = ".ecloud/blobs"
#: Content up to this size is verified before it is sent; the receiver verifies all of it in any case.
VERIFIED_BYTES = 64 * 1024 * 1024

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: O_NONBLOCK: opening a pipe without a writer would block for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_REMEMBERED = 10_000
#: A file changed more recently may change again without another time of change.
_SETTLED_NS = 100_000_000
_NOT_A_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENAMETOOLONG)


class ContentMissingError(ApiError):
    """The tree has no such content; a sentence."""


class LocalTree:
    """Used from several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._verified: OrderedDict[tuple[int, int, int, int], str] = OrderedDict()

    def open_version(self, name: str, digest: str, size: int) -> int:
        """A descriptor of this content, from the name or from what is kept of former versions; the caller closes it.

        Blocks: reads up to 64 MiB to verify them. Raises ContentMissingError: neither is it; OSError: the disk fails.
        """
        found = self._open(name)
        if found is not None:
            if self._is(found, digest, size):
                return found
            os.close(found)
        blob = self._open(f"{BLOBS}/{digest.removeprefix('b2:')}")
        if blob is not None:
            if self._is(blob, digest, size):
                return blob
            os.close(blob)
        why = "is not there any more" if found is None else "holds other content by now"
        raise ContentMissingError(
            f"{self.root / name} {why}, and the version that its task left is not kept; run the task again "
            "(admin.py redo_task), or take the file as it is from the datastore's tree"
        )

    def has_blob(self, digest: str) -> bool:
        """Whether the datastore keeps this content by its digest. Raises OSError.

        It is read to see: a file in plain sight may share its bytes, and a user may have edited that.
        """
        blob = self._open(f"{BLOBS}/{digest.removeprefix('b2:')}")
        if blob is None:
            return False
        try:
            return self._content_of(blob, os.fstat(blob)) == digest
        finally:
            os.close(blob)

    def has(self, name: str) -> bool:
        """Whether there is a file or a folder of this name. Raises OSError where it cannot be looked at."""
        return self._status(name) is not None

    def has_size(self, name: str, size: int) -> bool:
        """Whether there is a file of this name and size in bytes. It is not read. Raises OSError, as `has`."""
        status = self._status(name)
        return status is not None and stat.S_ISREG(status.st_mode) and status.st_size == size

    def _status(self, name: str) -> os.stat_result | None:
        """Raises OSError where it cannot be looked at."""
        try:
            return os.stat(self.root / name, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NOT_A_FILE:
                return None
            raise

    def free_bytes(self) -> int | None:
        """What is free on the tree's disk; None: there is no tree yet. Raises OSError."""
        try:
            status = os.statvfs(self.root)
        except FileNotFoundError:
            return None
        return status.f_bavail * status.f_frsize

    def kept(self) -> tuple[int, int]:
        """How many contents are kept by their digest, and the bytes of those that stand nowhere in plain sight.

        Blocks: looks at each. Raises OSError.
        """
        count, size = 0, 0
        try:
            with os.scandir(self.root / BLOBS) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    count += 1
                    size += status.st_size if status.st_nlink == 1 else 0
        except FileNotFoundError:
            pass
        return count, size

    # -- inside --------------------------------------------------------------------------------------

    def _open(self, name: str) -> int | None:
        """The regular file of this name below the root; None: there is none. Raises OSError."""
        *folders, base = name.split("/")
        if any(part in ("", ".", "..") for part in (*folders, base)):
            return None
        try:
            at = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            for folder in folders:
                at = _below(at, folder)
            return _regular(at, base)
        except OSError as error:
            if error.errno in _NOT_A_FILE:
                return None
            raise

    def _is(self, file: int, digest: str, size: int) -> bool:
        status = os.fstat(file)
        if status.st_size != size:
            return False
        return size > VERIFIED_BYTES or self._content_of(file, status) == digest

    def _content_of(self, file: int, status: os.stat_result) -> str:
        """The digest, computed once for each version of a file."""
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        with self._lock:
            known = self._verified.get(key)
        if known is None:
            known = digest_of(file)
            self._remember(key, known)
        return known

    def _remember(self, key: tuple[int, int, int, int], digest: str) -> None:
        if time.time_ns() - key[3] < _SETTLED_NS:
            return
        with self._lock:
            self._verified[key] = digest
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)


def _below(at: int, folder: str) -> int:
    try:
        return os.open(folder, _FOLDER, dir_fd=at)
    finally:
        os.close(at)


def _regular(at: int, base: str) -> int | None:
    try:
        file = os.open(base, _FILE, dir_fd=at)
    finally:
        os.close(at)
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    return None
