"""What workers report, and what their silence means.

A report is about (task, attempt) pairs; one that is not live any more changes nothing and is answered by
an acknowledgement, so that the worker forgets it (and kills it, if it runs). The exception is the newest
attempt of a task that was taken for lost and has no successor yet: that one is taken up again.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from boss.core import (
    attempts,
    claims,
    host_keys,
    instances,
    leases,
    machine_faults,
    moves,
    pausing,
    quarantine,
    retry,
    upgrade,
)
from boss.core.assignment import window
from boss.core.effects import SendToWorker, ToWorker
from boss.core.events import LoginGranted, PresenceSeen, WorkerReported
from boss.core.graph import CANCELLING
from boss.core.instance_state import instance_said_hello
from boss.core.model import Ended, InstanceState, Phase, TaskState, WorkerState
from boss.core.reasons import ReportRejection
from boss.core.rows import WorkerRow
from boss.core.state import Attempt, State, Worker
from wire.messages import (
    REASON_KEPT,
    VERSION,
    AttemptKey,
    Drain,
    Heartbeat,
    HeldAttempt,
    InputsMissing,
    Leaving,
    Outcome,
    PhaseReached,
    Resume,
    Returned,
    SayHello,
    TakeBack,
    Welcome,
    WorkerHello,
    WorkerReport,
    WorkerReports,
    shortened,
)

#: So many starts of one worker within so many seconds are accepted.
STARTS, STARTS_WITHIN = 30, 60.0

#: Characters of the command that failed that are kept: what one argument of a program may hold.
COMMAND_KEPT = 128 * 1024

#: Former incarnations of a worker that are remembered, to know their late messages for what they are.
FORMER = 8

#: States of workers that are there.
_PRESENT = (WorkerState.ONLINE, WorkerState.DRAINING)

# --- a message comes in ----------------------------------------------------------------------------


def on_reported(state: State, event: WorkerReported) -> None:
    message = event.message
    if message.worker != event.worker:
        state.reject(ReportRejection.OTHER_WORKER)
        return
    if message.deployment != state.deployment:
        state.reject(ReportRejection.OTHER_DEPLOYMENT)
        return
    worker = state.workers.get(event.worker)
    if worker is not None and _of_the_past(worker, message):
        state.reject(ReportRejection.FORMER_INCARNATION)
        return
    hello = next((report for report in message.reports if isinstance(report, WorkerHello)), None)
    if host_keys.refused(state, worker, message, hello):
        return
    late = False
    if worker is None or worker.incarnation != message.incarnation or worker.state is WorkerState.GONE:
        if hello is None:
            ask_for_hello(state, event.worker, message.incarnation)
            return
        if worker is not None and _starts_too_often(state, worker):
            state.reject(ReportRejection.STARTED_TOO_OFTEN)
            return
        worker = _introduce(state, message, hello, worker)
        state.other_versions.pop(worker.id, None)
    elif message.number <= worker.report_number:
        # A late copy: its reports are idempotent, but its hello would state the past, and it is no sign of life.
        hello, late = None, True
    if worker.state is WorkerState.LOST and hello is None:
        ask_for_hello(state, worker.id, worker.incarnation)
        _reports(state, worker, [report for report in message.reports if isinstance(report, Outcome)])
        return
    if not late:
        worker.report_number = message.number
        worker.heard = state.now
        worker.connected = True
    if message.epoch == state.epoch:
        for number in message.confirms:
            worker.unconfirmed.pop(number, None)
    if hello is not None:
        _hello(state, worker, hello)
    _reports(state, worker, message.reports)
    state.changed_workers[worker.id] = None


def _of_the_past(worker: Worker, message: WorkerReports) -> bool:
    """True: sent by a former incarnation, or before its instance was seen to end."""
    gone = worker.state is WorkerState.GONE and worker.incarnation == message.incarnation
    return message.incarnation in worker.former or (gone and message.number <= worker.report_number)


def _starts_too_often(state: State, worker: Worker) -> bool:
    """Each start is rows and a line of the journal; an honest agent says hello again until it is welcomed."""
    worker.starts = [when for when in worker.starts if state.now - when < STARTS_WITHIN]
    return len(worker.starts) >= STARTS


def ask_for_hello(state: State, worker_id: str, incarnation: str) -> None:
    """An incarnation that this boss does not know (any more) reports: its hello is to state what it holds."""
    send_to_incarnation(state, worker_id, incarnation, [SayHello()])


def send_to_incarnation(
    state: State, worker_id: str, incarnation: str, orders: list[ToWorker], version: int = VERSION
) -> None:
    """At the end of the turn, and not again if lost: to one whose hello was not accepted, or no longer counts."""
    worker = state.workers.get(worker_id)
    if worker is not None and worker.incarnation == incarnation:
        worker.number += 1
        number = worker.number
    else:
        number = state.unknown_incarnations[worker_id] = (
            max(state.unknown_incarnations.get(worker_id, 0), worker.number if worker else 0) + 1
        )
    state.effects.append(
        SendToWorker(worker=worker_id, incarnation=incarnation, number=number, orders=orders, version=version)
    )


def _reports(state: State, worker: Worker, reports: list[WorkerReport]) -> None:
    for report in reports:
        handler = _HANDLERS.get(type(report))
        if handler is not None:
            handler(state, worker, report)


def on_presence(state: State, event: PresenceSeen) -> None:
    """A hint only: leases decide. An offline worker is sent nothing new; a late one is known by its incarnation.

    A worker that was started manually knew of no deployment when it left its last will with the broker.
    """
    presence = event.message
    if presence.deployment not in (state.deployment, ""):
        return
    worker = state.workers.get(presence.name)
    if worker is not None and worker.incarnation == presence.incarnation:
        worker.connected = presence.online
        state.changed_workers[worker.id] = None


def on_granted(state: State, event: LoginGranted) -> None:
    """An operator has made, changed or removed a login: what its worker is follows with its next hello."""
    if event.grant is None:
        state.grants.pop(event.worker, None)
    else:
        state.grants[event.worker] = event.grant
    worker = state.workers.get(event.worker)
    if worker is not None and worker.state in _PRESENT:
        ask_for_hello(state, worker.id, worker.incarnation)


# --- hello -----------------------------------------------------------------------------------------


def _introduce(state: State, message: WorkerReports, hello: WorkerHello, old: Worker | None) -> Worker:
    """A worker that is new, or a new incarnation of a known one."""
    if old is not None:
        old.unconfirmed.clear()
        died = leases.died_alone(state, old)
        for key in hello.died:
            if key in old.attempts:
                attempts.begin(state, old.attempts[key])  # its report of that died with it
        _lose_absent(state, old, hello.held, f"worker {old.id} was restarted without it", died=died)
    _count_deaths(state, message.worker, hello.died)
    place = host_keys.place_of(old, hello.place)
    kept = host_keys.quarantine_of(old)
    kind, claim = claims.believed(state, message.worker, hello)
    row = WorkerRow(
        id=message.worker,
        incarnation=message.incarnation,
        state=WorkerState.ONLINE.value,
        pool=kind.pool,
        slots=kind.slots,
        memory=kind.memory,
        labels=dict(kind.labels),
        place=attempts.encode(place),
        address=hello.address,
        quarantined=kept.text if kept is not None else "",
        draining=False,
        program=hello.program,
        first_seen_at=old.row.first_seen_at if old is not None else state.wall,
        changed_at=state.wall,
        quarantined_kind=kept.kind.value if kept is not None else "",
    )
    worker = Worker(row, place, state.now)
    worker.claim = claim
    worker.starts = [*(old.starts if old is not None else ()), state.now]
    worker.number = state.unknown_incarnations.pop(message.worker, 0)
    if old is not None:
        window.unmark_free_slots(state, old)
        worker.number = max(worker.number, old.number)
        worker.former = [name for name in [*old.former, old.incarnation] if name != worker.incarnation][-FORMER:]
        worker.attempts = old.attempts
        worker.load = old.load
        # A new start drains no more: what was sent about that to the one before it is not for this one.
        worker.outbox = [order for order in old.outbox if not isinstance(order, Drain | Resume)]
        worker.seconds, worker.inputs = old.seconds, old.inputs
        worker.strikes, worker.struck, worker.blamed = old.strikes, old.struck, old.blamed
        worker.faulted, worker.worked = old.faulted, old.worked
        worker.probe_at, worker.probe_due = old.probe_at, old.probe_due
        worker.probing, worker.probes = old.probing, old.probes
        worker.lease_planned = old.lease_planned
        worker.refused_host = host_keys.refused_host_of(old, worker.incarnation)
        worker.resend_planned = old.resend_planned
    before = old.state.value if old is not None else "new"
    state.workers[worker.id] = worker
    state.changes.workers[worker.id] = worker.row
    state.journal("worker", worker.id, 0, before, worker.state.value, f"hello of incarnation {worker.incarnation}")
    leases.plan_lease(state, worker, state.now + state.policy.lease)
    _of_instance(state, worker)
    return worker


def _of_instance(state: State, worker: Worker) -> None:
    """It runs in an instance that was asked for."""
    instance = instance_said_hello(state, worker.id)
    if worker.kind.pool in state.pools:
        state.pools[worker.kind.pool].slots = _usual_slots(state, worker.kind.pool)
    if instance is None:
        return
    worker.row.keep_alive = instance.row.keep_alive
    if instance.state is InstanceState.STOPPING:  # it says hello after its stop was requested
        instances.drain(state, instance)


def _usual_slots(state: State, pool: str) -> int:
    """Slots of a worker of this pool: the median, so that what one of them states does not size the others."""
    slots = sorted(one.slots for one in state.workers.values() if one.kind.pool == pool and one.state in _PRESENT)
    return slots[(len(slots) - 1) // 2]


def _hello(state: State, worker: Worker, hello: WorkerHello) -> None:
    """It states what it holds: afterwards both sides agree."""
    worker.connected = True
    worker.unconfirmed.clear()
    claims.apply(state, worker, hello)
    if worker.state is WorkerState.LOST:
        leases.set_worker_state(
            state, worker, WorkerState.DRAINING if worker.draining else WorkerState.ONLINE, "it came back"
        )
        leases.plan_lease(state, worker, state.now + state.policy.lease)
    worker.initialized = dict.fromkeys(hello.initialized)
    worker.cached.begin(hello.cached)
    host_keys.check_keys(state, worker, hello.place)
    orphan_after = state.orphan_after(worker.kind.pool)
    state.send(
        worker,
        Welcome(
            heartbeat_seconds=state.policy.heartbeat,
            orphan_after_seconds=orphan_after,
            lease_seconds=state.policy.lease,
            hello=worker.report_number,
        ),
    )
    if worker.draining:
        state.send(worker, Drain())
    elif hello.draining:
        state.send(worker, Resume())  # the first one was lost: else it gives back whatever it is sent
    stated = {(item.task, item.attempt): item for item in hello.held}
    for key, attempt in list(worker.attempts.items()):
        if key in stated:
            continue
        if attempt.started():
            # It has forgotten what it started: only an acknowledgement or a new start makes it do so.
            attempts.lose(state, attempt, f"worker {worker.id} no longer has it")
        elif attempts.superseded(attempt):
            attempts.end_superseded(state, attempt, f"worker {worker.id} does not have it")
        elif attempt.cancelling:
            attempts.cancel(state, attempt)  # not sent again: a worker answers for what it never had, too
        elif attempt.asked_back:
            state.send(worker, TakeBack(task=attempt.task, attempt=attempt.attempt))
        else:
            attempts.order_run(state, worker, attempt)
    for key, item in stated.items():
        _still_held(state, worker, key, item)
    state.uninitialized[worker.id] = None
    worker.bundle = hello.bundle
    upgrade.check_bundle(state, worker)
    if worker.quarantined and worker.probing is None:
        quarantine.take_back_all(state, worker)


def _still_held(state: State, worker: Worker, key: AttemptKey, item: HeldAttempt) -> None:
    attempt = find_or_reopen(state, worker, key)
    if attempt is None:
        attempts.acknowledge(state, worker, key)
        return
    if item.phase == "executing":
        attempts.begin(state, attempt)
    elif item.phase == "staging" and attempt.staging and not attempt.started():
        attempts.stage_again(state, attempt)
    if attempts.superseded(attempt):
        attempts.kill_superseded(state, attempt)
    elif attempt.cancelling and attempt.phase is not Phase.COLLECTING:
        attempts.cancel(state, attempt)
    elif attempt.asked_back and not attempt.started():
        state.send(worker, TakeBack(task=attempt.task, attempt=attempt.attempt))
    # `ended` and `returned`: the outcome or the Returned follows in a report of its own.


def _lose_absent(state: State, worker: Worker, held: list[HeldAttempt], reason: str, *, died: bool) -> None:
    """A new incarnation has only what it states; the rest died with the old one."""
    stated = {(item.task, item.attempt) for item in held}
    for key, attempt in list(worker.attempts.items()):
        if key not in stated:
            attempts.lose(state, attempt, reason, died=died)


def _count_deaths(state: State, worker: str, keys: list[AttemptKey]) -> None:
    """They died with this worker, which was seen to end before it could report that they had started."""
    for task, attempt in keys:
        found = state.find(task)
        if found is not None and state.unclear_deaths.get(task) == (attempt, worker):
            del state.unclear_deaths[task]
            found[0].deaths[found[1]] += 1
            moves.touch(state, *found)


def find_or_reopen(state: State, worker: Worker, key: AttemptKey) -> Attempt | None:
    """The live attempt, if this worker has it; one taken for lost, if its task has no successor yet."""
    attempt = state.attempts.get(key)
    if attempt is not None:
        return attempt if attempt.worker == worker.id else None
    found = state.find(key[0])
    if found is None:
        return None
    batch, index = found
    if batch.states[index] != TaskState.QUEUED or state.lost.get(key[0]) != (key[1], worker.id):
        return None
    return attempts.reopen(state, worker, batch, index, key)


# --- single reports --------------------------------------------------------------------------------


def _phase(state: State, worker: Worker, report: PhaseReached) -> None:
    key = (report.task, report.attempt)
    attempt = find_or_reopen(state, worker, key)
    if attempt is None:
        attempts.acknowledge(state, worker, key)
    elif report.phase == "executing":
        attempts.begin(state, attempt)


def _returned(state: State, worker: Worker, report: Returned) -> None:
    key = (report.task, report.attempt)
    attempt = state.attempts.get(key)
    attempts.acknowledge(state, worker, key)
    if attempt is None or attempt.worker != worker.id or attempt.started():
        return
    attempts.end(state, attempt, Ended.RETURNED, "given back before it started")
    if not attempt.init:
        attempts.settle_task(state, attempt, Ended.RETURNED, "")


def _inputs_missing(state: State, worker: Worker, report: InputsMissing) -> None:
    attempt = state.attempts.get((report.task, report.attempt))
    if attempt is None or attempt.worker != worker.id:
        attempts.acknowledge(state, worker, (report.task, report.attempt))
        return
    worker.cached.drop(report.digests)
    if not attempt.started() and not attempts.superseded(attempt):
        attempt.missed = True
        attempts.stage_again(state, attempt)


def _heartbeat(state: State, worker: Worker, report: Heartbeat) -> None:
    worker.cached.drop(report.dropped)
    worker.cached.add(report.cached)
    for task, number, fraction in report.progress:
        if (task, number) in worker.attempts:
            worker.progress[task] = fraction


def _leaving(state: State, worker: Worker, report: Leaving) -> None:
    if not worker.draining:
        worker.leaving = True
        worker.draining = worker.row.draining = True
        leases.set_worker_state(state, worker, WorkerState.DRAINING, shortened(report.reason) or "it was asked to stop")


def _outcome(state: State, worker: Worker, outcome: Outcome) -> None:
    key = (outcome.task, outcome.attempt)
    if len(outcome.reason) > REASON_KEPT or len(outcome.command) > COMMAND_KEPT:
        reason, command = shortened(outcome.reason), outcome.command[:COMMAND_KEPT]
        outcome = msgspec.structs.replace(outcome, reason=reason, command=command)
    attempt = find_or_reopen(state, worker, key)
    if attempt is None:
        attempts.acknowledge(state, worker, key)
        return
    if attempt.phase is Phase.COLLECTING:
        return  # reported again: the acknowledgement waits for the datastore's answer
    if attempt.init:
        _init_outcome(state, worker, attempt, outcome)
        return
    if attempts.superseded(attempt):
        _finish(state, worker, attempt, outcome, Ended.SUPERSEDED)
        return
    _learn(state, worker, attempt, outcome)
    pausing.spend(state, worker, attempt, outcome.seconds)
    if outcome.fault != "worker" and outcome.exit_code is not None:  # a process of its has run to its end
        machine_faults.worked(worker, attempt.began)
    if outcome.ended == "succeeded":
        quarantine.clear_strikes(worker)
        if outcome.manifest or outcome.folders:
            attempts.collect(state, attempt, outcome)
            return
        _finish(state, worker, attempt, outcome, Ended.SUCCEEDED)
    elif outcome.ended == "cancelled":
        cancelled = attempt.cancelling or bool(attempt.batch.flags[attempt.index] & CANCELLING)
        _finish(state, worker, attempt, outcome, Ended.CANCELLED if cancelled else Ended.LOST)
    elif outcome.fault == "worker":
        _machine_failed(state, worker, attempt, outcome)
    else:
        quarantine.clear_strikes(worker)
        _finish(state, worker, attempt, outcome, Ended(outcome.ended))


def _machine_failed(state: State, worker: Worker, attempt: Attempt, outcome: Outcome) -> None:
    """Not the task's fault, until it meets it wherever it goes; a worker that fails at everything is quarantined."""
    faults = machine_faults.add(state, worker, outcome.task)
    demand = state.ready.of(attempt.batch.profile(attempt.index)).demand
    usable = [each for each in state.workers.values() if each is worker or (each.serves() and demand.fits(each.kind))]
    if machine_faults.is_the_tasks(state, outcome.task, usable):
        reason = machine_faults.sentence(state, outcome.task, outcome.reason)
        attempts.keep_outcome(attempt.row, outcome)
        attempts.end(state, attempt, Ended.LOST, outcome.reason)
        attempts.acknowledge(state, worker, attempt.key)
        attempts.fail_task(state, attempt, reason, "its attempts were failed by their machines")
        quarantine.release_struck(state, outcome.task)
        return
    tries = max(worker.strikes + 1, faults.total)
    wait = retry.backoff(state.policy.restart, state.policy.restart_max, tries, attempt.task)
    _finish(state, worker, attempt, outcome, Ended.LOST, wait)
    if len(faults.workers) == 1:  # else another worker has failed it as well: it is suspected, not this one
        quarantine.strike(state, worker, outcome.task, outcome.reason)


def _finish(state: State, worker: Worker, attempt: Attempt, outcome: Outcome, how: Ended, wait: float = 0.0) -> None:
    if how in (Ended.SUCCEEDED, Ended.FAILED, Ended.TIMED_OUT):
        attempts.begin(state, attempt)
    attempts.keep_outcome(attempt.row, outcome)
    attempts.end(state, attempt, how, outcome.reason)
    attempts.acknowledge(state, worker, attempt.key)
    attempts.settle_task(state, attempt, how, outcome.reason, outcome.exit_code, wait)


def _learn(state: State, worker: Worker, attempt: Attempt, outcome: Outcome) -> None:
    """How long such tasks take, and how fast this worker is done with one."""
    if outcome.ended != "succeeded":
        return
    seconds = min(max(outcome.seconds, 0.0), pausing.MAX_SECONDS)  # whatever it reports
    state.durations.learn(attempt.batch.profile(attempt.index).template, worker.kind.pool, seconds)
    mean = worker.seconds
    worker.ended_at = state.now
    worker.seconds = seconds if mean is None else mean + 0.1 * (seconds - mean)


def _init_outcome(state: State, worker: Worker, attempt: Attempt, outcome: Outcome) -> None:
    attempts.begin(state, attempt)
    attempts.keep_outcome(attempt.row, outcome)
    how = Ended(outcome.ended)
    attempts.end(state, attempt, how, outcome.reason)
    attempts.acknowledge(state, worker, attempt.key)
    if how is Ended.SUCCEEDED:
        worker.initialized[attempt.task] = None
        worker.init_failures.pop(attempt.task, None)
    else:
        quarantine.init_failed(state, worker, attempt, outcome.reason)


_HANDLERS: dict[type, Callable[..., None]] = {
    PhaseReached: _phase,
    Returned: _returned,
    InputsMissing: _inputs_missing,
    Heartbeat: _heartbeat,
    Leaving: _leaving,
    Outcome: _outcome,
}
