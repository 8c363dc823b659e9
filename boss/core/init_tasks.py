"""Init tasks of a batch's versions: those of the newest hold for every batch that has tasks of it.

A batch keeps the rows of all init tasks that it ever had, because executions name them by their place. A row whose init
task the next version changed or left out is retired: it is not run any more, and what runs of it is ended. From the
first difference on all are new, so that they run in the order of the file on each worker before its next task.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from boss.core import attempts, pausing, quarantine
from boss.core.graph import Batch
from boss.core.model import InitSpec, Submission
from boss.core.reasons import PauseKind, QuarantineKind
from boss.core.rows import InitRow
from boss.core.state import State
from wire.messages import Execution

_execution = msgspec.json.Decoder(Execution)


def working(submission: Submission) -> list[InitSpec]:
    """Init tasks with something to do."""
    return [spec for spec in submission.inits if _works(_execution.decode(spec.execution))]


def _works(execution: Execution) -> bool:
    return bool(execution.commands) or execution.epanet is not None


def differ(specs: Sequence[InitSpec], rows: Sequence[InitRow]) -> bool:
    """Whether the batch with these rows has other init tasks than these."""
    return list(specs) != [row.spec for row in rows if not row.retired]


def adopt(state: State, batch: Batch, specs: Sequence[InitSpec]) -> None:
    """From now on the batch has these."""
    active = [row for row in batch.inits if not row.retired]
    same = 0
    while same < min(len(active), len(specs)) and active[same].spec == specs[same]:
        same += 1
    for row in active[same:]:
        row.retired = True
        state.changes.inits[row.number] = row
    for spec in specs[same:]:
        row = InitRow(state.next_task, batch.number, len(batch.inits), spec)
        state.next_task += 1
        batch.inits.append(row)
        state.changes.inits[row.number] = row
    for attempt in list(state.attempts.values()):
        if attempt.batch is not batch or (attempt.started() and not attempt.init):
            continue
        if not attempt.init:
            attempts.supersede(state, attempt)  # it waits on its worker for the former ones
        elif batch.inits[attempt.index].retired and not attempt.cancelling:
            attempts.cancel(state, attempt)
    for worker in state.workers.values():
        failed = any(row.number in worker.init_failures for row in active[same:])
        if failed and worker.quarantine is not None and worker.quarantine.kind is QuarantineKind.INIT_TASK:
            quarantine.release(state, worker)
    if batch.row.paused_kind == PauseKind.INIT_TASK:
        pausing.resume(state, batch)
