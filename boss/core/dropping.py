"""Dropped tasks: a person wants them forgotten, and their ids and the names of their results free.

A dropped task is in no list and in no count. What had work left is cancelled, at once or when its attempt has
ended. Its row stays, with its number and its counter of attempts (no attempt number of an id ever comes again), and
it keeps its place in the graph: what had succeeded has succeeded for those that depend on it, what had not is broken
for them. A later push of its id takes it up again as a replaced one (`boss.core.merge`), and what it blocked goes on.
"""

from __future__ import annotations

from boss.core import attempts, moves, people
from boss.core.events import DropTasksAsked
from boss.core.graph import DROPPED, Batch
from boss.core.model import UNFINISHED, TaskState
from boss.core.state import State


def on_drop(state: State, event: DropTasksAsked) -> None:
    """Answers how many were dropped, how many of these are still being cancelled, and how many are needed: they have
    succeeded, and what they made is the input of tasks that are to run.
    """
    wanted = frozenset(event.states)
    chosen = [
        (batch, index)
        for batch, index in people.selected(state, event.selection, backwards=True)
        if not wanted or batch.states[index] in wanted
    ]
    asked = needed = 0
    succeeded = []
    for batch, index in chosen:
        if batch.states[index] == TaskState.SUCCEEDED:
            succeeded.append((batch, index))
        else:
            asked += _cancel(state, batch, index)
            _forget(state, batch, index)
    for batch, index in succeeded:
        if any(_waits(other, dependant) for other, dependant in moves.dependants(state, batch, index)):
            needed += 1
        else:
            _forget(state, batch, index)
    people.answer(state, event.reply, dropped=len(chosen) - needed, asked=asked, needed=needed)


def take_up(state: State, batch: Batch, index: int) -> None:
    """A push brings it again: it counts, in the state that it was left in. Nothing, if it is not dropped."""
    if batch.flags[index] & DROPPED:
        batch.flags[index] &= ~DROPPED
        batch.counts[batch.states[index]] += 1
        _note(state, batch, index, "dropped", "taken up", "pushed again")


def _cancel(state: State, batch: Batch, index: int) -> bool:
    """True: an attempt is asked to end first."""
    attempt = state.live(batch, index)
    if attempt is not None:
        attempts.cancel(state, attempt)
    elif batch.states[index] in UNFINISHED or batch.states[index] == TaskState.BLOCKED:
        moves.move(state, batch, index, TaskState.CANCELLED, "a person dropped it", "dropped")
    return attempt is not None


def _forget(state: State, batch: Batch, index: int) -> None:
    batch.flags[index] |= DROPPED
    batch.counts[batch.states[index]] -= 1
    _note(state, batch, index, TaskState(batch.states[index]).word, "dropped", "a person asked")


def _note(state: State, batch: Batch, index: int, before: str, after: str, cause: str) -> None:
    moves.touch(state, batch, index)
    state.dirty_batches[batch.number] = None
    state.journal("task", str(batch.first + index), batch.attempts[index], before, after, cause)


def _waits(batch: Batch, index: int) -> bool:
    return batch.states[index] in UNFINISHED and not batch.flags[index] & DROPPED
