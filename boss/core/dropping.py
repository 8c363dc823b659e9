"""Dropped tasks: a user has them forgotten, and their ids and the names of their results free.

A dropped task is in no list and in no count. What had work left is cancelled, at once or when its attempt has
ended. Its row stays, with its number and its counter of attempts (no attempt number of an id ever comes again), and
it keeps its place in the graph: what had succeeded has succeeded for those that depend on it, what had not is broken
for them. A later push of its id takes it up again as a replaced one (`boss.core.merge`), and what it blocked goes on.
"""

from __future__ import annotations

from boss.core import attempts, commands, dropped, moves
from boss.core.events import DropTasksAsked
from boss.core.graph import Batch
from boss.core.model import UNFINISHED, TaskState
from boss.core.state import State


def on_drop(state: State, event: DropTasksAsked) -> None:
    """Answers how many were dropped, how many of these are still being cancelled, and how many are required: they have
    succeeded, and what they made is the input of tasks that are to run.
    """
    states = frozenset(event.states)
    chosen = [
        (batch, index)
        for batch, index in commands.selected(state, event.selection, backwards=True)
        if not states or batch.states[index] in states
    ]
    asked = needed = 0
    succeeded = []
    for batch, index in chosen:
        if batch.states[index] == TaskState.SUCCEEDED:
            succeeded.append((batch, index))
        else:
            asked += _cancel(state, batch, index)
            dropped.forget(state, batch, index)
    for batch, index in succeeded:
        if dropped.is_needed(state, batch, index):
            needed += 1
        else:
            dropped.forget(state, batch, index)
    commands.answer(state, event.reply, dropped=len(chosen) - needed, asked=asked, needed=needed)


def _cancel(state: State, batch: Batch, index: int) -> bool:
    """True: an attempt is asked to end first."""
    attempt = state.live(batch, index)
    if attempt is not None:
        attempts.cancel(state, attempt)
    elif batch.states[index] in UNFINISHED or batch.states[index] == TaskState.BLOCKED:
        moves.move(state, batch, index, TaskState.CANCELLED, "dropped by an operator", "dropped")
    return attempt is not None
