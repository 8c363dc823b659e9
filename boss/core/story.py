"""The story of a task: its last moves and those of its attempts, and the error that tells them.

The state remembers the last moves of everything, so many and no more. Nothing is decided by them.
"""

from __future__ import annotations

from collections.abc import Sequence

from boss.core.rows import Move
from boss.core.state import State


class InvariantError(AssertionError):
    """A bug of ours: something that must always hold does not. Never raised because of what came from outside."""

    def __init__(self, text: str, story: Sequence[Move] = ()) -> None:
        """`story`: the moves of the task in question, oldest first; they follow the text."""
        lines = (f"  {move.what} {move.attempt} {move.before} -> {move.after}: {move.cause}" for move in story)
        super().__init__("\n".join([text, "Story:", *lines]) if story else text)
        self.story = list(story)


def story(state: State, task: int) -> list[Move]:
    """What is remembered of one task, oldest first."""
    key = str(task)
    return [entry for entry in state.story if entry.key == key and entry.what in ("task", "attempt")]
