"""What users and operators ask for: of tasks and batches, of workers, of pools and instances.

Each handler answers with counts of what it did, and with sentences about what it did not do; asking again for what is
so already is no error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from boss.core import attempts, cutoff, dropped, host_keys, instances, leases, moves, pausing, quarantine, workers
from boss.core.effects import Answer
from boss.core.events import (
    CancelAsked,
    DropTasksAsked,
    DropWorkersAsked,
    InstancesAsked,
    PauseAsked,
    QuarantineAsked,
    RedoAsked,
    RetryAsked,
    Selection,
    StopAsked,
    TasksAsked,
    TerminateAsked,
    WorkerDrainAsked,
)
from boss.core.graph import DROPPED, Batch
from boss.core.instance_state import DATASTORE, instance_of
from boss.core.model import ALIVE, TERMINAL, InstanceState, TaskState, WorkerState
from boss.core.policy import LOCAL
from boss.core.reasons import Pause, PauseKind, Quarantine, QuarantineKind, Rejection, RejectionKind
from boss.core.scaling import scale
from boss.core.state import Instance, State, Worker
from wire.messages import Drain, Resume

# --- tasks -------------------------------------------------------------------------------------------


def on_cancel(state: State, event: CancelAsked) -> None:
    counts = Counter(_cancel(state, *task, "cancelled") for task in selected(state, event.selection, backwards=True))
    answer(state, event.reply, cancelled=counts[False], asked=counts[True], untouched=counts[None])


def _cancel(state: State, batch: Batch, index: int, done: str) -> bool | None:
    """True: an attempt is asked to end first. None: nothing of it was left to do."""
    attempt = state.live(batch, index)
    if attempt is not None:
        attempts.cancel(state, attempt)
        return True
    if batch.states[index] not in (TaskState.PENDING, TaskState.QUEUED, TaskState.BLOCKED):
        return None
    moves.move(state, batch, index, TaskState.CANCELLED, f"{done} by an operator", done)
    return False


def on_retry(state: State, event: RetryAsked) -> None:
    """Failed ones; cancelled ones that are named, and those that block what is selected."""
    named = set(event.selection.tasks)
    blocking = _cancelled_above(state, event.selection)

    def is_meant(batch: Batch, index: int) -> bool:
        number, now = batch.first + index, batch.states[index]
        return now == TaskState.FAILED or (now == TaskState.CANCELLED and (number in named or number in blocking))

    own = {batch.first + index for batch, index in selected(state, event.selection)}
    event.selection.tasks += sorted(blocking - own)
    _run_again(state, event, is_meant, "retried")


def on_redo(state: State, event: RedoAsked) -> None:
    ended = TERMINAL - {TaskState.BLOCKED}
    _run_again(state, event, lambda batch, index: batch.states[index] in ended, "redone")


def _cancelled_above(state: State, selection: Selection) -> set[int]:
    """Numbers of cancelled tasks that block what is selected, as far as they are in memory."""
    reached = [batch.first + i for batch, i in selected(state, selection) if batch.states[i] == TaskState.BLOCKED]
    if not reached:
        return set()
    above: dict[int, list[int]] = {}
    cancelled = set()
    for batch in state.batches.values():
        for index, now in enumerate(batch.states):
            if now in (TaskState.CANCELLED, TaskState.BLOCKED) and not batch.flags[index] & DROPPED:
                if now == TaskState.CANCELLED:
                    cancelled.add(batch.first + index)
                for other, dependant in moves.dependants(state, batch, index):
                    above.setdefault(other.first + dependant, []).append(batch.first + index)
    found: set[int] = set()
    while reached:
        for number in above.get(reached.pop(), ()):
            if number not in found:
                found.add(number)
                reached.append(number)
    return found & cancelled


def _run_again(state: State, event: TasksAsked, is_meant: Callable[[Batch, int], bool], done: str) -> None:
    counts = {done: 0, "untouched": 0}
    untouched: Counter[str] = Counter()
    for batch, index in selected(state, event.selection):
        if is_meant(batch, index):
            moves.again(state, batch, index, f"{done} by an operator")
            counts[done] += 1
        elif cutoff.insist(state, batch, index):
            counts[done] += 1
        else:
            counts["untouched"] += 1
            untouched[TaskState(batch.states[index]).word] += 1
    why = {} if counts[done] or not untouched else {"untouched_states": dict(untouched)}
    answer(state, event.reply, **counts, **why)


def on_drop_tasks(state: State, event: DropTasksAsked) -> None:
    """Answers how many were dropped, how many of these are still being cancelled, and how many are required: they have
    succeeded, and what they made is the input of tasks that are to run.
    """
    states = frozenset(event.states)
    chosen = [
        (batch, index)
        for batch, index in selected(state, event.selection, backwards=True)
        if not states or batch.states[index] in states
    ]
    asked, needed = drop(state, chosen)
    answer(state, event.reply, dropped=len(chosen) - needed, asked=asked, needed=needed)


def drop(state: State, chosen: list[tuple[Batch, int]]) -> tuple[int, int]:
    """How many of them are still being cancelled, and how many were not dropped as their results are needed."""
    asked = needed = 0
    succeeded = []
    for batch, index in chosen:
        if batch.states[index] == TaskState.SUCCEEDED:
            succeeded.append((batch, index))
        else:
            asked += bool(_cancel(state, batch, index, "dropped"))
            dropped.forget(state, batch, index)
    for batch, index in succeeded:
        if dropped.is_needed(state, batch, index):
            needed += 1
        else:
            dropped.forget(state, batch, index)
    return asked, needed


def on_pause(state: State, event: PauseAsked) -> None:
    batch = state.batches.get(event.batch)
    if batch is not None:
        if event.reason:
            pausing.pause(state, batch, Pause(PauseKind.OPERATOR, event.reason))
        else:
            pausing.resume(state, batch)
    answer(state, event.reply, found=batch is not None)


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


# --- workers, pools and instances --------------------------------------------------------------------


def on_drain(state: State, event: WorkerDrainAsked) -> None:
    worker = _there(state, event.worker)
    if worker is None:
        reject(state, event.reply, unknown_worker(event.worker))
        return
    instance = instance_of(state, worker.id)
    if not event.drain and instance is not None and instance.state is InstanceState.STOPPING:
        text = f"the instance of worker {event.worker!r} is stopping: {instance.row.reason}"
        reject(state, event.reply, Rejection(RejectionKind.WORKER_ENDS, text))
        return
    _drain(state, worker, event.drain, "requested by an operator")
    answer(state, event.reply, worker=worker.id, state=worker.state.value)


def _drain(state: State, worker: Worker, drain: bool, cause: str) -> None:
    worker.leaving = False
    worker.draining = worker.row.draining = drain
    state.send(worker, Drain() if drain else Resume())
    if worker.state is not WorkerState.LOST:
        leases.set_worker_state(state, worker, WorkerState.DRAINING if drain else WorkerState.ONLINE, cause)
    state.changes.workers[worker.id] = worker.row


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


def on_instances(state: State, event: InstancesAsked) -> None:
    """As many as the pool's limit allows, at once; what does not fit is reported."""
    named = [pool for pool in state.policy.pools if pool.name == event.pool] if event.pool else scale.in_order(state)
    if not named:
        problem = f"there is no pool {event.pool!r}" if event.pool else "no pool of the settings can grow"
        known = ", ".join(pool.name for pool in state.policy.pools) or "none"
        reject(state, event.reply, Rejection(RejectionKind.UNKNOWN_POOL, f"{problem}; there are: {known}"))
        return
    pool = named[0]
    there = len(state.by_pool.get(pool.name, {}))
    fits = max(0, min(event.count, pool.max_workers - there))
    made = [
        instances.start(state, pool, "requested by an operator", keep_alive=event.keep_alive).row.worker
        for _ in range(fits)
    ]
    notes = []
    if fits < event.count:
        notes.append(
            f"{event.count - fits} do not fit: pool {pool.name} has its limit of {pool.max_workers} "
            f"({there} are there, those that are stopping included)"
        )
    full = state.pools[pool.name].full
    if full and fits:
        notes.append(f"the provider made none the last time: {full}")
    answer(state, event.reply, pool=pool.name, workers=made, notes=notes)


def on_terminate(state: State, event: TerminateAsked) -> None:
    rejections = [
        Rejection(RejectionKind.UNKNOWN_WORKER, f"the boss started no worker {name!r}")
        for name in event.workers
        if instance_of(state, name) is None
    ]
    rejections += [
        Rejection(RejectionKind.UNKNOWN_POOL, f"there is no pool {name!r}")
        for name in event.pools
        if name not in state.by_pool.keys() | state.pools
    ]
    if rejections:
        reject(state, event.reply, *rejections)
        return
    ended, draining, notes = [], [], []
    for instance in list(state.instances.values()):
        if instance.state not in ALIVE or not _meant(instance, event):
            continue
        worker = state.workers.get(instance.row.worker)
        if event.now or worker is None or not worker.attempts:
            instances.stop(state, instance, "terminated by an operator")
            ended.append(instance.row.worker)
        else:
            _drain(state, worker, True, "terminated by an operator")
            draining.append(worker.id)
    if draining:
        notes.append(f"{len(draining)} finish what they hold first; --now stops them at once")
    if any(waiting.count for waiting in state.ready.by_demand.values()):
        notes.append("while there is work the pools start others: pause batches to keep it from that")
    answer(state, event.reply, ended=ended, draining=draining, notes=notes)


def _meant(instance: Instance, event: TerminateAsked) -> bool:
    if event.workers or event.pools:
        return instance.row.worker in event.workers or instance.row.pool in event.pools
    return instance.row.provider != LOCAL and instance.row.worker != DATASTORE


def on_drop_workers(state: State, event: DropWorkersAsked) -> None:
    """What they have goes to others, as if they had died; one that reports again is a worker again."""
    rejections = [unknown_worker(name) for name in event.workers if _there(state, name) is None]
    if rejections:
        reject(state, event.reply, *rejections)
        return
    dropped, living = [], []
    for worker in list(state.workers.values()):
        chosen = worker.id in event.workers or event.all or (not event.workers and worker.state is WorkerState.LOST)
        if worker.state is WorkerState.GONE or not chosen:
            continue
        leases.gone(state, worker, "dropped by an operator")
        dropped.append(worker.id)
        instance = instance_of(state, worker.id)
        if instance is not None and instance.state is not InstanceState.STOPPING:
            living.append(worker.id)
    notes = []
    if living:
        notes.append(
            f"what {len(living)} of them run in lives on and says hello again: terminate_workers stops it "
            f"({', '.join(living[:5])}{', ...' if len(living) > 5 else ''})"
        )
    answer(state, event.reply, dropped=dropped, notes=notes)


def _there(state: State, name: str) -> Worker | None:
    worker = state.workers.get(name)
    return worker if worker is not None and worker.state is not WorkerState.GONE else None


def on_stop(state: State, event: StopAsked) -> None:
    """From now on nothing new is sent; local workers stop, and then the boss does (`scale.settle`)."""
    state.stopping = True
    state.scale_due = True
    if not event.workers:
        for instance in list(state.instances.values()):
            state.remove_instance(instance)


# --- answers -----------------------------------------------------------------------------------------


def answer(state_: State, reply: int, **value: object) -> None:
    if reply:
        state_.effects.append(Answer(reply=reply, value=value))


def reject(state: State, reply: int, *rejections: Rejection) -> None:
    if reply:
        state.effects.append(Answer(reply=reply, rejections=list(rejections)))


def unknown_worker(worker: str) -> Rejection:
    return Rejection(RejectionKind.UNKNOWN_WORKER, f"worker {worker!r} is not there")
