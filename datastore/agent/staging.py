"""Inputs on their way out: Stage orders and what becomes of them. Pure.

A Stage whose input is a sent file that is just getting its name waits for that, instead of failing for want of it.
"""

from __future__ import annotations

from datastore.agent.effects import StageFiles
from datastore.agent.events import InputsStaged, not_staged
from datastore.agent.state import DatastoreAgentState, IgnoredEvent, StagingOrder
from datastore.paths import NameRefusedError, clean_name
from wire.messages import AttemptKey, Stage


def on_stage(state: DatastoreAgentState, order: Stage) -> None:
    key = (order.task, order.attempt)
    staging = state.stagings.get(key)
    if staging is not None:
        if not staging.running and staging.order.worker == order.worker:
            staging.order = order
        return
    reason = _refused(order)
    if reason:
        state.report(not_staged(order, "input", reason))
        return
    state.stagings[key] = StagingOrder(order)
    if _waits_for_store(state, order):
        state.held_stagings[key] = None
    else:
        state.lanes.add(state.stagings[key].lane, key)


def _refused(order: Stage) -> str:
    try:
        for each in order.inputs:
            clean_name(each.name)
    except NameRefusedError as error:
        return f"fetching required files failed: {error}"
    return ""


def _waits_for_store(state: DatastoreAgentState, order: Stage) -> bool:
    if not state.stores and not state.storing:
        return False
    return any(
        (each.name, each.digest) in state.stores or (each.name, each.digest) in state.storing for each in order.inputs
    )


def release(state: DatastoreAgentState) -> None:
    """Some sent files have their names now: whoever waited for them may go on."""
    for key in list(state.held_stagings):
        staging = state.stagings[key]
        if not _waits_for_store(state, staging.order):
            del state.held_stagings[key]
            state.lanes.add(staging.lane, key)


def start(state: DatastoreAgentState, number: int, worker: str, keys: list[AttemptKey]) -> None:
    for key in keys:
        state.stagings[key].running = True
    state.effects.append(StageFiles(number, worker, [state.stagings[key].order for key in keys]))


def on_staged(state: DatastoreAgentState, event: InputsStaged) -> None:
    answer = event.answer
    staging = state.stagings.get((answer.task, answer.attempt))
    if staging is None or not staging.running:
        state.ignore(IgnoredEvent.NO_SUCH_STAGING)
        return
    del state.stagings[answer.task, answer.attempt]
    state.report(answer)


def on_transfer_ended(state: DatastoreAgentState, keys: list[AttemptKey], error: str) -> None:
    """Whoever was not answered failed with the transfer."""
    for task, attempt in keys:
        staging = state.stagings.get((task, attempt))
        if staging is not None and staging.running:
            reason = error or "the transfer ended without a word about this attempt"
            answer = not_staged(staging.order, "transfer", reason)
            on_staged(state, InputsStaged(answer))
