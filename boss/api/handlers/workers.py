"""Handlers for status and workers. Reads the view, and the database for counts of all time and for ids."""

from __future__ import annotations

from msgspec.structs import replace

from boss.api.backend import DATABASE_ERRORS, Backend, View
from boss.api.routes import Call
from boss.api.schema import Counts, InstanceAnswer, StatusAnswer, WorkerAnswer, WorkerList, counts_of, reasons_of
from boss.core.model import TaskState
from boss.status import database_reason


def status(call: Call) -> StatusAnswer:
    """Counts of all tasks, and why work waits.

    While the database is away the counts are those of the view, and a reason says so: no error.
    """
    view = call.backend.view()
    reasons = list(view.reasons)
    try:
        counts = counts_of(call.backend.reads.counts())
    except DATABASE_ERRORS as error:
        counts = _under_way(view)
        text = f"{error}; the counts are those of the batches under way, as the boss knows them"
        reasons.append(database_reason(text))
    failed = counts.failed + counts.blocked
    warnings = [reason.text for reason in reasons]
    return StatusAnswer(
        running=view.live,
        workers=sum(worker.state != "gone" for worker in view.workers),
        in_queue=counts.pending + counts.queued,
        available=counts.queued,
        in_progress=counts.running,
        finished=counts.succeeded + failed,
        succeeded=counts.succeeded,
        failed=failed,
        cancelled=counts.cancelled,
        counts=counts,
        warnings=warnings,
        hindrances=warnings,
        reasons=reasons_of(reasons),
        rejected_reports=view.rejected_reports,
        broker_connected=view.broker_connected,
        datastore_connected=view.datastore_connected,
        deployment=view.deployment,
        epoch=view.epoch,
        turn=view.turn,
    )


def _under_way(view: View) -> Counts:
    """Without the database."""
    batches = [batch.counts for batch in view.batches.values()]
    return counts_of([sum(getattr(counts, state.word) for counts in batches) for state in TaskState])


def listing(call: Call) -> WorkerList:
    """Workers with the ids of what they hold, and instances that have none yet. Blocks on the database for the ids."""
    view = call.backend.view()
    names = _names(call.backend, view.workers)
    there = {worker.id for worker in view.workers}
    return WorkerList(
        workers=[_answer(worker, names) for worker in view.workers],
        without_worker=[_of_instance(each) for each in view.instances if each.worker not in there],
    )


def _names(backend: Backend, workers: tuple[WorkerAnswer, ...]) -> dict[int, tuple[str, str]]:
    """(project, id) of every task that a worker holds."""
    numbers = sorted({held.task for worker in workers for held in worker.holding})
    found = backend.lookups.executions(numbers) if numbers else {}
    return {number: (project, id) for number, (project, id, _) in found.items()}


def _of_instance(instance: InstanceAnswer) -> WorkerAnswer:
    return WorkerAnswer(
        id=instance.worker,
        state=instance.state,
        pool=instance.pool,
        slots=0,
        address=instance.address,
        keep_alive=instance.keep_alive,
    )


def _answer(worker: WorkerAnswer, names: dict[int, tuple[str, str]]) -> WorkerAnswer:
    """With the user's ids of what it holds."""
    held = []
    for each in worker.holding:
        project, id = names.get(each.task, ("", str(each.task)))
        held.append(replace(each, project=project, id=id))
    return replace(worker, holding=held)
