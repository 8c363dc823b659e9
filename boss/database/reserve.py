"""A file that takes up room beside the boss's own database, so that there is some to record with when the disk is full.

A task may fill the disk on which its worker's home and the boss's state are. The worker stops what grows and removes
what has ended; but the boss must record that those have ended. It waits a moment, in which what grows is stopped, and
then gives the reserve up, so that what filled the disk cannot take it. It is made again once there is plenty of room.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from boss.database.engine import file_of, is_sqlite, parse_url

logger = logging.getLogger(__name__)

#: The largest, and which part of the disk at most.
MAX_BYTES, PART = 64 * 1024 * 1024, 50
#: The disk has been full for so long before it is given up: a worker looks once a second, and ends within its grace.
WAIT_SECONDS = 8.0
#: It is made (again) where so many times as much is free.
PLENTY = 8
#: Between two looks whether that is so.
LOOK_SECONDS = 30.0


class Reserve:
    """Times are monotonic. Never raises."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._full_since: float | None = None
        self._look_at = float("-inf")

    @classmethod
    def beside(cls, url: str) -> Reserve | None:
        """Of the database with this address; None: its disk is a server's. Raises DatabaseError: it is none."""
        parsed = parse_url(url)
        if not is_sqlite(parsed):
            return None
        path = file_of(parsed)
        return cls(path.with_name(f"{path.name}.reserve"))

    @property
    def held(self) -> bool:
        """Whether its file is there."""
        return self._path.exists()

    def on_full(self, now: float) -> None:
        """The database could not be written for want of room, again perhaps."""
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since >= WAIT_SECONDS and self.held:
            logger.warning(
                "the disk of the database is full: the reserve of %d bytes is given up, so that what has ended can be "
                "recorded; free some space", self._path.stat().st_size, extra={"action": "reserve_given_up"},
            )  # fmt: skip
            self._path.unlink(missing_ok=True)

    def on_written(self, now: float) -> None:
        """It could be written. The reserve is made if there is none, and room for it."""
        self._full_since = None
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        try:
            if not self.held:
                self._make()
        except OSError as error:
            logger.info("there is no reserve for a full disk: %s", error, extra={"action": "no_reserve"})
            self._path.unlink(missing_ok=True)

    def _make(self) -> None:
        about = os.statvfs(self._path.parent)
        size = min(MAX_BYTES, about.f_blocks * about.f_frsize // PART)
        if size <= 0 or about.f_bavail * about.f_frsize < PLENTY * size:
            return
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)
        finally:
            os.close(fd)
