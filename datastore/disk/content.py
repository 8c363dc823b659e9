"""Bytes of files: digests, and copies that compute the digest on the way. It knows descriptors, and no names."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Callable

from datastore.disk.errors import DiskError

#: BLAKE2b with 256 bits, as everywhere.
_DIGEST = re.compile(r"b2:([0-9a-f]{64})\Z")
_CHUNK = 1024 * 1024
#: ioctl that lets one file share another's blocks, where the file system can.
_FICLONE = 0x40049409
_NO_CLONE = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM, errno.ETXTBSY}
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}

Stopped = Callable[[], bool]


class SizeDiffersError(DiskError):
    """The file has not the size that was stated; the text says both."""


class CopyStoppedError(DiskError):
    """The copy is no longer needed."""


class DigestError(DiskError):
    """Not `b2:` and 64 hexadecimal digits."""


def hex_of(digest: str) -> str:
    """The digits of a digest, safe as a file's name. Raises DigestError."""
    match = _DIGEST.match(digest)
    if match is None:
        raise DigestError(f"{digest[:80]!r} is no digest: 'b2:' and 64 hexadecimal digits are expected")
    return match[1]


def is_full(error: OSError) -> bool:
    return error.errno in _NO_SPACE


def mode_of(executable: bool) -> int:
    """Of a file that others may read."""
    return 0o755 if executable else 0o644


def never() -> bool:
    return False


def digest_of(fd: int, stopped: Stopped = never) -> tuple[str, int]:
    """Digest and size of the whole file, from its beginning."""
    os.lseek(fd, 0, os.SEEK_SET)
    digest = hashlib.blake2b(digest_size=32)
    size = 0
    while chunk := os.read(fd, _CHUNK):
        if stopped():
            raise CopyStoppedError
        digest.update(chunk)
        size += len(chunk)
    return f"b2:{digest.hexdigest()}", size


def copy(source: int, target: int, size: int, stopped: Stopped = never) -> str:
    """Copy exactly `size` bytes and return their digest.

    Reads at most one byte more than `size`, so a file that grows for ever does no harm. Raises SizeDiffersError (more,
    fewer), CopyStoppedError, OSError.
    """
    if _clone(source, target):
        digest, cloned = digest_of(target, stopped)
        if cloned != size:
            raise SizeDiffersError(f"it has {cloned:,} bytes, not {size:,}")
        return digest
    return _copy_bytes(source, target, size, stopped)


def _clone(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _NO_CLONE:
            return False
        raise
    return True


def _copy_bytes(source: int, target: int, size: int, stopped: Stopped) -> str:
    digest = hashlib.blake2b(digest_size=32)
    done = 0
    while chunk := os.read(source, min(_CHUNK, size + 1 - done)):
        if stopped():
            raise CopyStoppedError
        done += len(chunk)
        if done > size:
            raise SizeDiffersError(f"it has more than the {size:,} bytes that were stated")
        digest.update(chunk)
        write_all(target, chunk)
    if done < size:
        raise SizeDiffersError(f"it has {done:,} bytes, not {size:,}")
    return f"b2:{digest.hexdigest()}"


def write_all(fd: int, chunk: bytes) -> None:
    """The kernel may take less than all at once."""
    view = memoryview(chunk)
    while view:
        view = view[os.write(fd, view) :]
