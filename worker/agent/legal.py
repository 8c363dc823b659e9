"""The table of legal moves of an attempt on its worker: from -> to -> why such a move may happen.

What is absent is illegal. `worker.agent.moves` has the one function that assigns a phase and keeps to the table; it
raises IllegalMoveError, which is a bug of ours: whatever comes from outside and fits no phase is dropped before.
docs/states.md is drawn from this table and the comment above it.
"""

from __future__ import annotations

from worker.agent.state import Phase

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
