"""Files that pushes send in, kept under their digests until the datastore has them.

`<hex>` is a whole, verified file; `<hex>.part` is one on its way, which the next upload continues. Knows the
directory and nothing of HTTP or of who refers to a blob. One process writes; several threads of it may.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

from boss.api.errors import ApiError
from boss.common.digests import digest_of
from boss.common.private_files import sync_folder

DIGEST = re.compile(r"b2:([0-9a-f]{64})\Z")
_PART = ".part"


class SpoolError(ApiError):
    """The text is a sentence for the sender."""


class SpoolFullError(SpoolError):
    """No free space: by the limit, or on the disk."""


class SpoolBusyError(SpoolError):
    """Another upload of the same file is under way, or the offset is not where the file ends."""


class SpoolContentError(SpoolError):
    """What came does not match its digest; it is removed."""


def blob_path(spool: Path, digest: str) -> Path:
    """Where the whole file is, or would be. Raises ValueError for what is no digest."""
    match = DIGEST.match(digest)
    if match is None:
        raise ValueError(f"{digest!r} is no digest: 'b2:' and 64 hexadecimal digits")
    return spool / match.group(1)


def digest_named(name: str) -> str:
    """Of the file that is called so in a spool, whole or in part."""
    return "b2:" + name.removesuffix(_PART)


class Spool:
    """The directory, its bound, and which uploads are under way."""

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self.directory = directory
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._busy: dict[str, int] = {}  # digest -> bytes that its upload still may bring
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def has(self, digest: str) -> bool:
        """Whether the whole file is here. Raises ValueError for what is no digest, as all that take one."""
        return blob_path(self.directory, digest).exists()

    def keep(self, digest: str) -> bool:
        """Whether the file is here; if so it is as fresh as one that has just come, so that no sweep takes it."""
        try:
            os.utime(blob_path(self.directory, digest))
        except FileNotFoundError:
            return False
        return True

    def have(self, digest: str) -> int:
        """Bytes of it that are here, whole or in part."""
        path = blob_path(self.directory, digest)
        for candidate in (path, _part(path)):
            try:
                return candidate.stat().st_size
            except FileNotFoundError:
                continue
        return 0

    def used_bytes(self) -> int:
        """Bytes of all files in the directory, whole or in part. Blocks: looks at each. Raises OSError."""
        return sum(entry.stat().st_size for entry in os.scandir(self.directory) if entry.is_file())

    @contextmanager
    def upload(self, digest: str, offset: int, size: int) -> Iterator[Upload]:
        """The right to append to one file from `offset` up to `size` bytes, for one sender at a time.

        Raises SpoolBusyError: another one has it, or the file does not end at `offset`; SpoolFullError: what is missing
        of it is more than the limit leaves; ValueError: no digest; OSError.
        """
        path = blob_path(self.directory, digest)
        with self._lock:
            if digest in self._busy:
                raise SpoolBusyError("another client is sending this file at this moment; try again shortly")
            have = self.have(digest)
            if offset != have or size < offset:
                raise SpoolBusyError(f"{have:,} bytes of this file are here; go on from there, not from {offset:,}")
            free = self.limit_bytes - self.used_bytes() - sum(self._busy.values())
            if size - offset > free:
                raise SpoolFullError(
                    f"the boss's spool has {max(free, 0):,} bytes free, and this file requires {size - offset:,} more; "
                    "wait until the datastore has fetched other files, or raise spool_limit_bytes"
                )
            self._busy[digest] = size - offset
        try:
            yield Upload(path, digest, offset, size)
        finally:
            with self._lock:
                del self._busy[digest]

    def sweep(self, keep: Container[str], older_than: float) -> list[str]:
        """Remove blobs and parts last touched before `older_than` (wall clock) whose digest is not in `keep`.

        Returns the digests of those. `older_than`: seconds since 1970. Blocks on the disk. Raises OSError.
        """
        removed = []
        with self._lock:
            for entry in list(os.scandir(self.directory)):
                digest = digest_named(entry.name)
                if digest in self._busy or digest in keep or entry.stat().st_mtime >= older_than:
                    continue
                os.unlink(entry.path)
                removed.append(digest)
        return removed


class Upload:
    """One upload under way."""

    def __init__(self, path: Path, digest: str, offset: int, size: int) -> None:
        self.path = path
        self.digest = digest
        self.have = offset
        self.size = size
        self._file = None if path.exists() else os.open(_part(path), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, chunk: bytes) -> None:
        """Append to the part; nothing where the file is whole already. Blocks on the disk.

        Raises SpoolContentError: more than `size` bytes; SpoolFullError: the disk is full; OSError: it fails.
        """
        if self._file is None:
            return
        if self.have + len(chunk) > self.size:
            raise SpoolContentError(f"more bytes came than the {self.size:,} that were announced")
        view = memoryview(chunk)
        try:
            while view:
                written = os.write(self._file, view)
                self.have += written
                view = view[written:]
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise SpoolFullError(
                    f"the disk of the boss's spool ({self.path.parent}) is full; free some space, then send it again"
                ) from None
            raise

    def close(self) -> bool:
        """Put it in its place if it is whole. True: it is. Raises SpoolContentError and removes it if it is damaged.

        Blocks until it is on the disk (fsync), and reads all of a whole file. Raises OSError.
        """
        if self._file is None:
            return True
        part = _part(self.path)
        try:
            os.fsync(self._file)
            if self.have < self.size:
                return False
            if digest_of(self._file) != self.digest:
                part.unlink()
                raise SpoolContentError(
                    "the content does not have the digest under which it was sent; send it again from 0"
                )
        finally:
            self.abandon()
        part.replace(self.path)
        sync_folder(self.path.parent)
        return True

    def abandon(self) -> None:
        """Keep what came, for the next time."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _part(path: Path) -> Path:
    return path.with_name(path.name + _PART)
