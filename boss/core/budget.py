"""What a batch may cost its workers: seconds of workers that its attempts took, and the pause when they are used up.

An attempt takes its duration by its share of the worker's slots. A person who lets the batch go on grants it as much
again.
"""

from __future__ import annotations

from boss.core import attempts
from boss.core.graph import Batch
from boss.core.state import Attempt, State, Worker

#: A longer duration than this is not believed.
_MOST_SECONDS = 1e8


def spend(state: State, worker: Worker, attempt: Attempt, seconds: float) -> None:
    """An attempt of a task has ended on this worker, however."""
    batch = attempt.batch
    share = min(max(attempt.slots, 1), worker.slots) / worker.slots
    batch.row.worker_seconds += min(max(seconds, 0.0), _MOST_SECONDS) * share
    state.dirty_batches[batch.number] = None
    most = state.policy.pool(worker.kind.pool).batch_budget
    if most is not None and batch.row.worker_seconds - batch.row.budget_from >= most and not batch.row.paused:
        _pause(state, batch, worker.kind.pool, most)


def _pause(state: State, batch: Batch, pool: str, most: float) -> None:
    spent = f"it has used up the {most / 3600:g} worker-hours that pool {pool} gives a batch"
    reason = f"{spent}; resumed, it gets as many again"
    batch.row.paused = reason
    attempts.ask_back(state, batch)
    state.scale_due = True
    state.journal("batch", str(batch.number), 0, "", "paused", reason)
