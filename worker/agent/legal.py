"""The table of legal moves of an attempt on its worker: from -> to -> why such a move may happen.

What is absent is illegal. `worker.agent.moves` has the one function that assigns a phase and keeps to the table; it
raises IllegalMoveError, which is a bug of ours: whatever comes from outside and fits no phase is dropped before.
docs/states.md is drawn from this table and the comment above it.
"""

from __future__ import annotations

from collections.abc import Sequence

from wire.messages import AttemptKey
from worker.agent.state import Held, Phase, PhaseMove, WorkerAgentState

#: What the worker knows of an attempt: `new` is the moment in which it hears of it, `gone` the one after which it has
#: forgotten it. Its inputs are put in place first, then it waits for its init tasks, a slot and memory. Once it has
#: ended it is reported until the boss acknowledges that. An order about an attempt that never arrived is answered as
#: well, so that it does not begin if it still comes.
HELD_MOVES: dict[Phase, dict[Phase, str]] = {
    "new": {
        "staging": "its Run came, and it needs inputs",
        "staged": "its Run came, and it needs no inputs",
        "ended": "it was killed before its Run came, or had ended under an earlier start of the worker",
        "returned": "it was taken back before its Run came",
    },
    "staging": {
        "staged": "its inputs are in place",
        "ended": "it was killed, or its inputs cannot be put in place",
        "returned": "the boss took it back, or the worker drains",
        "gone": "the boss does not want it any more, or a later attempt of its task came",
    },
    "staged": {
        "executing": "it fits, and its init tasks have succeeded here",
        "ended": "it was killed",
        "returned": "the boss took it back, or the worker drains",
        "gone": "the boss does not want it any more, or a later attempt of its task came",
    },
    "executing": {
        "ended": "its commands ended",
        "gone": "its commands ended, and the boss does not want its outcome any more",
    },
    "ended": {"gone": "the boss acknowledged it, or a later attempt of its task came"},
    "returned": {"gone": "the boss acknowledged it, or a later attempt of its task came"},
    "gone": {},
}


# --- the story of an attempt: its last moves on this worker, and the errors that tell them; nothing is decided by it -


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
