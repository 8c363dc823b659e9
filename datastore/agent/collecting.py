"""Results on their way in, up to incoming: Collect, Abandon and Forget orders, and what the fetching tells. Pure."""

from __future__ import annotations

from typing import Literal

from datastore.agent import warnings
from datastore.agent.effects import Discard, DropRecords, FetchResults, StopFetching
from datastore.agent.events import Discarded, FetchFailed, ResultsFetched
from datastore.agent.moves import leave, move
from datastore.agent.records import published
from datastore.agent.state import Collection, DatastoreAgentState, IgnoredEvent, Step
from datastore.paths import NameRefusedError, clash, clean_name, clean_path, folders_of, shown
from wire.messages import Abandon, Abandoned, AttemptKey, Collect, Forget

# --- orders -----------------------------------------------------------------------------------------


def on_collect(state: DatastoreAgentState, order: Collect) -> None:
    key = (order.task, order.attempt)
    record = state.records.get(key)
    collection = state.collections.get(key)
    if record is not None and collection is None:
        state.report(published(record))
    elif collection is not None:
        _ordered_again(collection, order)
    elif key in state.ended:
        state.report(state.ended[key])
    else:
        _begin(state, order)


def _ordered_again(collection: Collection, order: Collect) -> None:
    """Its answer will come; but a worker that moved meanwhile is looked for at its new place."""
    if collection.step is Step.WAITING and order.worker == collection.order.worker:
        collection.order = order


def _begin(state: DatastoreAgentState, order: Collect) -> None:
    refused = fenced(state, (order.task, order.attempt)) or _path_refused(order)
    if refused is not None:
        _end(state, refused)
        return
    collection = Collection(order)
    state.collections[collection.key] = collection
    move(state, collection, Step.WAITING)
    state.lanes.add(collection.lane, collection.key)


def on_abandon(state: DatastoreAgentState, order: Abandon) -> None:
    key = (order.task, order.attempt)
    collection = state.collections.get(key)
    if collection is not None:
        _give_up(state, collection, Abandoned(task=key[0], attempt=key[1], fault="asked", reason=order.reason))
    elif key in state.records:
        state.report(published(state.records[key]))
    else:
        asked = Abandoned(task=key[0], attempt=key[1], fault="asked", reason=order.reason)
        _end(state, state.ended.get(key, asked))


def on_forget(state: DatastoreAgentState, order: Forget) -> None:
    dropped = []
    for task, attempt in order.attempts:
        key = (task, attempt)
        state.ended.pop(key, None)
        collection = state.collections.get(key)
        if collection is not None:
            # The boss is through with it while it is under way here: nothing of it is to appear if that can be.
            _give_up(state, collection, Abandoned(task=task, attempt=attempt, fault="asked", reason="forgotten"))
        elif state.forget_record(key):
            dropped.append(key)
    if dropped:
        state.effects.append(DropRecords(dropped, state.deployment))


def _give_up(state: DatastoreAgentState, collection: Collection, ending: Abandoned) -> None:
    """End it as `ending`, if its record is not being written; its answer comes when its files are gone."""
    if collection.ending is not None:
        return
    collection.ending = ending
    if collection.step is Step.WAITING:
        _leave_waiting(state, collection)
        if collection.tries:
            discard(state, collection, ending)  # what the tries have left
        else:
            finish(state, collection)
    elif collection.step is Step.FETCHING:
        state.effects.append(StopFetching(collection.key))
    elif collection.step is Step.FETCHED:
        del state.fetched[collection.key]
        discard(state, collection, ending)


def _leave_waiting(state: DatastoreAgentState, collection: Collection) -> None:
    if state.retries.pop(collection.key, None) is None:
        state.lanes.remove(collection.lane, collection.key)


# --- what the transfers and the disk tell ------------------------------------------------------------


def on_fetched(state: DatastoreAgentState, event: ResultsFetched) -> None:
    collection = state.collections.get(event.key)
    if collection is None or collection.step is not Step.FETCHING:
        state.ignore(IgnoredEvent.NO_SUCH_FETCH)
        return
    _not_for_room(state, event.key)
    if collection.ending is not None:
        discard(state, collection, collection.ending)
        return
    move(state, collection, Step.FETCHED)
    state.fetched[collection.key] = None


def on_fetch_failed(state: DatastoreAgentState, event: FetchFailed) -> None:
    collection = state.collections.get(event.key)
    if collection is None or collection.step is not Step.FETCHING:
        state.ignore(IgnoredEvent.NO_SUCH_FETCH)
        return
    if collection.ending is None and event.fault in ("result", "path", "host"):
        task, attempt = collection.key
        collection.ending = Abandoned(task=task, attempt=attempt, fault=event.fault, reason=event.reason)
    if collection.ending is not None:
        _finish_fetched(state, collection, event)
    elif event.fault in ("no_space", "full"):
        move(state, collection, Step.WAITING)
        state.without_room[event.key] = None
        warnings.add(state, "fetch", event.reason)
        due = state.now + state.policy.disk_retry_seconds
        if event.fault == "no_space":
            state.retries[event.key] = due
        else:
            state.fetch_after = due
            state.lanes.add(collection.lane, collection.key)
    else:
        _not_for_room(state, event.key)
        _try_again(state, collection, event)


def _not_for_room(state: DatastoreAgentState, key: AttemptKey) -> None:
    """It no longer waits for disk space; the warning of a full disk stays while anything does."""
    state.without_room.pop(key, None)
    if not state.without_room:
        warnings.clear(state, "fetch")


def _try_again(state: DatastoreAgentState, collection: Collection, event: FetchFailed) -> None:
    """What changed while it was sent is fetched again as what could not be fetched; in the end it is no result."""
    collection.tries += 1
    if collection.tries < state.policy.tries:
        move(state, collection, Step.WAITING)
        state.retries[collection.key] = state.now + state.policy.retry_seconds * collection.tries
        return
    task, attempt = collection.key
    fault: Literal["result", "transfer"] = "result" if event.fault == "changed" else "transfer"
    said = f"{event.reason} ({collection.tries} tries)"
    collection.ending = Abandoned(task=task, attempt=attempt, fault=fault, reason=said)
    _finish_fetched(state, collection, event)


def _finish_fetched(state: DatastoreAgentState, collection: Collection, event: FetchFailed) -> None:
    """It ends as `ending`, once nothing is left of it."""
    assert collection.ending is not None
    if event.fault in ("transfer", "changed"):
        discard(state, collection, collection.ending)
    else:
        finish(state, collection)


def on_discarded(state: DatastoreAgentState, event: Discarded) -> None:
    for key in event.keys:
        collection = state.collections.get(key)
        if collection is not None and collection.step is Step.DISCARDING:
            finish(state, collection)


def on_transfer_ended(state: DatastoreAgentState, keys: list[AttemptKey], error: str) -> None:
    """Whoever was not answered failed with the transfer."""
    for key in keys:
        collection = state.collections.get(key)
        if collection is not None and collection.step is Step.FETCHING:
            reason = error or "the transfer ended without a word about this attempt"
            on_fetch_failed(state, FetchFailed(key, "transfer", reason))


# --- used by publishing too -------------------------------------------------------------------------


def discard(state: DatastoreAgentState, collection: Collection, ending: Abandoned) -> None:
    """Its files are in incoming and are to go."""
    collection.ending = ending
    move(state, collection, Step.DISCARDING)
    state.effects.append(Discard([collection.key]))


def finish(state: DatastoreAgentState, collection: Collection) -> None:
    """Nothing of it is left here: say so."""
    assert collection.ending is not None
    leave(state, collection, Step.ABANDONED)
    _not_for_room(state, collection.key)
    _end(state, collection.ending)


def _end(state: DatastoreAgentState, end: Abandoned) -> None:
    state.remember_end((end.task, end.attempt), end)
    state.report(end)


def fenced(state: DatastoreAgentState, key: AttemptKey) -> Abandoned | None:
    """How it ends if a higher attempt of its task is published."""
    task, attempt = key
    highest = state.fences.get(task, 0)
    if attempt >= highest:
        return None
    reason = f"attempt {highest} of task {task} is published already"
    return Abandoned(task=task, attempt=attempt, fault="fenced", reason=reason)


def _path_refused(order: Collect) -> Abandoned | None:
    reason = _refusal(order)
    if not reason:
        return None
    return Abandoned(task=order.task, attempt=order.attempt, fault="path", reason=reason)


# --- names that an order may not have: those that leave their directory, and those that cannot all be ---


def _refusal(order: Collect) -> str:
    """Why its names are refused; empty: they are not."""
    try:
        for file in order.files:
            clean_path(file.source)
            clean_name(file.target)
        for folder in order.folders:
            clean_path(folder.source)
            clean_name(folder.target)
            for inner in folder.empty:
                clean_name(f"{folder.target}/{inner}")
    except NameRefusedError as error:
        return str(error)
    # A folder without files is as a file to whatever else wants its name, or a name below it.
    empty = (f"{folder.target}/{inner}" for folder in order.folders for inner in folder.empty)
    return clash([*(file.target for file in order.files), *empty]) or _folders_clash(order)


def _folders_clash(order: Collect) -> str:
    if not order.folders:
        return ""
    targets = [folder.target for folder in order.folders]
    wanted = set(targets)
    files = {file.target for file in order.files}
    for target in targets:
        if target in files:
            return f"{shown(target)} is named as a file and as a folder"
        if any(above in wanted or above in files for above in folders_of(target)):
            return f"{shown(target)} is a folder of its own in another one"
    if len(wanted) == len(targets):
        return ""
    return f"{shown(next(target for target in targets if targets.count(target) > 1))} is named twice"


# --- every turn -------------------------------------------------------------------------------------


def requeue_due(state: DatastoreAgentState) -> None:
    """Put back into their lanes what waited long enough."""
    for key in [key for key, due in state.retries.items() if due <= state.now]:
        del state.retries[key]
        state.lanes.add(state.collections[key].lane, key)


def start(state: DatastoreAgentState, number: int, worker: str, keys: list[AttemptKey]) -> None:
    for key in keys:
        move(state, state.collections[key], Step.FETCHING)
    state.effects.append(FetchResults(number, worker, [state.collections[key].order for key in keys]))
