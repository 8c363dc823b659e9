"""Orders on their way: the turn's orders become numbered messages, and unconfirmed ones are sent again.

A receiver confirms the numbers that it took. What is not confirmed in time is checked again, order by
order: what still holds goes out with a new number, the rest is dropped. A hello settles everything, so the
list of unconfirmed orders is forgotten then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from boss.core.attempts import superseded
from boss.core.effects import (
    LookUpOrder,
    RunOrder,
    SendToDatastore,
    SendToWorker,
    StageOrder,
    StoreOrder,
    ToDatastore,
    ToWorker,
)
from boss.core.model import Phase, WorkerState
from boss.core.state import Datastore, State, Worker
from wire.messages import (
    Abandon,
    Acknowledge,
    Collect,
    Drain,
    Kill,
    LookUp,
    Replace,
    Resume,
    Send,
    Staged,
    Stop,
    TakeBack,
)

Order = TypeVar("Order")

#: Bytes of a Run beside its execution, and of any other order: estimates on the high side.
_RUN_BYTES = 300
_ORDER_BYTES = 200
#: Of one message to the datastore: files, with four for each order.
_MAX_FILES = 1_000
#: Of an attempt's key.
_KEY_BYTES = 30
#: Between the numbers of two messages to the datastore: one whose orders turn out long, when their inputs have been
#: looked up, is cut into parts with the numbers between.
NUMBERS_APART = 1_000


def flush(state: State) -> None:
    """The end of a turn: everything ordered in it goes out, in as few messages as the size allows."""
    for worker_id in state.outboxes:
        worker = state.workers[worker_id]
        if worker.outbox and worker.state is not WorkerState.GONE and not worker.refused():
            for part in cut(worker.outbox, partial(_cost, state), state.policy.order_bytes):
                worker.number += 1
                if any(not isinstance(order, Acknowledge) for order in part):
                    worker.unconfirmed[worker.number] = (state.now, part)
                state.effects.append(
                    SendToWorker(worker=worker.id, incarnation=worker.incarnation, number=worker.number, orders=part)
                )
            _plan_resend(state, worker)
        worker.outbox = []
    state.outboxes.clear()
    datastore = state.datastore
    if datastore.outbox:
        for stage_part in cut(datastore.outbox, _files, _MAX_FILES):
            datastore.number += NUMBERS_APART
            datastore.unconfirmed[datastore.number] = (state.now, stage_part)
            state.effects.append(
                SendToDatastore(incarnation=datastore.incarnation, number=datastore.number, orders=stage_part)
            )
        datastore.outbox = []
        _plan_resend(state, datastore)


def cut(orders: Iterable[Order], cost: Callable[[Order], int], limit: int) -> list[list[Order]]:
    """The orders in as few parts as their costs allow, in order; a single one may cost more than the limit."""
    parts: list[list[Order]] = [[]]
    size = 0
    for order in orders:
        more = cost(order)
        if parts[-1] and size + more > limit:
            parts.append([])
            size = 0
        parts[-1].append(order)
        size += more
    return parts


def _cost(state: State, order: ToWorker) -> int:
    if isinstance(order, RunOrder):
        found = state.find(order.task)
        return _RUN_BYTES + (found[0].sizes[found[1]] if found is not None else 4096)
    if isinstance(order, Staged):
        return _ORDER_BYTES * (1 + len(order.inputs))
    if isinstance(order, Acknowledge):
        return _KEY_BYTES * (len(order.attempts) + len(order.keep))
    return _ORDER_BYTES


def _files(order: ToDatastore) -> int:
    """By number of orders and files: each file is a few hundred bytes."""
    return 4 + len(order.files) if isinstance(order, Collect) else 4


def resend_due(state: State, worker_id: str) -> None:
    """Send again the orders to this worker that are not confirmed and still hold."""
    worker = state.workers.get(worker_id)
    if worker is None:
        return
    worker.resend_planned = False
    if worker.state not in (WorkerState.ONLINE, WorkerState.DRAINING):
        return  # its hello settles everything
    if state.leases_from is not None:  # else sent to no broker at present; the request for its hello may be lost later
        for order in _unanswered(state, worker.unconfirmed):
            if _still_holds(state, worker, order):
                state.send(worker, order)
    _plan_resend(state, worker)


def _unanswered(state: State, unconfirmed: dict[int, tuple[float, list[Order]]]) -> list[Order]:
    """Taken from there: the orders that were sent long enough ago."""
    before = state.now - state.policy.resend
    numbers = [number for number, (sent, _) in unconfirmed.items() if sent <= before]
    return [order for number in numbers for order in unconfirmed.pop(number)[1]]


def _plan_resend(state: State, receiver: Worker | Datastore) -> None:
    """Its unconfirmed orders are looked at later. One look is planned at a time."""
    if receiver.unconfirmed and not receiver.resend_planned:
        receiver.resend_planned = True
        kind, key = ("resend", receiver.id) if isinstance(receiver, Worker) else ("resend_datastore", None)
        state.at(state.now + state.policy.resend, kind, key)


def _still_holds(state: State, worker: Worker, order: ToWorker) -> bool:
    if isinstance(order, RunOrder | Staged | TakeBack | Kill):
        attempt = worker.attempts.get((order.task, order.attempt))
        if attempt is None:
            return False
        if isinstance(order, Kill):
            return (attempt.cancelling or superseded(attempt)) and attempt.phase is not Phase.COLLECTING
        if isinstance(order, TakeBack):
            return attempt.asked_back and not attempt.started()
        return not attempt.started() and not superseded(attempt)
    if isinstance(order, Drain):
        return worker.draining
    if isinstance(order, Resume):
        return not worker.draining
    return isinstance(order, Stop | Replace)


def resend_datastore_due(state: State) -> None:
    """Send again the orders to the datastore that are not confirmed and still hold."""
    datastore = state.datastore
    datastore.resend_planned = False
    if state.leases_from is None or not datastore.incarnation:
        return
    for order in _unanswered(state, datastore.unconfirmed):
        if _datastore_order_holds(state, order):
            state.ask(order)
    _plan_resend(state, datastore)


def _datastore_order_holds(state: State, order: ToDatastore) -> bool:
    if isinstance(order, StageOrder | Collect | Abandon):
        attempt = state.attempts.get((order.task, order.attempt))
        if attempt is None:
            return False
        if isinstance(order, StageOrder):
            return attempt.phase is Phase.STAGING and not superseded(attempt)
        return attempt.phase is Phase.COLLECTING and (isinstance(order, Abandon) or not attempt.abandoning)
    if isinstance(order, LookUpOrder):
        return order.task in state.looking_up
    if isinstance(order, LookUp):
        return order.task in state.checking
    if isinstance(order, Send):
        return order.digest in state.sending
    if isinstance(order, StoreOrder):
        return (order.file.name, order.file.digest) in state.files
    return True
