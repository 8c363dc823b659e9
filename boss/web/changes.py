"""Handlers for what people change: cancel, retry, redo, and the flags of workers. Posts events, reads nothing else.

Ids are looked up here (the scheduler knows numbers only); whether a change is allowed is the scheduler's word.
"""

from __future__ import annotations

from boss.core.events import (
    CancelAsked,
    QuarantineAsked,
    RedoAsked,
    RetryAsked,
    Selection,
    WorkerDrainAsked,
)
from boss.core.model import TaskState
from boss.core.rows import BatchRow
from boss.web.answers import ChangeAnswer, EmptyRequest, ReasonRequest, SelectionRequest
from boss.web.backend import Request
from boss.web.faults import Fault, bad_input, not_found
from boss.web.routes import Call, suggestion

_CANCELLABLE = (TaskState.PENDING, TaskState.QUEUED, TaskState.RUNNING, TaskState.BLOCKED)
_RETRYABLE = (TaskState.FAILED,)


def cancel(call: Call) -> ChangeAnswer:
    return done(call, CancelAsked(selection=_selection(call, _CANCELLABLE)))


def retry(call: Call) -> ChangeAnswer:
    return done(call, RetryAsked(selection=_selection(call, _RETRYABLE)))


def redo(call: Call) -> ChangeAnswer:
    if call.request_body(SelectionRequest).all:
        raise bad_input("redo of everything is refused; name tasks or batches")
    return done(call, RedoAsked(selection=_selection(call, ())))


def drain(call: Call) -> ChangeAnswer:
    call.request_body(EmptyRequest)
    return done(call, WorkerDrainAsked(worker=_worker(call), drain=True))


def quarantine(call: Call) -> ChangeAnswer:
    reason = call.request_body(ReasonRequest).reason or "a person asked for it"
    return done(call, QuarantineAsked(worker=_worker(call), reason=reason))


def resume(call: Call) -> ChangeAnswer:
    call.request_body(EmptyRequest)
    return done(call, WorkerDrainAsked(worker=_worker(call), drain=False))


def release(call: Call) -> ChangeAnswer:
    call.request_body(EmptyRequest)
    return done(call, QuarantineAsked(worker=_worker(call), reason=""))


def done(call: Call, event: Request) -> ChangeAnswer:
    """Ask the boss; what it refuses is a clash with how things stand."""
    answer = call.backend.ask(event)
    if answer.refused:
        raise refusal(answer.refused)
    return ChangeAnswer(done=answer.value, carry_on=call.backend.carry_on())


def refusal(lines: list[str]) -> Fault:
    if len(lines) == 1:
        return Fault(409, lines[0])
    return Fault(409, f"refused for {len(lines)} reasons; nothing was changed", lines)


def _worker(call: Call) -> str:
    known = [worker.id for worker in call.backend.view().workers]
    worker = call.text("id")
    if worker not in known:
        raise not_found(f"there is no worker {worker!r}{suggestion(worker, known)}")
    return worker


def _selection(call: Call, states: tuple[TaskState, ...]) -> Selection:
    request = call.request_body(SelectionRequest)
    if request.all:
        if request.tasks or request.batches:
            raise bad_input("name tasks and batches, or say all; not both")
        return Selection(batches=_batches_with(call, states, request.project))
    if not request.tasks and not request.batches:
        raise bad_input("name tasks or batches, or say all")
    return Selection(tasks=_numbers(call, request), batches=_known_batches(call, request.batches))


def _batches_with(call: Call, states: tuple[TaskState, ...], project: str) -> list[int]:
    def fits(row: BatchRow) -> bool:
        return project in ("", row.project) and any(row.counts[state] for state in states if state < len(row.counts))

    return [row.number for row in call.backend.reads.batches() if fits(row)]


def _known_batches(call: Call, numbers: list[int]) -> list[int]:
    unknown = [number for number in numbers if call.backend.reads.batch(number) is None]
    if unknown:
        raise not_found(f"there is no batch {', '.join(map(str, unknown))}")
    return numbers


def _numbers(call: Call, request: SelectionRequest) -> list[int]:
    if not request.tasks:
        return []
    known = call.backend.lookups.task_numbers(request.project, request.tasks)
    unknown = [id for id in request.tasks if id not in known]
    if len(unknown) == 1:
        raise not_found(no_task(request.project, unknown[0]))
    if unknown:
        raise Fault(
            404, f"{len(unknown)} of these tasks are not known", [no_task(request.project, id) for id in unknown]
        )
    return [known[id] for id in dict.fromkeys(request.tasks)]


def no_task(project: str, id: str) -> str:
    return f"there is no task {id!r} in project {project!r}"
