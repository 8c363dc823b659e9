"""Stories: the last moves of a task and its attempts, of a worker, of an instance; and the errors that carry them.

The state remembers the last moves of everything, so many and no more. Nothing is decided by them.
"""

from __future__ import annotations

from collections.abc import Sequence

from boss.core.errors import CoreError
from boss.core.rows import Move
from boss.core.state import State


class InvariantError(CoreError, AssertionError):
    """An internal error: something that must always hold does not. Never raised because of what came from outside."""

    def __init__(self, text: str, story: Sequence[Move] = ()) -> None:
        """`story`: the moves of what is in question, oldest first; they follow the text."""
        lines = (f"  {move.what} {move.attempt} {move.before} -> {move.after}: {move.cause}" for move in story)
        super().__init__("\n".join([text, "Story:", *lines]) if story else text)
        self.story = list(story)


class IllegalMoveError(InvariantError):
    """A move that the table of its machine does not have (`boss.core.legal`)."""


def story(state: State, key: int | str, what: str = "task") -> list[Move]:
    """What is remembered of one task, worker or instance, oldest first. A task and its attempts have one story."""
    kinds = ("task", "attempt") if what in ("task", "attempt") else (what,)
    return [entry for entry in state.story if entry.key == str(key) and entry.what in kinds]


def illegal(
    state: State, what: str, key: int | str, before: str, to: str, cause: str, *, attempt: int = 0
) -> IllegalMoveError:
    """The error to raise when the table does not have the move of this one from `before` to `to`."""
    name = f"{key}.{attempt}" if attempt else key
    return IllegalMoveError(
        f"{what} {name}: {before} -> {to} ({cause}) is not in the table of legal moves", story(state, key, what)
    )
