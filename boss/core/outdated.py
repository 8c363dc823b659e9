"""Tasks whose inputs may have changed since they succeeded: noted, forgotten, and as bytes of their rows.

A task that leaves succeeded (redone, replaced, below a replaced one) makes those that depend on it outdated: they have
succeeded with what it made before, or were sent to run with that. An outdated task that has succeeded does not count as
done when it is pushed again; one that waits to run again may turn out to have the same inputs (`boss.core.cutoff`).
The note goes when another attempt of the task is sent, or when the task is to run whatever its inputs are.
"""

from __future__ import annotations

from array import array

from boss.core.graph import Batch, Outdated
from boss.core.model import TaskState
from boss.core.state import State


def note(state: State, batch: Batch, index: int, parent: int) -> None:
    """`parent`, on which the task depends, has succeeded and is to run again."""
    known = batch.outdated.get(index)
    if known is None:
        # One that was sent ahead is asked back, and may have started all the same.
        if batch.states[index] != TaskState.SUCCEEDED and state.live(batch, index) is None:
            return
        known = batch.outdated[index] = Outdated(batch.attempts[index], {})
    known.parents[parent] = None
    touch(state, batch, index)


def forget(state: State, batch: Batch, index: int) -> None:
    if batch.outdated.pop(index, None) is not None:
        touch(state, batch, index)


def forget_parent(state: State, batch: Batch, index: int, parent: int) -> None:
    """It was not run again after all."""
    known = batch.outdated.get(index)
    if known is not None and parent in known.parents:
        del known.parents[parent]
        touch(state, batch, index)


def touch(state: State, batch: Batch, index: int) -> None:
    """Its row is to be written."""
    state.dirty.setdefault(batch.first + index, "")


def encoded(batch: Batch, index: int) -> bytes:
    known = batch.outdated.get(index)
    return array("q", [known.attempt, *known.parents]).tobytes() if known is not None else b""


def decoded(row: bytes) -> Outdated:
    attempt, *parents = array("q", row)
    return Outdated(attempt, dict.fromkeys(parents))
