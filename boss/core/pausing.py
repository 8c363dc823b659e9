"""Pausing a batch, with the reason: its queued tasks wait until a user resumes it.

Also what a batch may cost its workers: seconds of workers that its attempts took, and the pause when they are used up.
An attempt takes its duration by its share of the worker's slots; the budget is that of the pool on whose worker it has
ended. A user who resumes the batch after such a pause grants it as much again.
"""

from __future__ import annotations

from boss.core import attempts
from boss.core.graph import Batch
from boss.core.reasons import Pause, PauseKind
from boss.core.state import Attempt, State, Worker

#: A longer duration than this is not believed.
MAX_SECONDS = 1e8


def pause(state: State, batch: Batch, reason: Pause) -> None:
    """Nothing more of it is sent; what was sent and has not started is asked back."""
    _set(state, batch, reason.text, reason.kind.value, "paused")
    attempts.ask_back(state, batch)


def resume(state: State, batch: Batch) -> None:
    """Its queued tasks may be sent. A budget that it had used up is granted once more."""
    if batch.row.paused_kind == PauseKind.BUDGET:
        batch.row.budget_from = batch.row.worker_seconds
    _set(state, batch, "", "", "resumed")


def _set(state: State, batch: Batch, text: str, kind: str, done: str) -> None:
    batch.row.paused, batch.row.paused_kind = text, kind
    state.dirty_batches[batch.number] = None
    state.scale_due = True
    state.journal("batch", str(batch.number), 0, "", done, text)


# --- budgets -----------------------------------------------------------------------------------------


def spend(state: State, worker: Worker, attempt: Attempt, seconds: float) -> None:
    """An attempt of a task has ended on this worker, however."""
    batch = attempt.batch
    share = min(max(attempt.slots, 1), worker.slots) / worker.slots
    batch.row.worker_seconds += min(max(seconds, 0.0), MAX_SECONDS) * share
    state.dirty_batches[batch.number] = None
    limit = state.policy.pool(worker.kind.pool).batch_budget
    if limit is not None and batch.row.worker_seconds - batch.row.budget_from >= limit:
        state.spent[batch.number] = (worker.kind.pool, limit)


def settle(state: State) -> None:
    """The end of a turn: batches that have used up what they may, if anything of them is left to do."""
    for number, (pool, limit) in state.spent.items():
        batch = state.batches.get(number)
        if batch is not None and batch.unfinished() and not batch.row.paused:
            text = (
                f"it has used up the {limit / 3600:g} worker-hours that pool {pool} gives a batch; "
                "resumed, it gets as many again"
            )
            pause(state, batch, Pause(PauseKind.BUDGET, text))
    state.spent.clear()
