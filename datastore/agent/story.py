"""Stories: the last steps of an attempt's results and of the batches that are published; the errors that carry them.

The agent remembers the last moves of all, so many and no more. Nothing is decided by them.
"""

from __future__ import annotations

from collections.abc import Sequence

from datastore.agent.state import BATCH, DatastoreAgentState, StepMove
from wire.messages import AttemptKey


class InvariantError(AssertionError):
    """A bug of ours: something that must always hold does not. Never raised because of what came from outside."""

    def __init__(self, text: str, story: Sequence[StepMove] = ()) -> None:
        """`story`: the moves of the attempt in question, oldest first; they follow the text."""
        lines = (f"  {move.at:.3f} {_name(move)} {move.before} -> {move.after}" for move in story)
        super().__init__("\n".join([text, "Story:", *lines]) if story else text)
        self.story = list(story)


class IllegalMoveError(InvariantError):
    """A move that its table does not have (`datastore.agent.legal`)."""


def _name(move: StepMove) -> str:
    return f"attempt {move.attempt}" if (move.task, move.attempt) != BATCH else "batch"


def story(state: DatastoreAgentState, key: AttemptKey) -> list[StepMove]:
    """What is remembered of the attempts of this one's task, oldest first; of the batches by the key BATCH."""
    return [move for move in state.story if move.task == key[0]]


def illegal(state: DatastoreAgentState, who: str, key: AttemptKey, before: str, to: str) -> IllegalMoveError:
    """The error to raise when the table does not have the move of this one."""
    return IllegalMoveError(f"{who}: {before} -> {to} is not in the table of legal moves", story(state, key))
