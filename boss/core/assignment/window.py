"""Which workers take more, and how much ahead: the windows of workers, kept at the end of each turn."""

from __future__ import annotations

from boss.core import attempts
from boss.core.model import WorkerState
from boss.core.state import State, Worker


def window(state: State, worker: Worker) -> int:
    """How many slots' worth of attempts it may have: its slots, and as many again as keep them busy ahead."""
    slots = worker.slots
    policy = state.policy
    if worker.seconds is None:
        return slots + min(policy.prefetch_max, slots)
    ahead = slots * policy.prefetch / max(worker.seconds, 1e-6)
    return slots + min(policy.prefetch_max, max(slots, int(ahead)))


def mark_free_slots(state: State, worker: Worker) -> None:
    """Note whether it takes more. A large window is refilled when it is half empty, so orders stay large."""
    size = window(state, worker)
    refill = size - 1 if size <= 8 * worker.slots else size // 2
    if worker.quarantined:
        refill = 0  # one task to prove itself, when it has nothing else
    if worker.serves() and worker.connected and worker.load <= refill:
        state.with_free_slots.setdefault(worker.kind, {})[worker.id] = None
    else:
        unmark_free_slots(state, worker)


def update_changed(state: State) -> None:
    """The end of a turn: which of the workers that it was about take more, or require an init execution."""
    for worker_id in state.uninitialized:
        worker = state.workers[worker_id]
        if worker.state is not WorkerState.GONE and worker.state is not WorkerState.LOST:
            _initialize_waiting(state, worker)
    state.uninitialized.clear()
    for worker_id in state.changed_workers:
        mark_free_slots(state, state.workers[worker_id])
    state.changed_workers.clear()


def _initialize_waiting(state: State, worker: Worker) -> None:
    """What it was sent and has not started may wait for an init execution that came to nothing."""
    if worker.refused() or (worker.quarantined and worker.probing is None):
        return
    waiting = {
        attempt.batch.number: attempt.batch
        for attempt in worker.attempts.values()
        if not (attempt.init or attempt.started() or attempt.batch.held()) and attempt.batch.inits
    }
    for batch in waiting.values():
        attempts.initialize(state, worker, batch)


def unmark_free_slots(state: State, worker: Worker) -> None:
    of_kind = state.with_free_slots.get(worker.kind)
    if of_kind is not None and of_kind.pop(worker.id, 0) is None and not of_kind:
        del state.with_free_slots[worker.kind]
