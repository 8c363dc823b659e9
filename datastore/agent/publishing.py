"""From incoming into the tree: sync, record, place, for many attempts at once. Pure.

The order is the whole point. Files are durable in incoming before their record is written; the record is durable
before the first file gets its name; Published is said when the names are durable. Up to the record an attempt can
be given up; from then on it can only be completed, by this incarnation or the next.
"""

from __future__ import annotations

import msgspec

from datastore.agent import warnings
from datastore.agent.collecting import discard, fenced
from datastore.agent.effects import DropRecords, PlaceFiles, Sweep, SyncIncoming, WriteRecords
from datastore.agent.events import IncomingSynced, StepFailed
from datastore.agent.moves import leave, move, move_batch
from datastore.agent.records import Record, published, record_of
from datastore.agent.state import DatastoreAgentState, IgnoredEvent, Publishing, PublishStep, Step
from datastore.paths import folders_of
from wire.messages import Abandoned, AttemptKey

#: Of one batch.
MAX_ATTEMPTS = 5_000
MAX_FILES = 20_000

# --- every turn -------------------------------------------------------------------------------------


def advance(state: DatastoreAgentState) -> None:
    """Begin the next batch, or a failed step again, when it is time."""
    batch = state.publishing
    if batch is not None:
        if batch.due is not None and batch.due <= state.now:
            batch.due = None
            _begin_step(state, batch)
        return
    if not state.ready or state.now < state.publish_after:
        return
    records = _choose(state)
    if records:
        for record in records:
            move(state, state.collections[record.key], Step.PUBLISHING)
            del state.fetched[record.key]
        _to_step(state, Publishing(records), PublishStep.SYNC)


def _choose(state: DatastoreAgentState) -> list[Record]:
    """What goes into the next batch: no two attempts of a task, no two files that want one name."""
    records: list[Record] = []
    tasks: set[int] = set()
    names: set[str] = set()
    folders: set[str] = set()
    files = 0
    for key in list(state.fetched):
        collection = state.collections[key]
        refusal = fenced(state, key)
        if refusal is not None:
            del state.fetched[key]
            discard(state, collection, refusal)
            continue
        record = record_of(collection.order, state.deployment, state.incarnation)
        targets = record.names()
        above = {folder for target in targets for folder in folders_of(target)}
        apart = names.isdisjoint(targets) and names.isdisjoint(above) and folders.isdisjoint(targets)
        if key[0] in tasks or not apart:
            continue
        files += len(record.files)
        if records and files > MAX_FILES:
            break
        records.append(record)
        tasks.add(key[0])
        names.update(targets)
        folders |= above
        if len(records) == MAX_ATTEMPTS:
            break
    return records


def _to_step(state: DatastoreAgentState, batch: Publishing, step: PublishStep) -> None:
    move_batch(state, batch, step)
    _begin_step(state, batch)


def _begin_step(state: DatastoreAgentState, batch: Publishing) -> None:
    if batch.step is PublishStep.SYNC:
        state.effects.append(SyncIncoming(batch.records))
    elif batch.step is PublishStep.RECORD:
        state.effects.append(WriteRecords(batch.records))
    else:
        state.effects.append(PlaceFiles(batch.records))


# --- what the disk tells ----------------------------------------------------------------------------


def on_synced(state: DatastoreAgentState, event: IncomingSynced) -> None:
    batch = _under_way(state, PublishStep.SYNC)
    if batch is None:
        return
    refused, built = dict(event.refused), dict(event.folders)
    kept = []
    for record in batch.records:
        collection = state.collections[record.key]
        ending = collection.ending or _refusal(record.key, refused) or fenced(state, record.key)
        if ending is None:
            kept.append(_built(record, built.get(record.key, [])))
        else:
            discard(state, collection, ending)
    if kept:
        batch.records = kept
        _to_step(state, batch, PublishStep.RECORD)
    else:
        move_batch(state, batch, PublishStep.OVER)


def _built(record: Record, inodes: list[int]) -> Record:
    """With the inodes of its folders."""
    if not inodes:
        return record
    known = [msgspec.structs.replace(each, inode=inode) for each, inode in zip(record.folders, inodes, strict=True)]
    return msgspec.structs.replace(record, folders=known)


def _refusal(key: AttemptKey, refused: dict[AttemptKey, str]) -> Abandoned | None:
    if key not in refused:
        return None
    return Abandoned(task=key[0], attempt=key[1], fault="path", reason=refused[key])


def on_recorded(state: DatastoreAgentState) -> None:
    batch = _under_way(state, PublishStep.RECORD)
    if batch is None:
        return
    for record in batch.records:
        state.remember_record(record)
    _to_step(state, batch, PublishStep.PLACE)


def on_placed(state: DatastoreAgentState) -> None:
    batch = _under_way(state, PublishStep.PLACE)
    if batch is None:
        return
    move_batch(state, batch, PublishStep.OVER)
    warnings.clear(state, "publish")
    if batch.recovering:
        state.effects.append(Sweep())
        return
    for record in batch.records:
        leave(state, state.collections[record.key], Step.PUBLISHED)
        state.report(published(record))


def on_step_failed(state: DatastoreAgentState, event: StepFailed) -> None:
    """Tried again after a while; nothing is lost. Only what is certainly not recorded can still be given up."""
    batch = state.publishing
    if batch is None or batch.due is not None:
        state.ignore(IgnoredEvent.NO_SUCH_STEP)
        return
    due = state.now + state.policy.disk_retry_seconds
    warnings.add(state, "publish", event.reason)
    batch.unclear = batch.unclear or (batch.step is PublishStep.RECORD and not event.full)
    if batch.step is PublishStep.SYNC or (batch.step is PublishStep.RECORD and not batch.unclear):
        move_batch(state, batch, PublishStep.OVER)
        state.publish_after = due
        for record in batch.records:
            collection = state.collections[record.key]
            if collection.ending is not None:
                discard(state, collection, collection.ending)
            else:
                move(state, collection, Step.FETCHED)
                state.fetched[collection.key] = None
    else:
        batch.due = due


def _under_way(state: DatastoreAgentState, step: PublishStep) -> Publishing | None:
    batch = state.publishing
    if batch is None or batch.step is not step or batch.due is not None:
        state.ignore(IgnoredEvent.NO_SUCH_STEP)
        return None
    return batch


# --- the start --------------------------------------------------------------------------------------


def recover(state: DatastoreAgentState, records: list[Record]) -> None:
    """Complete every record before anything else. Those of another deployment are then of no more use."""
    foreign: dict[str, list[AttemptKey]] = {}
    for record in records:
        if record.deployment == state.deployment:
            state.remember_record(record)
            state.recovered[record.key] = None
        else:
            foreign.setdefault(record.deployment, []).append(record.key)
    _to_step(state, Publishing(records, recovering=True), PublishStep.PLACE)
    state.foreign = foreign


def after_sweep(state: DatastoreAgentState) -> None:
    for deployment, keys in state.foreign.items():
        state.effects.append(DropRecords(keys, deployment))
    state.foreign = {}
