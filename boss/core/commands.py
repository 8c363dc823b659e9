"""What users and operators ask for: cancel, retry, redo, pause, drain, quarantine.

Each handler answers with counts of what it did; asking again for what is so already is no error.
"""

from __future__ import annotations

from collections.abc import Iterator

from boss.core import attempts, host_keys, leases, moves, pausing, quarantine, workers
from boss.core.effects import Answer
from boss.core.events import (
    CancelAsked,
    PauseAsked,
    QuarantineAsked,
    RedoAsked,
    RetryAsked,
    Selection,
    StopAsked,
    WorkerDrainAsked,
)
from boss.core.graph import DROPPED, Batch
from boss.core.instance_state import instance_of
from boss.core.model import TERMINAL, InstanceState, TaskState, WorkerState
from boss.core.reasons import Pause, PauseKind, Quarantine, QuarantineKind, Rejection, RejectionKind
from boss.core.state import State
from wire.messages import Drain, Resume


def on_cancel(state: State, event: CancelAsked) -> None:
    cancelled = asked = untouched = 0
    for batch, index in selected(state, event.selection, backwards=True):
        now = batch.states[index]
        attempt = state.live(batch, index)
        if attempt is not None:
            attempts.cancel(state, attempt)
            asked += 1
        elif now in (TaskState.PENDING, TaskState.QUEUED, TaskState.BLOCKED):
            moves.move(state, batch, index, TaskState.CANCELLED, "cancelled by an operator", "cancelled")
            cancelled += 1
        else:
            untouched += 1
    answer(state, event.reply, cancelled=cancelled, asked=asked, untouched=untouched)


def on_retry(state: State, event: RetryAsked) -> None:
    retried = untouched = 0
    named = set(event.selection.tasks)
    for batch, index in selected(state, event.selection):
        now = batch.states[index]
        if now == TaskState.FAILED or (now == TaskState.CANCELLED and batch.first + index in named):
            moves.again(state, batch, index, "retried by an operator")
            retried += 1
        else:
            untouched += 1
    answer(state, event.reply, retried=retried, untouched=untouched)


def on_redo(state: State, event: RedoAsked) -> None:
    redone = untouched = 0
    for batch, index in selected(state, event.selection):
        if batch.states[index] in TERMINAL and batch.states[index] != TaskState.BLOCKED:
            moves.again(state, batch, index, "redone by an operator")
            redone += 1
        else:
            untouched += 1
    answer(state, event.reply, redone=redone, untouched=untouched)


def on_pause(state: State, event: PauseAsked) -> None:
    batch = state.batches.get(event.batch)
    if batch is not None:
        if event.reason:
            pausing.pause(state, batch, Pause(PauseKind.OPERATOR, event.reason))
        else:
            pausing.resume(state, batch)
    answer(state, event.reply, found=batch is not None)


def on_drain(state: State, event: WorkerDrainAsked) -> None:
    worker = state.workers.get(event.worker)
    if worker is None or worker.state is WorkerState.GONE:
        reject(state, event.reply, unknown_worker(event.worker))
        return
    instance = instance_of(state, worker.id)
    if not event.drain and instance is not None and instance.state is InstanceState.STOPPING:
        text = f"the instance of worker {event.worker!r} is stopping: {instance.row.reason}"
        reject(state, event.reply, Rejection(RejectionKind.WORKER_ENDS, text))
        return
    worker.leaving = False
    worker.draining = worker.row.draining = event.drain
    state.send(worker, Drain() if event.drain else Resume())
    if worker.state is not WorkerState.LOST:
        to = WorkerState.DRAINING if event.drain else WorkerState.ONLINE
        leases.set_worker_state(state, worker, to, "requested by an operator")
    state.changes.workers[worker.id] = worker.row
    answer(state, event.reply, worker=worker.id, state=worker.state.value)


def on_quarantine(state: State, event: QuarantineAsked) -> None:
    worker = state.workers.get(event.worker)
    if worker is None:
        reject(state, event.reply, unknown_worker(event.worker))
        return
    if event.reason:
        quarantine.quarantine(state, worker, Quarantine(QuarantineKind.OPERATOR, f"manual: {event.reason}"))
    else:
        incarnation = host_keys.trust(state, worker)
        quarantine.release(state, worker)
        if incarnation:
            workers.ask_for_hello(state, worker.id, incarnation)
    answer(state, event.reply, worker=worker.id, quarantined=worker.row.quarantined)


def on_stop(state: State, event: StopAsked) -> None:
    """From now on nothing new is sent; local workers stop, and then the boss does (`scale.settle`)."""
    state.stopping = True
    state.scale_due = True
    if not event.workers:
        for instance in list(state.instances.values()):
            state.remove_instance(instance)


def selected(state: State, selection: Selection, *, backwards: bool = False) -> Iterator[tuple[Batch, int]]:
    """Tasks of the selection that are in memory and not dropped, each once. Backwards: dependants before
    dependencies.
    """
    whole = set(selection.batches)
    for number in selection.batches:
        batch = state.batches.get(number)
        if batch is not None:
            indexes = range(batch.count)
            for index in reversed(indexes) if backwards else indexes:
                if not batch.flags[index] & DROPPED:
                    yield batch, index
    for task in sorted(set(selection.tasks), reverse=backwards):
        found = state.find(task)
        if found is not None and found[0].number not in whole and not found[0].flags[found[1]] & DROPPED:
            yield found


def answer(state_: State, reply: int, **value: object) -> None:
    if reply:
        state_.effects.append(Answer(reply=reply, value=value))


def reject(state: State, reply: int, *rejections: Rejection) -> None:
    if reply:
        state.effects.append(Answer(reply=reply, rejections=list(rejections)))


def unknown_worker(worker: str) -> Rejection:
    return Rejection(RejectionKind.UNKNOWN_WORKER, f"worker {worker!r} is not there")
