"""Dropped tasks: a user has them forgotten, and their ids and the names of their results free.

A dropped task is in no list and in no count. What had work left is cancelled, at once or when its attempt has
ended. Its row stays, with its number and its counter of attempts (no attempt number of an id ever comes again), and
it keeps its place in the graph: what had succeeded has succeeded for those that depend on it, what had not is broken
for them. A later push of its id takes it up again as a replaced one (`boss.core.merge`), and what it blocked goes on.
Here is the flag: set, taken back, and what prevents it. What is dropped is asked for in `boss.core.commands`.
"""

from __future__ import annotations

from boss.core import moves
from boss.core.graph import DROPPED, Batch
from boss.core.model import UNFINISHED, TaskState
from boss.core.state import State


def forget(state: State, batch: Batch, index: int) -> None:
    batch.flags[index] |= DROPPED
    batch.counts[batch.states[index]] -= 1
    _note(state, batch, index, TaskState(batch.states[index]).word, "dropped", "requested by an operator")


def take_up(state: State, batch: Batch, index: int, cause: str) -> None:
    """It counts again, in the state that it was left in. Nothing, if it is not dropped."""
    if batch.flags[index] & DROPPED:
        batch.flags[index] &= ~DROPPED
        batch.counts[batch.states[index]] += 1
        _note(state, batch, index, "dropped", "taken up", cause)


def keep_if_needed(state: State, batch: Batch, index: int) -> None:
    """It has succeeded before it could be ended: as one that had succeeded before, it is kept for those that wait."""
    if batch.flags[index] & DROPPED and is_needed(state, batch, index):
        take_up(state, batch, index, "it has succeeded, and tasks that are to run require its results")


def is_needed(state: State, batch: Batch, index: int) -> bool:
    """What it makes is the input of tasks that are to run."""
    return any(
        other.states[dependant] in UNFINISHED and not other.flags[dependant] & DROPPED
        for other, dependant in moves.dependants(state, batch, index)
    )


def _note(state: State, batch: Batch, index: int, before: str, after: str, cause: str) -> None:
    moves.touch(state, batch, index)
    state.dirty_batches[batch.number] = None
    state.journal("task", str(batch.first + index), batch.attempts[index], before, after, cause)
