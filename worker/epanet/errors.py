"""What can go wrong before or around a batch, with the exit code that each kind has.

Only the kinds and their numbers, and what a mistyped word was probably meant to be. A scenario that fails on its own
raises nothing: it is a row in `runs.parquet`.

    EpanetError
    ├── BatchError                 ends the batch
    │   ├── SpecificationError   2   the task's description: unknown name, bad value, a table that does not fit
    │   ├── StrictError          3   all was done, and `options.strict` was not satisfied
    │   ├── NetworkError         4   EPANET refuses the INP file
    │   ├── TooManyFailedError   5   all was done, and more scenarios failed than `options.max_failed`
    │   └── MachineError        75   this machine: files cannot be written, the engine is missing or another version
    └── EngineError                a call of the library failed; whoever called it knows what that means
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EpanetError(Exception):
    """Root of what this package raises."""


class BatchError(EpanetError):
    """Ends the batch. The message is for users; the exit code is for whoever decides about repeating."""

    exit_code = 1

    def __init__(self, message: str, figures: dict[str, float] | None = None) -> None:
        super().__init__(message)
        #: Of the batch, where it was solved.
        self.figures = figures or {}


class SpecificationError(BatchError):
    exit_code = 2


class StrictError(BatchError):
    exit_code = 3


class NetworkError(BatchError):
    exit_code = 4


class TooManyFailedError(BatchError):
    exit_code = 5


class MachineError(BatchError):
    exit_code = 75


class EngineError(EpanetError):
    """A call of the library returned an error code (above 100)."""

    def __init__(self, code: int, text: str, doing: str) -> None:
        """`doing`: what was asked of it."""
        super().__init__(f"{text} ({doing})")
        self.code = code


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6, count: int = 3) -> str:
    """`; did you mean 'x' or 'y'?`; empty where nothing is alike."""
    near = difflib.get_close_matches(name, list(known), count, cutoff)
    return f"; did you mean {' or '.join(repr(word) for word in near)}?" if near else ""


def suggestion(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """What was meant; where nothing is alike, all that is known, if it is not much."""
    known = list(known)
    return did_you_mean(name, known, cutoff) or (f"; known are {', '.join(known)}" if 0 < len(known) <= 12 else "")
