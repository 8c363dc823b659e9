"""The scheduler: one door in, changes and effects out.

    scheduler.handle(event, now)    once for each event of the turn; TimePassed, with the wall clock, is the first
    scheduler.settle()              deadlines, scaling, assignment, orders: once, at the turn's end
    scheduler.take()                the turn's changes (to be recorded) and effects (to be performed then)

`boss.turn` calls them in this order. Pure: no I/O, clock, thread or randomness. `now` is monotonic seconds, the same
for all of a turn; `wall` is seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable

from boss.core import (
    accept,
    commands,
    cutoff,
    datastore,
    fetches,
    host_keys,
    instances,
    leases,
    moves,
    nics,
    orders,
    other_version,
    pausing,
    quarantine,
    restore,
    retry,
    upgrade,
    workers,
)
from boss.core.assignment import window
from boss.core.assignment.assign import assign
from boss.core.effects import Effect
from boss.core.events import (
    BatchesLoaded,
    BundlesKnown,
    CancelAsked,
    DatastoreReported,
    DropTasksAsked,
    DropWorkersAsked,
    Event,
    InputsCached,
    InputsCompared,
    InstanceEnded,
    InstancePlaced,
    InstancesAsked,
    InstanceStarted,
    InstanceStartFailed,
    LinkConnected,
    LinkDisconnected,
    LoginGranted,
    NetworkAttached,
    NetworkAttachFailed,
    NetworkDetached,
    OrdersLeftOut,
    OtherVersionReported,
    PauseAsked,
    PresenceSeen,
    QuarantineAsked,
    RedoAsked,
    ResultsAsked,
    ResultsUndeclared,
    RetryAsked,
    SendAsked,
    StartTokenRefused,
    StopAsked,
    Submitted,
    TerminateAsked,
    TimePassed,
    WorkerDrainAsked,
    WorkerReported,
)
from boss.core.graph import Batch
from boss.core.policy import Policy
from boss.core.rows import Changes, Loaded
from boss.core.scaling import scale
from boss.core.state import State
from wire.messages import Input


class Scheduler:
    """The state and its one door."""

    def __init__(self, policy: Policy) -> None:
        self.state = State(policy)

    def restore(self, loaded: Loaded, now: float, wall: float) -> None:
        """Begin where the database stands. Afterwards `settle` and `take` as after any turn."""
        self.state.now, self.state.wall = now, wall
        restore.restore(self.state, loaded)

    def reload(self, loaded: Loaded, now: float, wall: float) -> None:
        """Begin again where the database stands: what the last turn decided is dropped, as by a restart."""
        before, self.state = self.state, State(self.state.policy)
        self.state.grants = before.grants
        self.restore(loaded, now, wall)
        restore.take_along(self.state, before)
        if before.leases_from is not None:
            _connected(self.state, LinkConnected())

    def handle(self, event: Event, now: float) -> None:
        """Take one event. Raises InvariantError on an internal error, never because of what came from outside."""
        state = self.state
        if now != state.now:
            _let_time_pass(state, now)
        _HANDLERS[type(event)](state, event)

    def untouched(self) -> bool:
        """True: nothing that this turn has handled so far is to be recorded."""
        state = self.state
        return state.changes.empty() and not state.dirty and not state.dirty_batches

    def settle(self) -> None:
        """The end of the turn."""
        state = self.state
        while (entry := state.due()) is not None:
            _DUE[entry[0]](state, entry[1])
        pausing.settle(state)
        scale.settle(state)
        window.update_changed(state)
        assign(state)
        nics.settle(state)
        orders.flush(state)
        _finish_batches(state)

    def settle_rows(self) -> None:
        """Instead of `settle` where no boss runs: what a user's command changed, and nothing is sent or started."""
        _finish_batches(self.state)

    def take(self) -> tuple[Changes, list[Effect]]:
        """What this turn leaves behind. Changes that are empty require no transaction."""
        state = self.state
        changes, effects = state.changes, state.effects
        for number, reason in state.dirty.items():
            if state.find(number) is not None:
                changes.tasks[number] = moves.task_row(state, number, reason)
        for number in state.dirty_batches:
            batch = state.batches.get(number)
            if batch is not None:
                batch.row.counts = list(batch.counts)
                changes.batches[number] = batch.row
        state.dirty.clear()
        state.dirty_batches.clear()
        _unload(state)
        state.changes = Changes()
        state.effects = []
        return changes, effects

    def in_cache(self, worker: str, inputs: list[Input]) -> bool:
        """True: as far as is known all of these are bound and lie in the cache of this worker."""
        known = self.state.workers.get(worker)
        return known is not None and known.cached.has_all(inputs)

    def next_deadline(self) -> float | None:
        """Monotonic time at which a turn is due even if nothing happens."""
        return self.state.next_deadline()


# --- the loop's own events -------------------------------------------------------------------------


def _let_time_pass(state: State, now: float) -> None:
    """A gap in our own time (a suspended machine) makes every lease start again."""
    gap = now - state.now > state.policy.heartbeat and state.now > 0.0
    state.now = now
    planned = state.next_deadline()
    if gap and state.leases_from is not None and planned is not None and planned < now - state.policy.heartbeat:
        leases.restart_leases(state)


def _time_passed(state: State, event: TimePassed) -> None:
    state.wall = event.wall or state.wall


def _connected(state: State, event: LinkConnected) -> None:
    """What was sent to us while we were away is lost: all are asked to say hello."""
    leases.restart_leases(state)
    for worker in state.workers.values():
        if worker.state.value in ("online", "draining", "lost"):
            workers.ask_for_hello(state, worker.id, worker.incarnation)
    if state.datastore.incarnation:
        datastore.ask_for_hello(state, state.datastore.incarnation)


def _disconnected(state: State, event: LinkDisconnected) -> None:
    state.leases_from = None


def _presence(state: State, event: PresenceSeen) -> None:
    if event.message.name == "datastore":
        datastore.on_presence(state, event)
    else:
        workers.on_presence(state, event)


# --- batches come to their end ---------------------------------------------------------------------


def _finish_batches(state: State) -> None:
    """Note when a batch has nothing left to do, or has again."""
    work = list(state.dirty_batches)
    while work:
        batch = state.batches.get(work.pop())
        if batch is None:
            continue
        if batch.unfinished():
            batch.row.finished_at = 0.0
            continue
        if not batch.row.finished_at:
            batch.row.finished_at = state.wall
            state.journal("batch", str(batch.number), 0, "unfinished", "finished", "nothing of it is left to do")
        state.idle_batches[batch.number] = None
        for number in batch.links:
            other = state.batches.get(number)
            if other is not None and batch.number in other.awaits:
                other.awaits.discard(batch.number)
                state.dirty_batches[number] = None
                work.append(number)


def _unload(state: State) -> None:
    """Finished batches cost no memory, once no unfinished one is joined to them."""
    for number in list(state.idle_batches):
        batch = state.batches.get(number)
        if batch is None or batch.unfinished() or batch.files_waiting:
            state.idle_batches.pop(number, None)
            continue
        group = _joined(state, batch)
        if any(other.unfinished() or other.files_waiting for other in group):
            continue
        for other in group:
            state.idle_batches.pop(other.number, None)
            _forget(state, other)


def _joined(state: State, batch: Batch) -> list[Batch]:
    seen = {batch.number: batch}
    work = [batch]
    while work:
        for number in work.pop().links:
            other = state.batches.get(number)
            if other is not None and number not in seen:
                seen[number] = other
                work.append(other)
    return list(seen.values())


def _forget(state: State, batch: Batch) -> None:
    last = batch.first + batch.count
    for table in (state.crossing, state.unclear_deaths):
        for number in [number for number in table if batch.first <= number < last]:
            del table[number]
    state.remove_batch(batch)


# --- deadlines -------------------------------------------------------------------------------------


def _initialize_due(state: State, worker_id: str) -> None:
    if worker_id in state.workers:
        state.uninitialized[worker_id] = None


_DUE: dict[str, Callable[..., None]] = {
    "lease": leases.lease_due,
    "resend": orders.resend_due,
    "resend_datastore": lambda state, _: orders.resend_datastore_due(state),
    "ask_old": lambda state, _: datastore.ask_old(state),
    "retry": retry.due,
    "initialize": _initialize_due,
    "probe": quarantine.probe_due,
    "untrusted": host_keys.untrusted_due,
    "scale": scale.scale_due,
    "boot": instances.boot_due,
    "stop": instances.stop_due,
    "silent": instances.silent_due,
    "nic": nics.nic_due,
    "check": fetches.check_due,
}

_HANDLERS: dict[type, Callable[..., None]] = {
    WorkerReported: workers.on_reported,
    DatastoreReported: datastore.on_reported,
    OtherVersionReported: other_version.on_reported,
    PresenceSeen: _presence,
    LinkConnected: _connected,
    LinkDisconnected: _disconnected,
    Submitted: accept.on_submitted,
    CancelAsked: commands.on_cancel,
    RetryAsked: commands.on_retry,
    RedoAsked: commands.on_redo,
    DropTasksAsked: commands.on_drop_tasks,
    PauseAsked: commands.on_pause,
    WorkerDrainAsked: commands.on_drain,
    QuarantineAsked: commands.on_quarantine,
    InstancesAsked: commands.on_instances,
    TerminateAsked: commands.on_terminate,
    DropWorkersAsked: commands.on_drop_workers,
    SendAsked: fetches.on_send_asked,
    ResultsAsked: fetches.on_results_asked,
    InstanceStarted: instances.on_started,
    InstancePlaced: instances.on_placed,
    InstanceStartFailed: instances.on_start_failed,
    InstanceEnded: instances.on_ended,
    NetworkAttached: nics.on_attached,
    NetworkAttachFailed: nics.on_attach_failed,
    NetworkDetached: nics.on_detached,
    BatchesLoaded: restore.on_batches_loaded,
    BundlesKnown: upgrade.on_bundles_known,
    LoginGranted: workers.on_granted,
    StartTokenRefused: host_keys.on_start_token_refused,
    InputsCached: datastore.on_cached,
    InputsCompared: cutoff.on_compared,
    OrdersLeftOut: datastore.on_left_out,
    ResultsUndeclared: datastore.on_undeclared,
    TimePassed: _time_passed,
    StopAsked: commands.on_stop,
}
