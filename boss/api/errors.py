"""What a handler raises instead of an answer: a status, a sentence, and one line per fault. Values only."""

from __future__ import annotations

from collections.abc import Sequence


class Fault(Exception):
    """Becomes the response {"error": sentence, "details": [...]} with this status."""

    def __init__(self, status: int, error: str, details: Sequence[str] = ()) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.details = list(details)


def not_found(what: str) -> Fault:
    return Fault(404, what)


def bad_input(error: str, details: Sequence[str] = ()) -> Fault:
    return Fault(400, error, details)
