"""Which of the tasks that are equally urgent a worker is to have: those whose inputs it has, or is near to.

A preference, never a condition: without local inputs a worker takes what comes next. It costs a comparison of a few
lanes whenever a lane is started, nothing a task.
"""

from __future__ import annotations

from boss.core.graph import Batch
from boss.core.ready import Lane, Waiting
from boss.core.state import State, Worker

#: Of equally urgent lanes so many are compared.
COMPARED = 32


class Locality:
    """One worker that is being filled."""

    __slots__ = ("_key", "_state", "_worker")

    def __init__(self, state: State, worker: Worker) -> None:
        self._state = state
        self._worker = worker
        self._key: Lane | None = None

    def take(self, waiting: Waiting) -> tuple[Batch, int] | None:
        """The next task for it; None if all that wait are held."""
        batches = self._state.batches
        taken = waiting.take_near(self._worker.id, batches) if waiting.near else None
        if taken is None:
            taken = waiting.take(batches, self._choose)
        if taken is not None:
            self._remember(taken[0], taken[1])
        return taken

    def _remember(self, batch: Batch, index: int) -> None:
        """What it takes it will have: the next such task is for it, too."""
        worker, ready = self._worker, self._state.ready
        number = ready.number_of(batch.profile(index))
        if number and number != worker.inputs:
            ready.hold(worker.inputs, number)
            worker.inputs = number

    def _choose(self, waiting: Waiting, at: int) -> Lane:
        """What it was sent last; else what it has most bytes of; else what the fewest others were sent."""
        urgent = waiting.order[at][:2]
        if self._key is not None and self._key[:2] == urgent and self._key in waiting.lanes:
            return self._key
        last = (*urgent, self._worker.inputs)
        self._key = last if self._worker.inputs and last in waiting.lanes else self._best(waiting, at)
        return self._key

    def _best(self, waiting: Waiting, at: int) -> Lane:
        urgent, cached = waiting.order[at][:2], self._worker.cached
        lanes = [key for key in waiting.order[at : at + COMPARED] if key[:2] == urgent]
        had, best = max(((cached.bytes_of(waiting.inputs.get(key, ())), key) for key in lanes), key=lambda one: one[0])
        if had:
            return best
        return min(lanes, key=lambda key: self._state.ready.holders.get(key[2], 0))
