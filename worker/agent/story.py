"""The story of an attempt: its last moves on this worker, and the error that tells them.

The agent remembers the last moves of all attempts, so many and no more. Nothing is decided by them.
"""

from __future__ import annotations

from collections.abc import Sequence

from wire.messages import AttemptKey
from worker.agent.state import Held, Phase, PhaseMove, WorkerAgentState


class InvariantError(AssertionError):
    """A bug of ours: something that must always hold does not. Never raised because of what came from outside."""

    def __init__(self, text: str, story: Sequence[PhaseMove] = ()) -> None:
        """`story`: the moves of the attempt in question, oldest first; they follow the text."""
        lines = (f"  {move.at:.3f} attempt {move.attempt} {move.before} -> {move.after}" for move in story)
        super().__init__("\n".join([text, "Story:", *lines]) if story else text)
        self.story = list(story)


class IllegalMoveError(InvariantError):
    """A move that the table does not have (`worker.agent.legal`)."""


def story(state: WorkerAgentState, key: AttemptKey) -> list[PhaseMove]:
    """What is remembered of the attempts of this one's task, oldest first."""
    return [move for move in state.story if move.task == key[0]]


def illegal(state: WorkerAgentState, held: Held, to: Phase) -> IllegalMoveError:
    """The error to raise when the table does not have the move of this attempt."""
    text = f"attempt {held.task}.{held.attempt}: {held.phase} -> {to} is not in the table of legal moves: {held}"
    return IllegalMoveError(text, story(state, held.key))
