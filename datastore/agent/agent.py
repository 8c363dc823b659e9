"""The agent: what the datastore does about what happens. One door in, `handle`; out comes a list of effects.

Pure: no file, no clock, no thread. It knows orders, where each of them stands, and the rules of docs/protocol.md
and docs/data.md; the program carries out the effects and brings back their events. The simulator drives it in the
same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from datastore.agent import collecting, files, publishing, staging, warnings
from datastore.agent.effects import Confirm, Effect, KeepEpoch
from datastore.agent.events import (
    BossSeen,
    Discarded,
    EpochKept,
    Event,
    FetchFailed,
    FileSent,
    FilesPlaced,
    IncomingSynced,
    InputsStaged,
    LinkConnected,
    LinkDisconnected,
    NamesFound,
    Ordered,
    RecordsWritten,
    ResultsFetched,
    Started,
    StepFailed,
    StoresEnded,
    Swept,
    TimePassed,
    TransferEnded,
)
from datastore.agent.lanes import Direction
from datastore.agent.records import published
from datastore.agent.state import DatastoreAgentState, DatastorePolicy, IgnoredEvent
from wire.messages import (
    Abandon,
    Collect,
    DatastoreHello,
    DatastoreOrders,
    Forget,
    LookUp,
    SayHello,
    Send,
    Stage,
    Store,
)


class DatastoreAgent:
    """`handle(event, now)` for everything that happens, `Started` first; `next_deadline()` says when at the latest."""

    def __init__(
        self,
        deployment: str,
        incarnation: str,
        policy: DatastorePolicy | None = None,
        hello: DatastoreHello | None = None,
    ) -> None:
        self.state = DatastoreAgentState(
            deployment, incarnation, policy or DatastorePolicy(), hello or DatastoreHello()
        )

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event in; what is to be done comes back, to be done in this order. Never blocks.

        `now` is seconds of any clock that never goes back. Raises InvariantError on a bug of ours, never because of
        what came from outside.
        """
        state = self.state
        state.now = now
        _EVENTS[type(event)](state, event)
        _advance(state)
        effects, state.effects = state.effects, []
        return effects

    def next_deadline(self) -> float | None:
        """When TimePassed is due at the latest; None: nothing waits for time."""
        state = self.state
        times = list(state.retries.values())
        if state.heartbeat_due is not None:
            times.append(state.heartbeat_due)
        if state.publishing is not None and state.publishing.due is not None:
            times.append(state.publishing.due)
        if state.fetched and state.publishing is None:
            times.append(state.publish_after)
        if state.stores and not state.storing:
            times.append(state.store_after)
        if state.fetch_after > state.now:
            times.append(state.fetch_after)
        return min(times, default=None)


# --- every turn -------------------------------------------------------------------------------------


def _advance(state: DatastoreAgentState) -> None:
    collecting.requeue_due(state)
    publishing.advance(state)
    files.advance(state)
    held: frozenset[Direction] = frozenset({"collect"}) if state.now < state.fetch_after else frozenset()
    while True:
        transfer = state.lanes.start_next(held)
        if transfer is None:
            return
        begin = staging.start if transfer.lane.direction == "stage" else collecting.start
        begin(state, transfer.number, transfer.lane.worker, transfer.keys)


# --- the start, the link, the time ------------------------------------------------------------------


def _on_started(state: DatastoreAgentState, event: Started) -> None:
    state.epoch = event.epoch
    publishing.recover(state, event.records)


def _on_swept(state: DatastoreAgentState, _event: Swept) -> None:
    if state.ready:
        return
    publishing.after_sweep(state)
    state.ready = True
    _say_hello(state)


def _on_connected(state: DatastoreAgentState, _event: LinkConnected) -> None:
    state.linked = True
    _say_hello(state)


def _on_disconnected(state: DatastoreAgentState, _event: LinkDisconnected) -> None:
    state.linked = False
    state.heartbeat_due = None


def _on_boss_seen(state: DatastoreAgentState, event: BossSeen) -> None:
    """Another boss than before has not heard our hello."""
    if event.incarnation != state.boss:
        state.boss = event.incarnation
        _say_hello(state)


def _say_hello(state: DatastoreAgentState) -> None:
    if state.linked and state.ready:
        state.report(msgspec.structs.replace(state.hello, disk_free=state.disk_free))
        for key in state.recovered:
            state.report(published(state.records[key]))
        warnings.send(state)


def _on_time(state: DatastoreAgentState, event: TimePassed) -> None:
    state.disk_free = event.disk_free or state.disk_free
    if state.heartbeat_due is not None and state.heartbeat_due <= state.now:
        warnings.send(state)


# --- orders -----------------------------------------------------------------------------------------


def _on_ordered(state: DatastoreAgentState, event: Ordered) -> None:
    message = event.message
    if not state.ready:
        state.ignore(IgnoredEvent.BEFORE_HELLO)
    elif message.deployment != state.deployment:
        state.ignore(IgnoredEvent.OTHER_DEPLOYMENT)
    elif message.receiver != state.incarnation:
        state.ignore(IgnoredEvent.OTHER_INCARNATION)
    elif message.epoch < state.epoch:
        state.ignore(IgnoredEvent.SUPERSEDED_BOSS)
    elif message.epoch > state.epoch:
        _hold(state, message)
    else:
        _take(state, message)


def _hold(state: DatastoreAgentState, message: DatastoreOrders) -> None:
    """Of a new boss: its epoch must be on disk before anything is done for it."""
    state.held.append(message)
    if message.epoch > state.keeping:
        state.keeping = message.epoch
        state.effects.append(KeepEpoch(message.epoch))


def _on_epoch_kept(state: DatastoreAgentState, event: EpochKept) -> None:
    if event.epoch > state.epoch:
        state.epoch = event.epoch
        state.number = 0
    held, state.held = state.held, []
    for message in held:
        _on_ordered(state, Ordered(message))


def _take(state: DatastoreAgentState, message: DatastoreOrders) -> None:
    if message.number <= state.number:
        state.ignore(IgnoredEvent.NOT_NEWER)
        return
    state.number = message.number
    state.effects.append(Confirm(state.epoch, message.number))
    for order in message.orders:
        _ORDERS[type(order)](state, order)


# --- transfers --------------------------------------------------------------------------------------


def _on_transfer_ended(state: DatastoreAgentState, event: TransferEnded) -> None:
    transfer = state.lanes.end(event.transfer)
    if transfer is None:
        state.ignore(IgnoredEvent.NO_SUCH_TRANSFER)
    elif transfer.lane.direction == "stage":
        staging.on_transfer_ended(state, transfer.keys, event.error)
    else:
        collecting.on_transfer_ended(state, transfer.keys, event.error)


_ORDERS: dict[type, Callable[[DatastoreAgentState, Any], None]] = {
    SayHello: lambda state, _order: _say_hello(state),
    Stage: staging.on_stage,
    Collect: collecting.on_collect,
    Abandon: collecting.on_abandon,
    Forget: collecting.on_forget,
    Store: files.on_store,
    LookUp: files.on_look_up,
    Send: files.on_send,
}

_EVENTS: dict[type, Callable[[DatastoreAgentState, Any], None]] = {
    Started: _on_started,
    TimePassed: _on_time,
    LinkConnected: _on_connected,
    LinkDisconnected: _on_disconnected,
    BossSeen: _on_boss_seen,
    Ordered: _on_ordered,
    EpochKept: _on_epoch_kept,
    InputsStaged: staging.on_staged,
    ResultsFetched: collecting.on_fetched,
    FetchFailed: collecting.on_fetch_failed,
    TransferEnded: _on_transfer_ended,
    IncomingSynced: publishing.on_synced,
    RecordsWritten: lambda state, _event: publishing.on_recorded(state),
    FilesPlaced: lambda state, _event: publishing.on_placed(state),
    StepFailed: publishing.on_step_failed,
    Discarded: collecting.on_discarded,
    Swept: _on_swept,
    StoresEnded: files.on_stores_ended,
    NamesFound: files.on_found,
    FileSent: files.on_sent,
}
