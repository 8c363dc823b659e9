"""What the boss orders, one function each. Every order may come twice, late, or before what it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wire.messages import (
    Acknowledge,
    Drain,
    Kill,
    PhaseReached,
    Replace,
    Resume,
    Run,
    SayHello,
    Staged,
    Stop,
    TakeBack,
    Welcome,
    WorkerOrder,
    WorkerOrders,
)
from worker.agent import moves
from worker.agent.effects import FetchBundle
from worker.agent.events import OrdersArrived
from worker.agent.reports import confirm, report, report_end, say_hello_soon
from worker.agent.state import Held, IgnoredOrder, WorkerAgentState


def on_orders(state: WorkerAgentState, event: OrdersArrived) -> None:
    """Carry a message's orders out, unless it is not for us or not the newest."""
    message = event.message
    ignored = _why_ignored(state, message)
    if ignored is not None:
        state.ignored[ignored] += 1
        return
    if message.epoch != state.last_order[0]:
        state.confirms.clear()  # numbers of another epoch mean nothing to this boss
    state.last_order = (message.epoch, message.number)
    state.boss_epoch = max(state.boss_epoch, message.epoch)
    state.heard_at = state.now
    confirm(state, message.number)
    for order in message.orders:
        _HANDLERS[type(order)](state, order)


def _why_ignored(state: WorkerAgentState, message: WorkerOrders) -> IgnoredOrder | None:
    if message.deployment != state.deployment:
        return IgnoredOrder.OTHER_DEPLOYMENT
    if message.receiver != state.options.incarnation:
        return IgnoredOrder.OTHER_INCARNATION
    if (message.epoch, message.number) <= state.last_order:
        return IgnoredOrder.NOT_NEWER
    return None


def _on_run(state: WorkerAgentState, run: Run) -> None:
    known = state.held.get((run.task, run.attempt))
    if known is not None:
        _say_phase_again(state, known)
        return
    if state.resyncing:
        state.ignored[IgnoredOrder.BEFORE_RESYNC] += 1
        return
    highest = state.highest.get(run.task, 0)
    if run.attempt < highest:
        state.ignored[IgnoredOrder.LOWER_ATTEMPT] += 1
        return
    if highest:
        _supersede(state, run)
    moves.take(state, run)
    if state.draining:
        moves.give_back(state, state.held[(run.task, run.attempt)])


def _supersede(state: WorkerAgentState, run: Run) -> None:
    """A higher attempt is here: a lower one is not needed."""
    for attempt in range(state.highest[run.task], 0, -1):
        older = state.held.get((run.task, attempt))
        if older is not None and not older.unwanted:
            moves.forget(state, older)


def _say_phase_again(state: WorkerAgentState, held: Held) -> None:
    if held.unwanted:
        return
    if held.phase in ("ended", "returned"):
        report_end(state, held)
    elif held.phase in ("staging", "staged", "executing"):
        report(state, held.key, PhaseReached(task=held.task, attempt=held.attempt, phase=held.phase))


def _on_staged(state: WorkerAgentState, order: Staged) -> None:
    held = state.held.get((order.task, order.attempt))
    if held is None:
        if order.attempt >= state.highest.get(order.task, 0):
            moves.keep_early(state, order.task, order.attempt, order.inputs)
    elif held.phase == "staging":
        if not held.placing:
            moves.place(state, held, order.inputs)
    else:
        _say_phase_again(state, held)


def _on_take_back(state: WorkerAgentState, order: TakeBack) -> None:
    held = state.held.get((order.task, order.attempt))
    if held is None:  # its Run was lost or is late: it must not begin if it still comes
        held = moves.hold(state, order.task, order.attempt)
    if held.phase in ("new", "staging", "staged"):
        moves.give_back(state, held)
    else:
        _say_phase_again(state, held)


def _on_kill(state: WorkerAgentState, order: Kill) -> None:
    held = state.held.get((order.task, order.attempt))
    if held is None:
        held = moves.hold(state, order.task, order.attempt)
    if held.phase in ("new", "staging", "staged"):
        moves.end_unbegun(state, held, "cancelled", order.reason)
    elif held.phase == "executing":
        moves.kill(state, held, order.reason)
    else:
        _say_phase_again(state, held)


def _on_acknowledge(state: WorkerAgentState, order: Acknowledge) -> None:
    keep = set(order.keep)
    for key in order.attempts:
        state.early.pop(key, None)
        held = state.held.get(key)
        if held is not None:
            moves.forget(state, held, keep=key in keep)


def _on_drain(state: WorkerAgentState, order: Drain) -> None:
    state.draining = True
    moves.give_back_all(state)


def _on_resume(state: WorkerAgentState, order: Resume) -> None:
    if not state.stop:
        state.draining = False


def _on_stop(state: WorkerAgentState, order: Stop) -> None:
    state.exit_code = 0
    begin_stop(state, "stopped by the boss", order.now)


def begin_stop(state: WorkerAgentState, reason: str, at_once: bool) -> None:
    """Give back what has not begun; end after what runs, or kill that too."""
    state.draining = True
    state.stop_reason = state.stop_reason or reason
    moves.give_back_all(state)
    if at_once:
        state.stop = "now"
        moves.kill_all(state, f"the worker was {reason}")
    elif not state.stop:
        state.stop = "drain"


def _on_welcome(state: WorkerAgentState, order: Welcome) -> None:
    state.heartbeat_seconds = max(order.heartbeat_seconds, 0.05)
    state.orphan_after_seconds = max(order.orphan_after_seconds, 0.1)
    state.lease_seconds = order.lease_seconds or state.lease_seconds
    if (order.hello or state.hello_number) >= state.resync_from:
        state.resyncing = False
        state.welcomed = True
        state.hello_at = None


def _on_say_hello(state: WorkerAgentState, order: SayHello) -> None:
    say_hello_soon(state)


def _on_replace(state: WorkerAgentState, order: Replace) -> None:
    """Nothing is given back before the other version is here."""
    own = state.options.bundle.partition("=")[2]
    if state.stop or order.digest in (own, state.options.given_up, state.replacing):
        return
    state.replacing = order.digest
    state.effects.append(FetchBundle(order.digest, order.url, order.token))


_HANDLERS: dict[type[WorkerOrder], Callable[[WorkerAgentState, Any], None]] = {
    SayHello: _on_say_hello,
    Run: _on_run,
    Staged: _on_staged,
    TakeBack: _on_take_back,
    Kill: _on_kill,
    Acknowledge: _on_acknowledge,
    Drain: _on_drain,
    Resume: _on_resume,
    Stop: _on_stop,
    Welcome: _on_welcome,
    Replace: _on_replace,
}
