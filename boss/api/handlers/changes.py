"""Handlers for changes by users and operators: cancel, retry, redo, drop, flags of workers. They post events.

Ids are looked up here (the scheduler knows numbers only); whether a change is allowed is the scheduler's decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from boss.api.backend import Backend, Request
from boss.api.errors import HttpError, bad_input, not_found
from boss.api.routes import Call
from boss.api.schema import BY_OPERATOR, ChangeAnswer, DropTasksRequest, ReasonRequest, SelectionRequest
from boss.common.suggestions import did_you_mean
from boss.core.events import (
    CancelAsked,
    DropTasksAsked,
    QuarantineAsked,
    RedoAsked,
    RetryAsked,
    Selection,
    WorkerDrainAsked,
)
from boss.core.model import TaskState
from boss.core.reasons import Rejection
from boss.core.rows import BatchRow

_CANCELLABLE = (TaskState.PENDING, TaskState.QUEUED, TaskState.RUNNING, TaskState.BLOCKED)
_RETRYABLE = (TaskState.FAILED, TaskState.BLOCKED)
_WORDS = {state.word: state for state in TaskState}
#: Tasks that are in memory and in one transaction for it.
_DROPPED_AT_ONCE = 200_000


def cancel(call: Call) -> ChangeAnswer:
    """Cancel what is unfinished or blocked of the selection; blocks until the commit.

    Raises HttpError 400: no valid selection; 404: unknown tasks or batches; else as `done`.
    """
    return done(call, CancelAsked(selection=_selection(call, _CANCELLABLE)))


def retry(call: Call) -> ChangeAnswer:
    """Run what has failed or is blocked of the selection again. Raises as `cancel`."""
    return done(call, RetryAsked(selection=_selection(call, _RETRYABLE)))


def redo(call: Call) -> ChangeAnswer:
    """Run what has ended of the selection again. Raises HttpError 400: `all` is given; else as `cancel`."""
    if call.request_body(SelectionRequest).all:
        raise bad_input("redo of everything is refused; name tasks or batches")
    return done(call, RedoAsked(selection=_selection(call, ())))


def drop(call: Call) -> ChangeAnswer:
    """Forget tasks of the selection: a part at a time, the newest batches first, so that what they require of older
    ones is not kept for them.

    Raises HttpError 400: no state of a task; else as `cancel`. What was dropped before a part that is refused stays so.
    """
    request = call.request_body(DropTasksRequest)
    states = parse_states(request.states)
    chosen = _selection(call, tuple(states or TaskState))
    total = ChangeAnswer(done={"dropped": 0, "asked": 0, "needed": 0})
    for part in _parts(call, chosen):
        answer = done(call, DropTasksAsked(selection=part, states=list(states)))
        total.done = {name: count + answer.done[name] for name, count in total.done.items()}
        if total.done["asked"]:
            total.carry_on = answer.carry_on
    return total


def _parts(call: Call, chosen: Selection) -> Iterator[Selection]:
    part, tasks = Selection(tasks=chosen.tasks), 0
    sizes = {row.number: row.count for row in call.backend.reads.batches()} if chosen.batches else {}
    for number in sorted(chosen.batches, reverse=True):
        if part.batches and tasks + sizes[number] > _DROPPED_AT_ONCE:
            yield part
            part, tasks = Selection(), 0
        part.batches.append(number)
        tasks += sizes[number]
    yield part


def parse_states(words: Iterable[str]) -> frozenset[TaskState]:
    """The states that are called so. Raises HttpError 400: one is not known."""
    chosen = set()
    for word in words:
        if word not in _WORDS:
            raise bad_input(f"{word!r} is no state of a task{did_you_mean(word, list(_WORDS))}")
        chosen.add(_WORDS[word])
    return frozenset(chosen)


def drain(call: Call) -> ChangeAnswer:
    """Send the worker nothing new; it finishes what it holds. Raises HttpError 404: no such worker; else as `done`."""
    return done(call, WorkerDrainAsked(worker=_worker(call), drain=True))


def quarantine(call: Call) -> ChangeAnswer:
    """Send the worker no tasks until it is released, with a reason. Raises as `drain`."""
    reason = call.request_body(ReasonRequest).reason or BY_OPERATOR
    return done(call, QuarantineAsked(worker=_worker(call), reason=reason))


def resume(call: Call) -> ChangeAnswer:
    """End draining of the worker. Raises as `drain`."""
    return done(call, WorkerDrainAsked(worker=_worker(call), drain=False))


def release(call: Call) -> ChangeAnswer:
    """End the quarantine of the worker. Raises as `drain`."""
    return done(call, QuarantineAsked(worker=_worker(call), reason=""))


def done(call: Call, event: Request) -> ChangeAnswer:
    """Ask the boss, and wait for the commit; what it refuses conflicts with the present state.

    Raises HttpError 409: it refuses; BackendUnavailableError, which becomes 503.
    """
    answer = call.backend.ask(event)
    if answer.rejections:
        raise refusal(answer.rejections)
    return ChangeAnswer(done=answer.value, carry_on=call.backend.carry_on())


def refusal(rejections: list[Rejection]) -> HttpError:
    """HttpError 409, to be raised: the only rejection as its sentence, or several as details."""
    lines = [rejection.text for rejection in rejections]
    if len(lines) == 1:
        return HttpError(409, lines[0])
    return HttpError(409, f"refused for {len(lines)} reasons; nothing was changed", lines)


def _worker(call: Call) -> str:
    known = [worker.id for worker in call.backend.view().workers]
    worker = call.text("id")
    if worker not in known:
        raise not_found(f"there is no worker {worker!r}{did_you_mean(worker, known)}")
    return worker


def _selection(call: Call, states: tuple[TaskState, ...]) -> Selection:
    request = call.request_body(SelectionRequest)
    if request.all:
        if request.tasks or request.batches:
            raise bad_input("name tasks and batches, or give all; not both")
        return Selection(batches=_batches_with(call, states, request.project))
    if not request.tasks and not request.batches:
        raise bad_input("name tasks or batches, or give all")
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
        raise HttpError(
            404, f"{len(unknown)} of these tasks are not known", [no_task(request.project, id) for id in unknown]
        )
    return [known[id] for id in dict.fromkeys(request.tasks)]


def known_batch(backend: Backend, number: int) -> BatchRow:
    """The batch as the database has it, on which it blocks. Raises HttpError 404: there is none."""
    row = backend.reads.batch(number)
    if row is None:
        raise not_found(f"there is no batch {number}")
    return row


def no_task(project: str, id: str) -> str:
    """The sentence for an unknown id."""
    return f"there is no task {id!r} in project {project!r}"
