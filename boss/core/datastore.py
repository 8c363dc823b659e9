"""What the datastore reports, and everything that is open with it.

The boss keeps no list of messages to the datastore: what is open stands in the state (attempts in staging
or collecting, sent files without a name, results looked up, publish records to forget), and `ask_all`
derives the orders from there, after a hello and after a restart alike.
"""

from __future__ import annotations

from collections.abc import Callable

from boss.core import attempts, fetches, host_keys, moves, pausing, quarantine
from boss.core.cached_inputs import KEPT_RESULTS
from boss.core.effects import SendToDatastore, StoreOrder, ToDatastore
from boss.core.events import DatastoreReported, InputsCached, OrdersLeftOut, PresenceSeen, ResultsUndeclared
from boss.core.instance_state import DATASTORE, instance_said_hello
from boss.core.model import Ended, Phase, TaskState
from boss.core.reasons import Pause, PauseKind, Quarantine, QuarantineKind, ReportRejection
from boss.core.rows import FileRow, ResultRow
from boss.core.state import Attempt, State, Worker
from wire.messages import (
    Abandoned,
    AttemptKey,
    DatastoreHeartbeat,
    DatastoreHello,
    Forget,
    Found,
    Input,
    Published,
    SayHello,
    SendFailed,
    Sent,
    Staged,
    StageDone,
    StageFailed,
    Stored,
    StoreFailed,
)

#: Keys of one Forget order.
FORGET_AT_ONCE = 2_000
#: Sent files whose error of storing is kept, to be shown.
FAILED_KEPT = 100


def on_reported(state: State, event: DatastoreReported) -> None:
    message = event.message
    if message.deployment != state.deployment:
        state.reject(ReportRejection.DATASTORE_OF_OTHER_DEPLOYMENT)
        return
    datastore = state.datastore
    hello = any(isinstance(report, DatastoreHello) for report in message.reports)
    if datastore.incarnation != message.incarnation:
        if not hello:
            ask_for_hello(state, message.incarnation)
            return
        datastore.incarnation = message.incarnation
        state.other_versions.pop(DATASTORE, None)
        datastore.report_number = 0
    elif message.number <= datastore.report_number:
        hello = False
    datastore.report_number = max(datastore.report_number, message.number)
    datastore.connected = True
    if message.epoch == state.epoch:
        for number in message.confirms:
            confirmed = datastore.unconfirmed.pop(number, None)
            if confirmed is not None:
                _confirmed(state, confirmed[1])
    if hello:
        datastore.unconfirmed.clear()
        datastore.outbox.clear()
        instance_said_hello(state, DATASTORE)
        ask_all(state)
    for report in message.reports:
        handler = _HANDLERS.get(type(report))
        if handler is not None:
            handler(state, report)


def on_presence(state: State, event: PresenceSeen) -> None:
    if event.message.incarnation == state.datastore.incarnation:
        state.datastore.connected = event.message.online


def ask_for_hello(state: State, incarnation: str) -> None:
    state.datastore.number += 1
    state.effects.append(SendToDatastore(incarnation=incarnation, number=state.datastore.number, orders=[SayHello()]))


def _confirmed(state: State, orders: list[ToDatastore]) -> None:
    """Taken orders are not answered one by one where taking them is all there is to do."""
    for order in orders:
        if isinstance(order, Forget):
            for task, attempt in order.attempts:
                if state.records.pop((task, attempt), None) is not None:
                    state.changes.records[(task, attempt)] = False


# --- everything that is open -----------------------------------------------------------------------


def ask_all(state: State) -> None:
    """Send all of it (again): the datastore has just said hello."""
    for row in state.files.values():
        ask_store(state, row)
    for key in list(state.at_datastore):
        attempts.ask_datastore(state, state.attempts[key])
    for task in list(state.looking_up):
        moves.look_up(state, task)
    fetches.ask_old(state, state.now)
    forget(state, list(state.records))


def ask_old(state: State) -> None:
    """Send again what has had no answer for long (a report may be lost with the broker)."""
    before = state.now - state.policy.ask_again
    for identity, asked in list(state.files_asked.items()):
        if asked <= before and identity in state.files:
            ask_store(state, state.files[identity])
    for key in list(state.at_datastore):
        attempt = state.attempts[key]
        if attempt.asked_at <= before:
            attempts.ask_datastore(state, attempt)
    for task, asked in list(state.looking_up.items()):
        if asked <= before:
            moves.look_up(state, task)
    fetches.ask_old(state, before)
    forget(state, [key for key, asked in state.records.items() if asked <= before])
    state.at(state.now + state.policy.ask_again, "ask_old", None)


def forget(state: State, keys: list[AttemptKey]) -> None:
    """The ends of these are (after this turn) on disk: their publish records may go."""
    for start in range(0, len(keys), FORGET_AT_ONCE):
        part = keys[start : start + FORGET_AT_ONCE]
        for key in part:
            state.records[key] = state.now
        state.ask(Forget(attempts=list(part)))


def ask_store(state: State, row: FileRow) -> None:
    state.files_asked[(row.name, row.digest)] = state.now
    state.ask(StoreOrder(file=row))


# --- answers ---------------------------------------------------------------------------------------


def _stage_done(state: State, report: StageDone) -> None:
    attempt = state.attempts.get((report.task, report.attempt))
    if attempt is None or attempt.phase is not Phase.STAGING:
        return
    worker = state.workers[attempt.worker]
    worker.inputs_error = ""
    worker.cached.add(one.digest for one in report.inputs)
    _staged(state, attempt, worker, report.inputs)


def on_cached(state: State, event: InputsCached) -> None:
    """As StageDone, without a request to the datastore."""
    attempt = state.attempts.get((event.task, event.attempt))
    if attempt is not None and attempt.phase is Phase.STAGING and not attempt.missed:
        _staged(state, attempt, state.workers[attempt.worker], event.inputs)


def on_left_out(state: State, event: OrdersLeftOut) -> None:
    """The outcome of each of the orders comes in an event of its own."""
    state.datastore.unconfirmed.pop(event.number, None)


def _staged(state: State, attempt: Attempt, worker: Worker, inputs: list[Input]) -> None:
    state.at_datastore.pop(attempt.key, None)
    attempt.row.inputs = attempts.encode(inputs) if inputs else b""
    attempts.set_phase(state, attempt, Phase.STAGED, "its inputs are there")
    if attempt.key in worker.attempts:
        state.send(worker, Staged(task=attempt.task, attempt=attempt.attempt, inputs=inputs))


def _stage_failed(state: State, report: StageFailed) -> None:
    attempt = state.attempts.get((report.task, report.attempt))
    if attempt is None or attempt.phase is not Phase.STAGING:
        return
    worker = state.workers.get(attempt.worker)
    holder = host_keys.holder(state, attempt)
    if worker is not None:
        attempts.acknowledge(state, worker, attempt.key)  # it is to drop it: nothing has started
    _end_unstaged(state, attempt, worker, report)
    if report.fault == "host" and holder is not None:
        host_keys.quarantine_host(state, holder, QuarantineKind.UNTRUSTED, report.reason)


def _end_unstaged(state: State, attempt: Attempt, worker: Worker | None, report: StageFailed) -> None:
    if attempts.superseded(attempt):
        attempts.end_superseded(state, attempt, report.reason)
        return
    if report.fault == "input":
        attempts.end(state, attempt, Ended.FAILED, report.reason)
        if attempt.init:
            _init_without_inputs(state, attempt, report.reason)
        else:
            attempts.fail_task(state, attempt, report.reason)
        return
    if worker is not None:
        worker.inputs_error = report.reason
    wait = 0.0 if report.fault == "host" else state.policy.resend  # another worker may do it at once
    attempts.end(state, attempt, Ended.LOST, report.reason)
    if not attempt.init:
        attempts.settle_task(state, attempt, Ended.LOST, report.reason, wait=wait)
    elif worker is not None:
        del state.uninitialized[worker.id]  # tried again after a while
        state.at(state.now + state.policy.resend, "initialize", worker.id)


def _init_without_inputs(state: State, attempt: Attempt, reason: str) -> None:
    """No worker can run this batch: pause it, with the reason."""
    init = attempt.batch.inits[attempt.index]
    if not init.retired:
        text = f"its init task {init.spec.id!r} cannot run: {reason}"
        pausing.pause(state, attempt.batch, Pause(PauseKind.INIT_TASK, text))


def _published(state: State, report: Published) -> None:
    key = (report.task, report.attempt)
    attempt = state.attempts.get(key)
    if attempt is None or attempt.phase is not Phase.COLLECTING:
        # Known already, or an attempt that this database never had in collecting: only the record is open.
        forget(state, [key])
        return
    state.changes.records[key] = True
    state.records[key] = state.now
    if attempts.superseded(attempt):
        # Too late to be abandoned: its files stand there until the next attempt's take their place.
        how, reason = Ended.SUPERSEDED, "published before it could be abandoned"
    else:
        how, reason = Ended.SUCCEEDED, ""
        _results(state, attempt, report)
    holder = host_keys.holder(state, attempt)
    attempts.end(state, attempt, how, reason)
    worker = state.workers.get(attempt.worker)
    keep = holder is not None and how is Ended.SUCCEEDED and _keep_results(state, attempt, holder)
    if worker is not None:
        attempts.acknowledge(state, worker, key, keep=keep)
    state.ready.made_on = attempt.worker if keep else ""
    attempts.settle_task(state, attempt, how, "")
    state.ready.made_on = ""
    forget(state, [key])


def _keep_results(state: State, attempt: Attempt, worker: Worker) -> bool:
    """Whether others require them: then they stay in the cache of their worker, and are known to be there."""
    if attempt.outcome is None or not moves.dependants(state, attempt.batch, attempt.index):
        return False
    worker.cached.add(entry.digest for entry in attempt.outcome.manifest[:KEPT_RESULTS])
    return True


def _results(state: State, attempt: Attempt, report: Published) -> None:
    project = attempt.batch.row.project
    prefix = attempts.tree_prefix(project)
    for folder in report.folders:
        name = folder[len(prefix) :]
        state.changes.results[(project, name)] = ResultRow(project, name, attempt.task, attempt.attempt)
        state.changes.folders[(project, name)] = attempt.key
    manifest = attempt.outcome.manifest if attempt.outcome is not None else []
    executable = {entry.target for entry in manifest if entry.executable}
    for file in report.files:
        name = file.name[len(prefix) :]
        state.changes.results[(project, name)] = ResultRow(
            project, name, attempt.task, attempt.attempt, file.digest, file.size, executable=name in executable
        )


def _abandoned(state: State, report: Abandoned) -> None:
    key = (report.task, report.attempt)
    attempt = state.attempts.get(key)
    if attempt is None or attempt.phase is not Phase.COLLECTING:
        forget(state, [key])
        return
    state.changes.records[key] = True
    forget(state, [key])
    worker = state.workers.get(attempt.worker)
    if worker is not None:
        attempts.acknowledge(state, worker, key)
    reason = f"Uploading results failed: {report.reason}"
    holder = host_keys.holder(state, attempt)
    if report.fault == "host" and holder is not None:
        host_keys.quarantine_host(state, holder, QuarantineKind.UNTRUSTED, report.reason)
    if report.fault == "path" and not attempt.abandoning:
        attempts.end(state, attempt, Ended.FAILED, reason)
        attempts.settle_task(state, attempt, Ended.FAILED, reason)
        return
    if report.fault == "result" and not attempt.abandoning:
        _other_results(state, attempt, holder, reason)
        return
    how = Ended(attempt.abandoning or Ended.LOST.value)
    attempts.end(state, attempt, how, report.reason)
    wait = state.policy.resend if report.fault == "transfer" else 0.0
    attempts.settle_task(state, attempt, Ended.LOST if how is Ended.SUPERSEDED else how, report.reason, wait=wait)


def on_undeclared(state: State, event: ResultsUndeclared) -> None:
    """No honest agent names such a result; the datastore was not asked, so nothing of it can appear."""
    attempt = state.attempts.get((event.task, event.attempt))
    if attempt is None or attempt.phase is not Phase.COLLECTING or attempt.abandoning:
        return  # the datastore is asked to abandon it, and answers
    reason = f"worker {attempt.worker} left {event.name!r}, which the task does not declare as a result"
    holder = host_keys.holder(state, attempt)
    if holder is not None:
        attempts.acknowledge(state, holder, attempt.key)
        host_keys.quarantine_host(state, holder, QuarantineKind.UNTRUSTED, reason)
    attempts.end(state, attempt, Ended.LOST, reason)
    attempts.settle_task(state, attempt, Ended.LOST, reason)


def _other_results(state: State, attempt: Attempt, holder: Worker | None, reason: str) -> None:
    """They are not what the worker had reported: its fault, until it happens to the task on several in a row."""
    batch, index = attempt.batch, attempt.index
    attempts.end(state, attempt, Ended.LOST, reason)
    if holder is not None:
        holder.blamed = attempt.task
        quarantine.quarantine(state, holder, Quarantine(QuarantineKind.RESULTS, f"task {attempt.task}: {reason}"))
    batch.deaths[index] += 1
    moves.touch(state, batch, index)
    deaths = f"left other results than they had reported, or died while they executed it; the last: {reason}"
    attempts.settle_task(state, attempt, Ended.LOST, reason, deaths=deaths)
    if batch.states[index] == TaskState.FAILED:
        quarantine.release_blamed(state, attempt.task)


def _stored(state: State, report: Stored) -> None:
    identity = (report.name, report.digest)
    row = state.files.pop(identity, None)
    state.files_asked.pop(identity, None)
    if row is None:
        return
    state.changes.stored.append(identity)
    state.files_failed.pop(identity, None)
    for number in state.files_for.pop(identity, {}):
        batch = state.batches.get(number)
        if batch is not None:
            batch.files_waiting -= 1
            state.dirty_batches[number] = None
            state.scale_due = True


def _store_failed(state: State, report: StoreFailed) -> None:
    """Sent again after a while (`ask_old`); until then its batch waits, and status shows why."""
    identity = (report.name, report.digest)
    if identity in state.files and (identity in state.files_failed or len(state.files_failed) < FAILED_KEPT):
        state.files_failed[identity] = report.reason


def _found(state: State, report: Found) -> None:
    if fetches.on_found(state, report) or state.looking_up.pop(report.task, None) is None:
        return
    found = state.find(report.task)
    if found is None:
        return
    batch, index = found
    if batch.states[index] != TaskState.QUEUED or state.live(batch, index) is not None:
        return
    if not report.complete:
        state.ready.put(batch, index)
        return
    project = batch.row.project
    prefix = attempts.tree_prefix(project)
    for file in report.files:
        name = file.name[len(prefix) :]
        state.changes.results[(project, name)] = ResultRow(project, name, report.task, 0, file.digest, file.size)
    moves.move(state, batch, index, TaskState.SUCCEEDED, "its results exist already", "Results exist")


def _heartbeat(state: State, report: DatastoreHeartbeat) -> None:
    state.datastore.warning = report.warning
    state.datastore.disk_free = report.disk_free or state.datastore.disk_free


_HANDLERS: dict[type, Callable[..., None]] = {
    StageDone: _stage_done,
    StageFailed: _stage_failed,
    Published: _published,
    Abandoned: _abandoned,
    Stored: _stored,
    StoreFailed: _store_failed,
    Found: _found,
    Sent: fetches.on_sent,
    SendFailed: fetches.on_send_failed,
    DatastoreHeartbeat: _heartbeat,
}
