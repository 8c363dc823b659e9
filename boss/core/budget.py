"""What a batch may cost its workers: seconds of workers that its attempts took, and the pause when they are used up.

An attempt takes its duration by its share of the worker's slots; the budget is that of the pool on whose worker it has
ended. A person who lets the batch go on after such a pause grants it as much again.
"""

from __future__ import annotations

from boss.core import attempts
from boss.core.graph import Batch
from boss.core.state import Attempt, State, Worker

#: A longer duration than this is not believed.
_MOST_SECONDS = 1e8
#: How the reason of such a pause begins, which stands in the batch's row.
USED_UP = "it has used up "


def spend(state: State, worker: Worker, attempt: Attempt, seconds: float) -> None:
    """An attempt of a task has ended on this worker, however."""
    batch = attempt.batch
    share = min(max(attempt.slots, 1), worker.slots) / worker.slots
    batch.row.worker_seconds += min(max(seconds, 0.0), _MOST_SECONDS) * share
    state.dirty_batches[batch.number] = None
    most = state.policy.pool(worker.kind.pool).batch_budget
    if most is not None and batch.row.worker_seconds - batch.row.budget_from >= most:
        state.spent[batch.number] = (worker.kind.pool, most)


def settle(state: State) -> None:
    """The end of a turn: batches that have used up what they may, if anything of them is left to do."""
    for number, (pool, most) in state.spent.items():
        batch = state.batches.get(number)
        if batch is not None and batch.unfinished() and not batch.row.paused:
            _pause(state, batch, pool, most)
    state.spent.clear()


def grant(batch: Batch) -> None:
    """A person lets it go on."""
    if batch.row.paused.startswith(USED_UP):
        batch.row.budget_from = batch.row.worker_seconds


def _pause(state: State, batch: Batch, pool: str, most: float) -> None:
    reason = f"{USED_UP}the {most / 3600:g} worker-hours that pool {pool} gives a batch; resumed, it gets as many again"
    batch.row.paused = reason
    attempts.ask_back(state, batch)
    state.dirty_batches[batch.number] = None
    state.scale_due = True
    state.journal("batch", str(batch.number), 0, "", "paused", reason)
