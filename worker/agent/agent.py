"""The agent of one worker: one door in, effects out.

It decides which attempts begin, what is reported to the boss and when the worker ends. It knows no thread, socket,
process, file or clock: the loop (or the simulator) gives it events with the time, carries its effects out in order, and
calls it with TimePassed when `next_deadline()` has come. It sends only then, so that the events of one turn share a
message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from wire.messages import AttemptKey, Digest, InputsMissing, Leaving, Outcome
from worker.agent import moves, reports
from worker.agent.effects import AdoptDeployment, Effect, Exit
from worker.agent.events import (
    BossSeen,
    BundleFetched,
    BundleNotFetched,
    CacheChanged,
    DiskMeasured,
    Event,
    ExecutionEnded,
    InputsNotPlaced,
    InputsPlaced,
    LinkConnected,
    LinkDisconnected,
    OrdersArrived,
    OtherAgentSeen,
    ProgressReported,
    SizesMeasured,
    Suspended,
    TermReceived,
    TimePassed,
)
from worker.agent.orders import begin_stop, on_orders
from worker.agent.state import ORPHANED, REPLACED, AgentOptions, Held, WorkerAgentState, waits_for_disk

#: After the last execution of a worker that is to end, acknowledgements are waited for so long.
LINGER_CONNECTED = 30.0
LINGER_ALONE = 2.0


class WorkerAgent:
    """A worker's state and the one method that changes it."""

    def __init__(
        self,
        options: AgentOptions,
        now: float,
        kept: Iterable[Outcome] = (),
        initialized: Iterable[int] = (),
        cached: Iterable[Digest] = (),
        deployment: str = "",
        died: Iterable[AttemptKey] = (),
    ) -> None:
        """`kept`, `initialized` and `died` are what an earlier start left; `cached`, least recently used first."""
        self.state = WorkerAgentState(
            options=options,
            deployment=options.deployment or deployment,
            heartbeat_seconds=options.heartbeat_seconds,
            orphan_after_seconds=options.orphan_after_seconds,
            now=now,
            heard_at=now,
            asked_at=now,
            initialized=dict.fromkeys(initialized),
            died=list(died),
            cached=dict.fromkeys(cached),
        )
        for outcome in kept:
            held = moves.hold(self.state, outcome.task, outcome.attempt)
            held.directory = bool(outcome.manifest or outcome.folders)
            held.kept = True
            moves.end(self.state, held, outcome, keep=False)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event in; what is to be done comes back, to be done in this order. Never blocks.

        `now` is seconds of any clock that never goes back. Raises InvariantError on a bug of ours, never because of
        what came from outside.
        """
        state = self.state
        if state.exited:
            return []
        gap, state.now = now - state.now, now
        if gap > state.lease_seconds:
            _resync(state)
        _HANDLERS[type(event)](state, event)
        if state.ready and not waits_for_disk(state):
            moves.begin_ready(state)
        if state.stop:
            _exit_when_done(state)
        effects, state.effects = state.effects, []
        return effects

    def next_deadline(self) -> float | None:
        """When TimePassed is due at the latest; None once the worker has ended."""
        state = self.state
        if state.exited:
            return None
        orphaned = None if state.stop else state.heard_at + state.orphan_after_seconds
        awake = state.now + state.lease_seconds / 2  # a longer pause between two events is a gap
        due = (awake, orphaned, reports.next_deadline(state), state.linger_until)
        return min(each for each in due if each is not None)


def _resync(state: WorkerAgentState) -> None:
    """It stood still (a frozen process, a suspended machine) for longer than the boss trusts a silent worker: what has
    not begun may run elsewhere by now. It is given back, and nothing begins before the boss's answer to a new hello.
    """
    state.resyncing = True
    state.resync_from = state.message_number + 1
    moves.give_back_all(state)
    reports.say_hello_soon(state)


def _held(state: WorkerAgentState, task: int, attempt: int) -> Held | None:
    return state.held.get((task, attempt))


def _on_boss_seen(state: WorkerAgentState, event: BossSeen) -> None:
    presence = event.presence
    if presence.online and presence.deployment != state.deployment and not state.options.deployment:
        _adopt(state, presence.deployment)
    if presence.deployment != state.deployment or presence.epoch < state.boss_epoch or not presence.online:
        return
    if not event.retained:
        state.heard_at = state.now
    if presence.epoch > state.boss_epoch or not event.retained:
        # A boss that came online after our hello has not heard it; a retained presence was there before it.
        new = presence.epoch > state.boss_epoch > 0 or not event.retained
        state.boss_epoch = presence.epoch
        if new:
            reports.say_hello_soon(state)


def _adopt(state: WorkerAgentState, deployment: str) -> None:
    """Belong to the deployment of the boss that is there; what is held of another one is worthless."""
    for held in list(state.held.values()):
        moves.forget(state, held)
    state.initialized.clear()
    state.died.clear()
    state.early.clear()
    state.confirms.clear()
    state.deployment = deployment
    state.last_order = (0, 0)
    state.boss_epoch = 0
    state.effects.append(AdoptDeployment(deployment))
    reports.say_hello_soon(state)


def _on_placed(state: WorkerAgentState, event: InputsPlaced) -> None:
    held = _held(state, event.task, event.attempt)
    if held is not None and held.phase == "staging":
        moves.placed(state, held)


def _on_not_placed(state: WorkerAgentState, event: InputsNotPlaced) -> None:
    held = _held(state, event.task, event.attempt)
    if held is None or held.phase != "staging":
        return
    held.placing = False
    for digest in event.missing:
        state.cached.pop(digest, None)
    if event.missing:
        missing = InputsMissing(task=held.task, attempt=held.attempt, digests=event.missing)
        reports.report(state, held.key, missing, 0.0)
    else:
        moves.end_unbegun(state, held, "failed", event.reason, event.fault)


def _on_ended(state: WorkerAgentState, event: ExecutionEnded) -> None:
    outcome = event.outcome
    held = _held(state, outcome.task, outcome.attempt)
    if held is None or held.phase != "executing":
        return
    held.directory = event.leftovers
    if reports.is_too_large(outcome):
        outcome = _without_manifest(outcome)
    moves.end(state, held, moves.failed_by_disk(state, held, moves.killed_for_us(state, held, outcome)))


def _without_manifest(outcome: Outcome) -> Outcome:
    """What cannot be said in one message fails with a sentence that can."""
    reason = f"Uploading results failed: {len(outcome.manifest):,} result files are too many to report; pack them"
    return msgspec.structs.replace(outcome, ended="failed", reason=reason, manifest=[], folders=[], commands=[])


def _on_progress(state: WorkerAgentState, event: ProgressReported) -> None:
    held = _held(state, event.task, event.attempt)
    if held is not None and held.phase == "executing":
        state.progress[held.key] = min(max(event.fraction, 0.0), 1.0)


def _on_cache_changed(state: WorkerAgentState, event: CacheChanged) -> None:
    for digest in event.dropped:
        state.cached.pop(digest, None)
        state.cache_added.pop(digest, None)
        state.cache_dropped[digest] = None
    for digest in event.cached:
        if state.cached.pop(digest, "") == "":
            state.cache_added[digest] = None
            state.cache_dropped.pop(digest, None)
        state.cached[digest] = None


def _on_disk_measured(state: WorkerAgentState, event: DiskMeasured) -> None:
    state.disk_free = event.free
    if event.low:
        state.disk_low_at = state.now
        if not state.disk_low:
            state.disk_low_since = state.now
    state.disk_low = event.low


def _on_sizes_measured(state: WorkerAgentState, event: SizesMeasured) -> None:
    state.disk_free = event.free
    moves.stop_growing(state, event.grown, event.free, event.low)


def _on_term(state: WorkerAgentState, event: TermReceived) -> None:
    again = state.stop != ""
    state.exit_code = 0
    begin_stop(state, "stopped by a signal", again)
    _say_leaving(state)


def _say_leaving(state: WorkerAgentState) -> None:
    if not state.leaving:
        state.leaving = True
        # Attempts count from 1, so (0, 0) is no attempt's place in the outbox.
        reports.report(state, (0, 0), Leaving(reason=state.stop_reason), 0.0)


def _on_bundle_fetched(state: WorkerAgentState, event: BundleFetched) -> None:
    """What runs goes on to its end; then the other version is started in this one's place."""
    if event.digest != state.replacing or state.stop:
        return
    state.exit_code = REPLACED
    begin_stop(state, "replaced by the boss's version of it", False)
    _say_leaving(state)


def _on_bundle_not_fetched(state: WorkerAgentState, event: BundleNotFetched) -> None:
    if event.digest == state.replacing:
        state.replacing = ""
        reports.say_hello_soon(state)  # the boss will order it again, with a fresh token


def _on_other_agent(state: WorkerAgentState, event: OtherAgentSeen) -> None:
    """Two agents with one id would take each other's orders for theirs in turns: the older one ends."""
    state.exit_code = 1
    who = f"another agent with the id {state.options.worker!r} has started (incarnation {event.incarnation})"
    state.stop_reason = f"{who}: this one ends; give each worker an id of its own"
    begin_stop(state, state.stop_reason, True)


def _on_suspended(state: WorkerAgentState, event: Suspended) -> None:
    if event.seconds > state.lease_seconds:
        _resync(state)


def _on_time_passed(state: WorkerAgentState, event: TimePassed) -> None:
    if state.heard_at + state.orphan_after_seconds <= state.now and not state.stop:
        state.exit_code = ORPHANED if state.options.halt_when_orphaned else 1
        seconds = f"{state.orphan_after_seconds:g}"
        begin_stop(state, f"without a word from the boss for {seconds} s", True)
    reports.send_due(state)


def _exit_when_done(state: WorkerAgentState) -> None:
    """End when nothing runs and nothing is left to report, or no boss listens any more."""
    if state.counts["executing"]:
        state.linger_until = None
        return
    if state.linger_until is None:
        alone = state.stop == "now" or not state.connected
        state.linger_until = state.now + (LINGER_ALONE if alone else LINGER_CONNECTED)
    silent = state.flush_at is None or not state.connected
    unsaid = state.counts["ended"] + state.counts["returned"]
    if (silent and (state.stop == "now" or unsaid == 0)) or state.linger_until <= state.now:
        state.exited = True
        state.effects.append(Exit(state.exit_code, state.stop_reason))


_HANDLERS: dict[type[Event], Callable[[WorkerAgentState, Any], None]] = {
    OrdersArrived: on_orders,
    BossSeen: _on_boss_seen,
    LinkConnected: reports.on_connected,
    LinkDisconnected: reports.on_disconnected,
    InputsPlaced: _on_placed,
    InputsNotPlaced: _on_not_placed,
    ExecutionEnded: _on_ended,
    ProgressReported: _on_progress,
    CacheChanged: _on_cache_changed,
    DiskMeasured: _on_disk_measured,
    SizesMeasured: _on_sizes_measured,
    BundleFetched: _on_bundle_fetched,
    BundleNotFetched: _on_bundle_not_fetched,
    Suspended: _on_suspended,
    TermReceived: _on_term,
    OtherAgentSeen: _on_other_agent,
    TimePassed: _on_time_passed,
}
