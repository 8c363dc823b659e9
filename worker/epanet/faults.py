"""What can go wrong before or around a batch, with the exit code that each kind of fault has.

Only the kinds and their numbers. A scenario that fails by itself is no fault: it is a row in `runs.parquet`.

    EpanetFault
    ├── BadSpecification   2   the task's description: unknown name, bad value, a table that does not fit
    ├── TooStrict          3   all was done, and `options.strict` was not satisfied
    ├── BadNetwork         4   EPANET refuses the INP file
    ├── TooManyFailed      5   all was done, and more scenarios failed than `options.max_failed`
    └── BadSurroundings   75   this machine: files cannot be written, the engine is missing or another version
"""

from __future__ import annotations


class EpanetFault(Exception):
    """Ends the batch. The message is for people; the exit code is for whoever decides about repeating."""

    exit_code = 1

    def __init__(self, message: str, figures: dict[str, float] | None = None) -> None:
        super().__init__(message)
        #: Of the batch, where it was solved.
        self.figures = figures or {}


class BadSpecification(EpanetFault):
    exit_code = 2


class TooStrict(EpanetFault):
    exit_code = 3


class BadNetwork(EpanetFault):
    exit_code = 4


class TooManyFailed(EpanetFault):
    exit_code = 5


class BadSurroundings(EpanetFault):
    exit_code = 75


class EngineError(Exception):
    """A call of the library returned an error code (above 100); `doing` says what was asked of it."""

    def __init__(self, code: int, text: str, doing: str) -> None:
        super().__init__(f"{text} ({doing})")
        self.code = code
        self.text = text
        self.doing = doing
