"""The life of an attempt: sent, started, collected, ended; and what then becomes of its task.

`end` is the one way out of `State.attempts`. What follows for the task is decided by `settle_task`: done,
tried again, failed, cancelled. docs/protocol.md has the rules.
"""

from __future__ import annotations

import msgspec

from boss.core import dropped, machine_faults, moves, outdated, quarantine, retry
from boss.core.effects import RunOrder, StageOrder
from boss.core.graph import CANCELLING, Batch
from boss.core.instance_state import waits_for_nic
from boss.core.legal import ATTEMPT_MOVES
from boss.core.model import Ended, Phase, TaskState
from boss.core.rows import AttemptRow
from boss.core.state import Attempt, State, Worker
from boss.core.story import illegal
from wire.messages import Abandon, Acknowledge, AttemptKey, Collect, CollectFile, Kill, Outcome, Place

#: Attempts in one order; a worker may report of as many as it likes.
ACKNOWLEDGED_AT_ONCE = 1_000

_NOWHERE = Place(path="")
encode = msgspec.json.Encoder().encode


def send(state: State, worker: Worker, batch: Batch, index: int) -> None:
    """A new attempt of a ready task, ahead to this worker."""
    batch.attempts[index] += 1
    outdated.forget(state, batch, index)
    number = batch.first + index
    attempt = _open(state, worker, batch, index, (number, batch.attempts[index]), init=False)
    state.lost.pop(number, None)
    moves.touch(state, batch, index)
    order_run(state, worker, attempt)


def send_init(state: State, worker: Worker, batch: Batch, position: int) -> None:
    """An execution of one of the batch's init tasks on this worker."""
    row = batch.inits[position]
    row.attempt += 1
    state.changes.inits[row.number] = row
    attempt = _open(state, worker, batch, position, (row.number, row.attempt), init=True)
    state.nics_due[worker.id] = None
    order_run(state, worker, attempt)


def initialize(state: State, worker: Worker, batch: Batch) -> None:
    """The batch's init tasks come before its first other task on this worker."""
    under_way = {attempt.task for attempt in worker.attempts.values() if attempt.init}
    for position, row in enumerate(batch.inits):
        if not row.retired and row.number not in worker.initialized and row.number not in under_way:
            send_init(state, worker, batch, position)


def reopen(state: State, worker: Worker, batch: Batch, index: int, key: AttemptKey) -> Attempt:
    """The worker is back with an attempt that was taken for lost, and its task has no other one yet."""
    moves.leave_queue(state, batch, index)
    attempt = _open(state, worker, batch, index, key, init=False, ended=Ended.LOST)
    if attempt.phase is Phase.STAGING:
        state.at_datastore[key] = None  # asked again soon, unless it turns out to have started
    return attempt


def _open(
    state: State,
    worker: Worker,
    batch: Batch,
    index: int,
    key: AttemptKey,
    *,
    init: bool,
    ended: Ended | None = None,
) -> Attempt:
    """It is live from here on. `ended`: how it had ended; None: it is a new one."""
    phase = Phase.STAGING if batch.requires_inputs(index, init=init) else Phase.STAGED
    cause = f"sent to {worker.id}" if ended is None else f"worker {worker.id} came back with it"
    if ended is not None:
        _check_move(state, key, ended, phase, cause)
    row = AttemptRow(*key, worker.id, worker.incarnation, phase.value, sent_at=state.wall)
    attempt = Attempt(batch, index, row, init=init)
    state.attempts[key] = attempt
    worker.attempts[key] = attempt
    batch.live += 1
    if not init:
        attempt.slots = min(batch.profile(index).slots, worker.slots)
    state.load(worker, attempt.slots)
    save(state, attempt)
    state.journal("attempt", str(key[0]), key[1], ended.value if ended else "new", phase.value, cause)
    return attempt


def set_phase(state: State, attempt: Attempt, to: Phase, cause: str) -> None:
    """The one place where the phase of a live attempt changes (`end` ends it). Raises IllegalMoveError."""
    before = attempt.phase
    if before is not to:
        _check_move(state, attempt.key, before, to, cause)
        state.remember("attempt", str(attempt.task), attempt.attempt, before.value, to.value, cause)
        attempt.phase = to
    save(state, attempt)


def _check_move(state: State, key: AttemptKey, before: Phase | Ended, to: Phase | Ended, cause: str) -> None:
    if to not in ATTEMPT_MOVES[before]:
        raise illegal(state, "attempt", key[0], before, to, cause, attempt=key[1])


def order_run(state: State, worker: Worker, attempt: Attempt) -> None:
    """Send (again) the order to run it, and have its inputs staged. An init execution may wait for a NIC."""
    if attempt.init and waits_for_nic(state, worker.id):
        return
    batch = attempt.batch
    state.send(
        worker,
        RunOrder(
            task=attempt.task,
            attempt=attempt.attempt,
            batch=batch.number,
            staging=attempt.staging,
            inits=() if attempt.init else tuple(row.number for row in batch.inits if not row.retired),
            init=attempt.init,
        ),
    )
    if attempt.staging:
        stage_again(state, attempt)


def stage_again(state: State, attempt: Attempt) -> None:
    """Its inputs are to be brought to its worker, whatever was reported of that before."""
    set_phase(state, attempt, Phase.STAGING, "its inputs are to be brought again")
    ask_datastore(state, attempt)


def ask_datastore(state: State, attempt: Attempt) -> None:
    """Send (again) what the datastore has not answered: staging, collecting or abandoning."""
    state.at_datastore[attempt.key] = None
    attempt.asked_at = state.now
    if attempt.phase is Phase.STAGING:
        if superseded(attempt):
            return  # its requirements are the task's former ones: only its end is waited for
        place = state.workers[attempt.worker].place
        if place is not None:
            state.ask(
                StageOrder(
                    task=attempt.task,
                    attempt=attempt.attempt,
                    worker=attempt.worker,
                    place=place,
                    cached=not attempt.missed,
                )
            )
    elif attempt.phase is Phase.COLLECTING:
        if attempt.abandoning:
            state.ask(Abandon(task=attempt.task, attempt=attempt.attempt, reason=attempt.abandoning))
        else:
            state.ask(_collect_order(state, attempt))


def _collect_order(state: State, attempt: Attempt) -> Collect:
    worker = state.workers.get(attempt.worker)
    place = (worker.place if worker is not None else None) or _NOWHERE
    prefix = tree_prefix(attempt.batch.row.project)
    outcome = attempt.outcome
    return Collect(
        task=attempt.task,
        attempt=attempt.attempt,
        worker=attempt.worker,
        place=place,
        files=[
            CollectFile(
                source=entry.source,
                target=prefix + entry.target,
                size=entry.size,
                digest=entry.digest,
                executable=entry.executable,
            )
            for entry in (outcome.manifest if outcome is not None else ())
        ],
        folders=[
            msgspec.structs.replace(folder, target=prefix + folder.target)
            for folder in (outcome.folders if outcome is not None else ())
        ],
    )


def tree_prefix(project: str) -> str:
    """Where a project's names begin in the datastore's tree."""
    return "" if project == "default" else f"projects/{project}/"


def begin(state: State, attempt: Attempt) -> None:
    """Its first command runs."""
    if attempt.started():
        return
    attempt.began_at, attempt.began = state.wall, state.now
    set_phase(state, attempt, Phase.EXECUTING, "its first command runs")
    state.at_datastore.pop(attempt.key, None)
    if not attempt.init:
        moves.move(state, attempt.batch, attempt.index, TaskState.RUNNING, f"started on {attempt.worker}")


def collect(state: State, attempt: Attempt, outcome: Outcome) -> None:
    """Its commands succeeded and left results: from here on the datastore decides how it ends."""
    begin(state, attempt)
    set_phase(state, attempt, Phase.COLLECTING, "its commands succeeded and left results")
    attempt.outcome = outcome
    _free_slots(state, attempt)
    keep_outcome(attempt.row, outcome)
    ask_datastore(state, attempt)


def abandon(state: State, attempt: Attempt, how: Ended) -> None:
    """Ask the datastore to give its collection up; it answers Published or Abandoned."""
    if attempt.abandoning:
        return
    attempt.abandoning = how.value
    save(state, attempt)
    ask_datastore(state, attempt)


def cancel(state: State, attempt: Attempt) -> None:
    """A user cancels its task."""
    if not attempt.init:
        attempt.batch.flags[attempt.index] |= CANCELLING
        moves.touch(state, attempt.batch, attempt.index)
    attempt.cancelling = True
    if attempt.phase is Phase.COLLECTING:
        abandon(state, attempt, Ended.CANCELLED)
    else:
        state.send(state.workers[attempt.worker], Kill(task=attempt.task, attempt=attempt.attempt))


def supersede(state: State, attempt: Attempt) -> None:
    """Its task is to run again (replaced, or below a replaced one): the outcome of this attempt does not count.

    The task goes on when the attempt has ended. Also written to its row, so that a restart knows it.
    """
    if not attempt.init:
        attempt.batch.flags[attempt.index] &= ~CANCELLING
        attempt.batch.failures[attempt.index] = attempt.batch.deaths[attempt.index] = 0
        outdated.forget(state, attempt.batch, attempt.index)
        moves.touch(state, attempt.batch, attempt.index)
    if superseded(attempt):
        return
    attempt.abandoning = Ended.SUPERSEDED.value
    save(state, attempt)
    if attempt.phase is Phase.COLLECTING:
        ask_datastore(state, attempt)
    else:
        attempt.asked_back = True  # by a Kill, which ends it also if it has started
        kill_superseded(state, attempt)


def superseded(attempt: Attempt) -> bool:
    """True: it was sent for what its task was before, and its end counts for nothing."""
    return attempt.abandoning == Ended.SUPERSEDED


def kill_superseded(state: State, attempt: Attempt) -> None:
    """Send (again) the order to end it, started or not."""
    if attempt.phase is not Phase.COLLECTING:
        state.send(
            state.workers[attempt.worker],
            Kill(task=attempt.task, attempt=attempt.attempt, reason="replaced by a later push"),
        )


def end_superseded(state: State, attempt: Attempt, reason: str) -> None:
    """It has ended, however; its task is run again."""
    end(state, attempt, Ended.SUPERSEDED, reason)
    settle_task(state, attempt, Ended.SUPERSEDED, "")


def ask_back(state: State, batch: Batch) -> None:
    """The batch is paused: what was sent ahead of it and has not started waits as well."""
    for attempt in state.attempts.values():
        if attempt.batch is batch and not attempt.init:
            moves.take_back(state, attempt)


def end(state: State, attempt: Attempt, how: Ended, reason: str = "") -> None:
    """It is over, and on no list of live ones any more. What becomes of its task is not decided here.

    Raises IllegalMoveError.
    """
    key = attempt.key
    _check_move(state, key, attempt.phase, how, reason)
    del state.attempts[key]
    state.at_datastore.pop(key, None)
    worker = state.workers.get(attempt.worker)
    if worker is not None and worker.attempts.get(key) is attempt:
        _free_slots(state, attempt)
        del worker.attempts[key]
        worker.progress.pop(attempt.task, None)
    if attempt.init and worker is not None:
        state.nics_due[worker.id] = None
        if how is not Ended.SUCCEEDED:
            state.uninitialized[worker.id] = None
    batch = attempt.batch
    batch.live -= 1
    state.dirty_batches[batch.number] = None
    if worker is not None and worker.probing == key:
        quarantine.probe_ended(state, worker, how)
    row = attempt.row
    row.ended = how.value
    row.reason = reason or row.reason
    row.abandoning = ""
    row.ended_at = state.wall
    state.changes.attempts[key] = row
    state.journal("attempt", str(attempt.task), attempt.attempt, attempt.phase.value, how.value, reason)


def lose(state: State, attempt: Attempt, reason: str, *, died: bool = False) -> None:
    """Its worker is gone or silent. `died`: seen to die, not just silent (counts towards poison)."""
    if attempt.phase is Phase.COLLECTING:
        worker = state.workers.get(attempt.worker)
        if worker is not None:
            worker.attempts.pop(attempt.key, None)
            worker.progress.pop(attempt.task, None)
        abandon(state, attempt, Ended.LOST)
        return
    if superseded(attempt):
        end_superseded(state, attempt, reason)
        return
    executed = attempt.phase is Phase.EXECUTING
    end(state, attempt, Ended.LOST, reason)
    if attempt.init:
        return
    batch, index = attempt.batch, attempt.index
    if died and executed:
        batch.deaths[index] += 1
        moves.touch(state, batch, index)
    elif died:
        state.unclear_deaths[attempt.task] = (attempt.attempt, attempt.worker)
    settle_task(state, attempt, Ended.LOST, reason)
    if not died and batch.states[index] == TaskState.QUEUED:
        state.lost[attempt.task] = (attempt.attempt, attempt.worker)


def settle_task(
    state: State,
    attempt: Attempt,
    how: Ended,
    reason: str,
    exit_code: int | None = None,
    wait: float = 0.0,
    deaths: str = "died while they executed it",
) -> None:
    """The attempt has ended: where does its task go? If it is to run again, not for `wait` seconds.

    `deaths`: what the workers did whose deaths are counted, for the reason of a task that is failed as poison.
    """
    batch, index = attempt.batch, attempt.index
    cancelling = bool(batch.flags[index] & CANCELLING)
    batch.flags[index] &= ~CANCELLING
    if how not in (Ended.LOST, Ended.RETURNED):
        batch.deaths[index] = 0
        if state.machine_faults:
            machine_faults.forget(state, attempt.task)
    if how is Ended.SUCCEEDED:
        moves.move(state, batch, index, TaskState.SUCCEEDED, "its attempt succeeded")
        dropped.keep_if_needed(state, batch, index)
    elif cancelling:
        moves.move(state, batch, index, TaskState.CANCELLED, "cancelled by an operator", "cancelled")
    elif how in (Ended.FAILED, Ended.TIMED_OUT):
        retry.fail_or_retry(state, batch, index, how, reason, exit_code)
    elif batch.deaths[index] >= state.policy.deaths:
        poison = f"poison: {batch.deaths[index]} workers in a row {deaths}"
        moves.move(state, batch, index, TaskState.FAILED, "workers died under it", poison)
    else:
        if wait and moves.follows(batch, index) is TaskState.QUEUED:
            retry.delay(state, batch, index, wait)
        retry.requeue(state, batch, index, reason)


def fail_task(state: State, attempt: Attempt, reason: str, cause: str = "its inputs are not available") -> None:
    """Not worth a retry, wherever it runs."""
    batch, index = attempt.batch, attempt.index
    cancelling = bool(batch.flags[index] & CANCELLING)
    batch.flags[index] &= ~CANCELLING
    to = TaskState.CANCELLED if cancelling else TaskState.FAILED
    moves.move(state, batch, index, to, cause, reason)


def acknowledge(state: State, worker: Worker, key: AttemptKey, *, keep: bool = False) -> None:
    """Its end is (after this turn) on disk, or no longer required: the worker may forget it.

    `keep`: its results are inputs of other tasks, and may stay in the worker's cache.
    """
    outbox = worker.outbox
    if not (outbox and isinstance(outbox[-1], Acknowledge) and len(outbox[-1].attempts) < ACKNOWLEDGED_AT_ONCE):
        state.send(worker, Acknowledge(attempts=[]))
    order = outbox[-1]
    assert isinstance(order, Acknowledge)
    order.attempts.append(key)
    if keep:
        order.keep.append(key)


def keep_outcome(row: AttemptRow, outcome: Outcome) -> None:
    """What the worker reported of the end, into the attempt's row."""
    row.exit_code = outcome.exit_code
    row.command = outcome.command
    row.reason = outcome.reason
    row.fault = outcome.fault if outcome.ended != "succeeded" else ""
    row.stdout_tail = outcome.stdout_tail
    row.stderr_tail = outcome.stderr_tail
    row.seconds = outcome.seconds
    row.commands = encode(outcome.commands) if outcome.commands else b""
    row.manifest = encode(outcome.manifest) if outcome.manifest else b""
    row.figures = encode(outcome.figures) if outcome.figures else b""
    row.folders = encode(outcome.folders) if outcome.folders else b""


def save(state: State, attempt: Attempt) -> None:
    """Its row, with its present phase, is written in this turn."""
    attempt.row.phase = attempt.phase.value
    attempt.row.abandoning = attempt.abandoning
    attempt.row.began_at = attempt.began_at
    state.changes.attempts[attempt.key] = attempt.row


def _free_slots(state: State, attempt: Attempt) -> None:
    """Collecting and ended attempts hold no slot. Called once per attempt: slots become 0."""
    worker = state.workers.get(attempt.worker)
    if worker is not None and attempt.slots:
        state.load(worker, -attempt.slots)
        attempt.slots = 0
