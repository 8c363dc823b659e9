"""The one way in which both commands write: output that goes nowhere changes nothing of what a command does.

A reader that went away (`| true`), a closed descriptor and an encoding without our characters lose output, no more.
A full disk under stdout loses what scripts read, so the command says so and ends with exit code 3.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from boss.cli.command import ExitCode


class GuardedStream:
    """A text stream whose first failure sends all that follows to /dev/null; `error` keeps it."""

    def __init__(self, stream: Any) -> None:
        stream.reconfigure(errors="backslashreplace")
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError as error:
            self.error = self.error or error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # what is still in the buffer goes there too
            os.close(nowhere)


def run(app: Callable[[], object]) -> None:
    """Run the commands, with stdout and stderr guarded; ends the program."""
    _open_closed()
    out, err = GuardedStream(sys.stdout), GuardedStream(sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        app()
        code: object = 0
    except SystemExit as ended:
        code = ended.code
    out.flush()
    lost = out.error
    if lost is not None and lost.errno != errno.EPIPE:
        err.write(f"Error: the output could not be written ({lost.strerror}); what the command did is done\n")
        code = code or int(ExitCode.NO_BOSS)
    err.flush()
    raise SystemExit(code)


def _open_closed() -> None:
    """A closed standard stream would be the number of the next file or socket that is opened."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115  # for the program's life
