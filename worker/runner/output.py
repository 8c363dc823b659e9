"""Output of an attempt: a capped file that keeps the head and the tail, made only when something is written.

Knows bytes and one file; not where they come from.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_SLACK = 16


class Capture:
    """One stream of one attempt. The first half of the limit is kept as it came, then the last half."""

    def __init__(self, path: Path | str, limit: int, tail_limit: int) -> None:
        self._path = path
        self._head_limit = limit // 2
        self._ring_limit = max(limit - self._head_limit, 1)
        self._tail_limit = tail_limit
        self._tail = bytearray()
        self._fd = -1
        self._head = 0
        #: Bytes that came after the head, and so also where in the ring the next one goes.
        self._beyond = 0
        #: Why the file is incomplete, such as a full disk; the tail is right in any case.
        self.fault = ""

    def write(self, data: bytes) -> None:
        self._tail += data
        if len(self._tail) > self._tail_limit * _SLACK:
            del self._tail[: -self._tail_limit]
        if self.fault:
            return
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            room = self._head_limit - self._head
            if room > 0:
                _write_all(self._fd, data[:room], self._head)
                self._head += min(len(data), room)
                data = data[room:]
            self._write_ring(data)
        except OSError as error:
            self.fault = f"cannot write {self._path}: {error.strerror}"

    def _write_ring(self, data: bytes) -> None:
        skip = max(len(data) - self._ring_limit, 0)
        self._beyond += skip
        data = data[skip:]
        while data:
            place = self._beyond % self._ring_limit
            part = data[: self._ring_limit - place]
            _write_all(self._fd, part, self._head_limit + place)
            self._beyond += len(part)
            data = data[len(part) :]

    def finish(self) -> str:
        """Close the file, its tail in the right order; the last bytes as text."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                self._straighten()
            os.close(self._fd)
            self._fd = -1
        return bytes(self._tail[-self._tail_limit :]).decode("utf-8", "replace")

    def _straighten(self) -> None:
        left_out = self._beyond - self._ring_limit
        if left_out <= 0:
            return
        ring = os.pread(self._fd, self._ring_limit, self._head_limit)
        place = self._beyond % self._ring_limit
        note = f"\n[... {left_out:,} bytes left out ...]\n".encode()
        _write_all(self._fd, note + ring[place:] + ring[:place], self._head_limit)


def _write_all(fd: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data = data[written:]
        offset += written
