"""Pausing a batch, with the reason: its queued tasks wait until a user resumes it."""

from __future__ import annotations

from boss.core import attempts
from boss.core.graph import Batch
from boss.core.reasons import Pause, PauseKind
from boss.core.state import State


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
