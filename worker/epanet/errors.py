"""What can go wrong before or around a batch, with the exit code that each kind has.

Only the kinds and their numbers. A scenario that fails on its own raises nothing: it is a row in `runs.parquet`.

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
