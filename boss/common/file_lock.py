"""A file that one process at a time holds locked: flock, which the kernel gives back when the holder ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def take_lock(path: Path, *, wait: bool = False) -> int:
    """A descriptor that holds the lock until it is closed; no child inherits it. The file is made if it is not there.

    Raises BlockingIOError if another process holds it, unless `wait`; then this blocks for as long as that one does.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Holds the lock inside the block. Raises BlockingIOError as `take_lock` does."""
    descriptor = take_lock(path, wait=wait)
    try:
        yield
    finally:
        os.close(descriptor)
