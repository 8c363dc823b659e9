"""Warm EPANET helper processes: started when first needed, one for each slot at most, kept, ended with the agent.

Knows the lines that a helper speaks (see worker.epanet), not what they are about. A helper that must be killed is
replaced at the next need.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from worker.runner.processes import Process, end_all, look, with_descendants
from worker.runner.shared import Shared
from worker.runner.spawn import MARK

_CHUNK = 65536
#: At the end: for a helper to leave on its own, and again after TERM.
_GOODBYE_SECONDS = 2.0
_LINE_MAX = 4 * 1024 * 1024
_ROOT = Path(__file__).resolve().parents[2]

#: What starts a helper.
COMMAND = [sys.executable, "-m", "worker.epanet"]


class Helper:
    """One process. Its user sets `on_line`, `on_stderr` and `on_exit` while it has it."""

    def __init__(self, shared: Shared, command: list[str]) -> None:
        self._shared = shared
        environment = {**shared.options.environment, MARK: f"{shared.mark}helper", "PYTHONPATH": str(_ROOT)}
        self._process = subprocess.Popen(
            command,
            cwd=shared.options.home,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        self.pid = self._process.pid
        self.on_line: Callable[[dict[str, Any]], None] = _ignore
        self.on_stderr: Callable[[bytes], None] = _ignore
        self.on_exit: Callable[[int], None] = _ignore
        self.alive = True
        self._partial = b""
        self._unsent = b""
        try:
            self._begin()
        except OSError:
            self._process.kill()
            self._process.wait()
            raise

    def _begin(self) -> None:
        seen = look(self.pid)
        if seen is not None:
            self._shared.sessions.began(self.pid, seen.start)
        self._pidfd = os.pidfd_open(self.pid)
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._in, self._out, self._err = (
            os.dup(pipe.fileno()) for pipe in (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            pipe.close()
        for fd in (self._in, self._out, self._err):
            os.set_blocking(fd, False)
        watch = self._shared.watch
        watch.add(self._pidfd, self._exited)
        watch.add(self._out, self._read_lines)
        watch.add(self._err, self.read_stderr)
        self._open = {self._out, self._err, self._in}
        self._sending = False

    def ask(self, request: dict[str, Any]) -> None:
        self._unsent += msgspec.json.encode(request) + b"\n"
        self._send()

    def limit_memory(self, limit: int | None) -> None:
        """Soft limit of what it writes to, for the attempt that it works on."""
        soft = resource.RLIM_INFINITY if limit is None else limit
        with contextlib.suppress(OSError, ValueError):
            hard = resource.prlimit(self.pid, resource.RLIMIT_DATA)[1]
            resource.prlimit(self.pid, resource.RLIMIT_DATA, (soft, hard))

    def _send(self) -> None:
        """Never blocks: what the pipe does not take now goes when it can."""
        try:
            written = os.write(self._in, self._unsent)
        except BlockingIOError:
            written = 0
        except OSError:  # it is dying; its exit says more
            self._unsent = b""
            return
        self._unsent = self._unsent[written:]
        if self._unsent and not self._sending:
            self._sending = True
            self._shared.watch.add(self._in, self._send, writing=True)
        elif not self._unsent and self._sending:
            self._sending = False
            self._shared.watch.forget(self._in)

    def _read_lines(self) -> None:
        data = self._read(self._out)
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > _LINE_MAX:
            self._partial = b""
        for line in lines:
            try:
                said = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue
            if isinstance(said, dict):
                self.on_line(said)

    def read_stderr(self) -> None:
        if self._err in self._open:
            data = self._read(self._err)
            if data:
                self.on_stderr(data)

    def _read(self, fd: int) -> bytes:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return b""
        if not data:
            self._close(fd)
        return data

    def _close(self, fd: int) -> None:
        if fd in self._open:
            self._open.discard(fd)
            self._shared.watch.close(fd)

    def _exited(self) -> None:
        code = self._process.poll()
        if code is None:
            return
        self.alive = False
        if self._out in self._open:
            self._read_lines()
        self.read_stderr()
        self._shared.watch.close(self._pidfd)
        for fd in list(self._open):
            self._close(fd)
        self._shared.sessions.ended([self.pid])
        self.on_exit(code)

    def release(self) -> None:
        """Its user has done with it."""
        self.on_line = self.on_stderr = self.on_exit = _ignore

    def end_input(self) -> None:
        """That ends a helper that is idle."""
        self._close(self._in)

    def bury(self) -> None:
        """At the runner's end: its process is gone, and its descriptors go with the watch."""
        if self.alive:
            self.alive = False
            self._process.wait()


class Helpers:
    """The idle ones, and how more are made."""

    def __init__(self, shared: Shared, command: list[str] | None = None) -> None:
        self._shared = shared
        self._command = command or COMMAND
        self._idle: list[Helper] = []
        self._all: list[Helper] = []

    def take(self) -> Helper:
        """An idle helper, or a new one. Raises OSError if it cannot be started."""
        while self._idle:
            helper = self._idle.pop()
            if helper.alive:
                helper.limit_memory(None)
                return helper
        self._all = [helper for helper in self._all if helper.alive]
        self._all.append(Helper(self._shared, self._command))
        return self._all[-1]

    def give(self, helper: Helper) -> None:
        helper.release()
        if helper.alive:
            self._idle.append(helper)

    def close(self) -> None:
        """End all of them; waits until they are gone. Nothing of theirs is watched any more after it."""
        alive = [helper for helper in self._all if helper.alive]
        for helper in alive:
            helper.end_input()

        def find() -> list[Process]:
            return [process for process in with_descendants(helper.pid for helper in alive) if not process.zombie]

        end_all(find, grace=_GOODBYE_SECONDS, timeout=_GOODBYE_SECONDS)
        for helper in alive:
            helper.bury()


def _ignore(_: Any) -> None:
    """This helper is idle now."""
