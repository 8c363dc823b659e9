"""What must survive a killed agent: outcomes that the boss has not acknowledged, inits that have succeeded here.

One append-only file of JSON lines in the worker's home, rewritten when most of it is outdated. Not synced: it is for
the death of the process; what a dead machine loses was never recorded by the boss, and is run again.

A disk that takes no more costs only that: what is to be kept stands in memory as well, and is written whole as soon as
there is room.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import msgspec

from wire.messages import AttemptKey, Outcome
from worker.files import replace_file, write_all

logger = logging.getLogger(__name__)

_REWRITE_BYTES = 4 * 1024 * 1024
#: Between two tries to write what could not be written.
_AGAIN_SECONDS = 1.0


class _Line(msgspec.Struct, omit_defaults=True):
    kept: Outcome | None = None
    forgotten: AttemptKey | None = None
    initialized: int | None = None
    begun: AttemptKey | None = None
    deployment: str | None = None


class Journal:
    """`keep`, `forget` and `remember_init` only gather; `flush` writes them with one call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encoder = msgspec.json.Encoder()
        self._waiting: list[bytes] = []
        self._bytes = 0
        self.deployment = ""
        self.kept: dict[AttemptKey, Outcome] = {}
        #: Attempts that began and whose end was not seen yet.
        self.begun: dict[AttemptKey, None] = {}
        self.initialized: dict[int, None] = {}
        self._read()
        self._fd = -1
        #: Not all of the above is in the file; tried again from this time on.
        self._missing = True
        self._again_at = float("-inf")
        self._failed = False
        self.flush()

    def _read(self) -> None:
        decoder = msgspec.json.Decoder(_Line)
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        for number, line in enumerate(lines, start=1):
            try:
                if line:
                    self._take(decoder.decode(line))
            except msgspec.DecodeError as error:  # torn by a crash in mid-write: what it said is run again
                logger.warning("%s line %d is left out: %s", self._path, number, error, extra={"action": "skip_line"})

    def _take(self, line: _Line) -> None:
        if line.deployment is not None:
            self.kept.clear()
            self.begun.clear()
            self.initialized.clear()
            self.deployment = line.deployment
        if line.kept is not None:
            self.kept[(line.kept.task, line.kept.attempt)] = line.kept
            self.begun.pop((line.kept.task, line.kept.attempt), None)
        if line.begun is not None:
            self.begun[line.begun] = None
        if line.forgotten is not None:
            self.kept.pop(line.forgotten, None)
            self.begun.pop(line.forgotten, None)
        if line.initialized is not None:
            self.initialized[line.initialized] = None

    def _add(self, line: _Line) -> None:
        self._take(line)
        self._waiting.append(self._encoder.encode(line) + b"\n")

    def adopt(self, deployment: str) -> None:
        """Belong to this deployment: what was kept for another one is dropped."""
        if deployment != self.deployment:
            self._add(_Line(deployment=deployment))
            self.flush()

    def keep(self, outcome: Outcome) -> None:
        self._add(_Line(kept=outcome))

    def begin(self, task: int, attempt: int) -> None:
        self._add(_Line(begun=(task, attempt)))

    def forget_begun(self) -> list[AttemptKey]:
        """What had begun when an earlier agent was killed; reported once."""
        died = list(self.begun)
        for task, attempt in died:
            self.forget(task, attempt)
        self.flush()
        return died

    def forget(self, task: int, attempt: int) -> None:
        if (task, attempt) in self.kept or (task, attempt) in self.begun:
            self._add(_Line(forgotten=(task, attempt)))

    def remember_init(self, number: int) -> None:
        self._add(_Line(initialized=number))

    def flush(self) -> None:
        """Write what waits. Never raises: a full disk is logged, and costs the memory of it after a crash."""
        if not (self._waiting or self._missing):
            return
        data = b"".join(self._waiting)
        self._waiting.clear()
        try:
            if self._missing:
                self._write_missing()
                return
            write_all(self._fd, data)
            self._bytes += len(data)
            if self._bytes > _REWRITE_BYTES and self._bytes > 8 * self._needed():
                self._rewrite()
        except OSError as error:
            self._missing, self._again_at = True, time.monotonic() + _AGAIN_SECONDS
            if not self._failed:
                logger.error(
                    "cannot write %s: %s; it is tried again every second; if this agent dies before, finished attempts "
                    "run again", self._path, error, extra={"action": "journal_failed"},
                )  # fmt: skip
            self._failed = True

    def _write_missing(self) -> None:
        """All of it, now and then."""
        if time.monotonic() < self._again_at:
            return
        self._rewrite()
        self._missing = False
        if self._failed:
            self._failed = False
            logger.info("%s is written again", self._path, extra={"action": "journal_written"})

    def _needed(self) -> int:
        return sum(300 + len(kept.stdout_tail) + len(kept.stderr_tail) for kept in self.kept.values())

    def _rewrite(self) -> None:
        """Only what still counts, under a name of its own until it is whole."""
        lines = [_Line(deployment=self.deployment)]
        lines += [_Line(initialized=number) for number in self.initialized]
        lines += [_Line(begun=key) for key in self.begun]
        lines += [_Line(kept=outcome) for outcome in self.kept.values()]
        data = b"".join(self._encoder.encode(line) + b"\n" for line in lines)
        fd = replace_file(self._path, data)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._bytes = len(data)

    def close(self) -> None:
        self._again_at = float("-inf")
        self.flush()
        if self._fd >= 0:
            os.close(self._fd)
