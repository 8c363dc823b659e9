"""Writing records of the home, whole or not at all: a disk that is nearly full takes a part of what it is given."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_all(fd: int, data: bytes) -> None:
    """Raises OSError; then a part of it may be there."""
    while data:
        data = data[os.write(fd, data) :]


def replace_file(path: Path, data: bytes) -> int:
    """A descriptor for appending to the new file, which takes the former one's place once it is whole.

    Raises OSError; then the former one stays.
    """
    fresh = path.with_suffix(".new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, data)
        os.replace(fresh, path)
    except BaseException:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise
    return fd
