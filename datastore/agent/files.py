"""Single files: sent ones get their name, names are looked up, and what users want is sent to the boss. Pure.

One content is sent to the boss once at a time; a question that is repeated meanwhile has its answer already on the way.
"""

from __future__ import annotations

from datastore.agent import staging, warnings
from datastore.agent.effects import LookUpNames, SendFile, StoreFiles
from datastore.agent.events import FileSent, NamesFound, StoresEnded
from datastore.agent.state import DatastoreAgentState, IgnoredEvent
from datastore.paths import NameRefusedError, clean_name
from wire.messages import Found, LookUp, Send, SendFailed, Store, StoreFailed

#: Files of one StoreFiles.
MAX_FILES = 1_000


def on_store(state: DatastoreAgentState, order: Store) -> None:
    try:
        clean_name(order.name)
    except NameRefusedError as error:
        state.report(StoreFailed(name=order.name, digest=order.digest, reason=str(error)))
        return
    identity = (order.name, order.digest)
    if identity not in state.storing:
        state.stores[identity] = order


def advance(state: DatastoreAgentState) -> None:
    if state.storing or not state.stores or state.now < state.store_after:
        return
    for identity in list(state.stores)[:MAX_FILES]:
        state.storing[identity] = state.stores.pop(identity)
    state.effects.append(StoreFiles(list(state.storing.values())))


def on_stores_ended(state: DatastoreAgentState, event: StoresEnded) -> None:
    for answer in event.answers:
        if state.storing.pop((answer.name, answer.digest), None) is not None:
            state.report(answer)
    if state.storing:
        # No space: they wait, in their order, before what came later.
        state.stores = {**state.storing, **state.stores}
        state.storing = {}
        state.store_after = state.now + state.policy.disk_retry_seconds
        warnings.add(state, "store", event.full or "some sent files could not be stored")
    else:
        warnings.clear(state, "store")
    staging.release(state)


def on_look_up(state: DatastoreAgentState, order: LookUp) -> None:
    if state.looking.get(order.task) == order:
        return
    state.looking[order.task] = order
    state.effects.append(LookUpNames(order))


def on_found(state: DatastoreAgentState, event: NamesFound) -> None:
    answer: Found = event.answer
    if state.looking.pop(answer.task, None) is None:
        state.ignore(IgnoredEvent.NO_SUCH_LOOK_UP)
        return
    state.report(answer)


def on_send(state: DatastoreAgentState, order: Send) -> None:
    try:
        clean_name(order.name)
    except NameRefusedError as error:
        state.report(SendFailed(digest=order.digest, reason=str(error)))
        return
    if order.digest not in state.sending:
        state.sending[order.digest] = order
        state.effects.append(SendFile(order))


def on_sent(state: DatastoreAgentState, event: FileSent) -> None:
    if state.sending.pop(event.answer.digest, None) is None:
        state.ignore(IgnoredEvent.NO_SUCH_SENDING)
        return
    state.report(event.answer)
