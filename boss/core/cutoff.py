"""Early cut-off: a task that was to run again does not, because what it was made from came out the same.

Asked once all that it depends on has succeeded, of those tasks only that had succeeded and whose own description and
results are what they were (`Batch.outdated`). The answer is yes where each task that was run again meanwhile hands
it declared results as requirements, and all its inputs have the digests of the attempt with which it had succeeded. A
dependency for the order alone, or data that is not declared, always has it run. Rows are compared by `boss.database`.
"""

from __future__ import annotations

from boss.core import moves, outdated
from boss.core.events import InputsCompared
from boss.core.graph import Batch
from boss.core.model import TaskState
from boss.core.state import State

_WAITING = (TaskState.PENDING, TaskState.QUEUED, TaskState.BLOCKED)
#: For users, of a task that was not run again.
REASON = "not run again: its inputs came out the same"


def on_compared(state: State, event: InputsCompared) -> None:
    if event.task not in state.comparing:
        return
    del state.comparing[event.task]
    found = state.find(event.task)
    if found is None:
        return
    batch, index = found
    if batch.states[index] != TaskState.QUEUED or state.live(batch, index) is not None:
        return
    if event.same:
        _cut_off(state, batch, index)
    else:
        outdated.forget(state, batch, index)
        moves.enqueue(state, batch, index)


def insist(state: State, batch: Batch, index: int) -> bool:
    """A user wants it to run whatever its inputs are. False: it would have run anyway, or does not wait to run."""
    if index not in batch.outdated or batch.states[index] not in _WAITING or state.live(batch, index) is not None:
        return False
    outdated.forget(state, batch, index)
    if state.comparing.pop(batch.first + index, False) is None:
        moves.enqueue(state, batch, index)
    return True


def _cut_off(state: State, batch: Batch, index: int) -> None:
    outdated.forget(state, batch, index)
    for other, dependant in moves.dependants(state, batch, index):
        outdated.forget_parent(state, other, dependant, batch.first + index)
    moves.move(state, batch, index, TaskState.SUCCEEDED, "its inputs came out the same", REASON)
