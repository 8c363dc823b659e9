"""Rows back into the state: a start, and batches that come back into memory.

Only facts are read; counters are computed from them by the same arithmetic as at acceptance. Whatever was
under way stays under way: leases start again, workers and the datastore are asked what they hold.
"""

from __future__ import annotations

from array import array

import msgspec

from boss.core import claims, instances, moves, outdated, quarantine
from boss.core.accept import wait_for_file
from boss.core.attempts import superseded, tree_prefix
from boss.core.events import BatchesLoaded
from boss.core.graph import CANCELLING, DROPPED, RESULTS, Batch, attach, reverse_edges
from boss.core.instance_state import nic_state, set_instance_state
from boss.core.model import COMING, InstanceState, NicState, Phase, TaskState, WorkerState
from boss.core.rows import AttemptRow, FileRow, Loaded, LoadedBatch
from boss.core.state import Attempt, Datastore, Instance, State, Worker
from wire.messages import ManifestEntry, Outcome, Place, ResultFolder

_place = msgspec.json.Decoder(Place)
_manifest = msgspec.json.Decoder(list[ManifestEntry])
_folders = msgspec.json.Decoder(list[ResultFolder])


def restore(state: State, loaded: Loaded) -> None:
    state.deployment = loaded.deployment
    state.epoch = loaded.epoch
    state.next_task = loaded.next_task
    state.next_batch = loaded.next_batch
    state.next_instance = loaded.next_instance
    for name, pool in state.pools.items():
        pool.boots.extend(loaded.boots.get(name, ()))
        pool.spent.update(loaded.spent.get(name, {}))
    for row in loaded.workers:
        worker = state.workers[row.id] = Worker(row, _place.decode(row.place) if row.place else None, state.now)
        quarantine.plan(state, worker)
        if worker.state is WorkerState.LOST:
            state.at(state.now + state.orphan_after(worker.kind.pool), "silent", worker.id)
        worker.connected = False  # it is sent nothing new before it has reported
    for instance in loaded.instances:
        known = Instance(instance, state.now)
        state.add_instance(known)
        _said_hello(state, known)
        if known.state is InstanceState.STOPPING:
            instances.drain(state, known)  # its worker may have said hello to a boss that was stopping
        if known.state is not InstanceState.RUNNING:
            instances.expect_hello(state, known)
            state.at(state.now + state.policy.ask_again, "stop", instance.number)
        if nic_state(known) is not NicState.NONE:
            state.at(state.now + state.policy.ask_again, "nic", instance.number)
    for worker in state.workers.values():
        claims.restored(state, worker)
    batches = _build(state, loaded.batches, loaded.outside, loaded.crossing)
    _attempts(state, loaded.attempts)
    for task, worker_id, seconds in loaded.took:
        _learn(state, task, worker_id, seconds)
    for batch in batches:
        _continue(state, batch)
        state.dirty_batches[batch.number] = None
    for file in loaded.files:
        _file(state, file)
    state.nics_due = dict.fromkeys(state.instance_for)
    state.records = dict.fromkeys(loaded.records, 0.0)
    state.at(state.now + state.policy.ask_again, "ask_old", None)


def take_along(state: State, before: State) -> None:
    """Of a memory that was dropped, what stands in no row: the numbers from which its orders go on, what the boss
    learned when it started, what clients wait for. Whoever is connected is to be asked for its hello."""
    state.unknown_incarnations = before.unknown_incarnations
    for name, known in before.workers.items():
        if name in state.workers:
            state.workers[name].number = known.number
        else:
            state.unknown_incarnations[name] = max(known.number, state.unknown_incarnations.get(name, 0))
    datastore = before.datastore
    state.datastore = Datastore(
        datastore.incarnation,
        datastore.number,
        connected=datastore.connected,
        warning=datastore.warning,
        disk_free=datastore.disk_free,
    )
    state.sending, state.bundles, state.rejected = before.sending, before.bundles, before.rejected
    state.other_versions, state.durations = before.other_versions, before.durations
    state.stopping = before.stopping  # that it may end was decided in the turn that is dropped, and is again


def _said_hello(state: State, instance: Instance) -> None:
    """Its worker said hello to a boss that was stopping and had let go of its instances."""
    worker = state.workers.get(instance.row.worker)
    if instance.state not in COMING or worker is None:
        return
    if worker.row.first_seen_at >= instance.row.requested_at:  # else it is the last one of that name
        instance.row.hello_at = worker.row.first_seen_at
        set_instance_state(state, instance, InstanceState.RUNNING, "its worker said hello to the boss before")


def _learn(state: State, task: int, worker_id: str, seconds: float) -> None:
    """What such tasks take is known from those that have ended."""
    found = state.find(task)
    if found is None:
        return
    worker = state.workers.get(worker_id)
    pool = worker.kind.pool if worker is not None else worker_id.rpartition("-")[0]
    state.durations.learn(found[0].profile(found[1]).template, pool, seconds)


def on_batches_loaded(state: State, event: BatchesLoaded) -> None:
    """Batches that a user's command requires again."""
    new = [one for one in event.batches if one.row.number not in state.batches]
    for batch in _build(state, new, event.outside, event.crossing):
        _continue(state, batch)
        state.idle_batches[batch.number] = None


def _build(
    state: State, loaded: list[LoadedBatch], outside: dict[int, int], crossing: list[tuple[int, int]]
) -> list[Batch]:
    for one in loaded:
        state.add_batch(_columns(one))
    batches = [state.batches[one.row.number] for one in loaded]
    for one, batch in zip(loaded, batches, strict=True):
        _count(state, one, batch, outside)
    for dependency, dependant in crossing:
        _cross(state, dependency, dependant)
    return batches


def _continue(state: State, batch: Batch) -> None:
    """Once attempts are known: what is queued waits for a worker, and those that were pushed with tasks of older
    batches end after them."""
    for number in () if batch.row.finished_at else array("q", batch.row.attached):
        older = state.find(number)
        if older is not None and older[0].number not in batch.awaits and older[0].unfinished():
            attach(batch, older[0])
    for index in range(batch.count):
        if batch.states[index] == TaskState.QUEUED and state.live(batch, index) is None:
            moves.enqueue(state, batch, index)


def _columns(one: LoadedBatch) -> Batch:
    batch = Batch(one.row, one.states, one.profile_of, one.profiles)
    batch.attempts, batch.failures, batch.deaths, batch.sizes = one.attempts, one.failures, one.deaths, one.sizes
    batch.inits = list(one.inits)
    for number in one.cancelling:
        batch.flags[number - batch.first] |= CANCELLING
    for number in one.dropped:
        batch.flags[number - batch.first] |= DROPPED
    for number, row in one.outdated.items():
        batch.outdated[number - batch.first] = outdated.decoded(row)
    for index in one.with_results:
        batch.flags[index] |= RESULTS
    batch.counts = batch.count_states()
    return batch


def _count(state: State, one: LoadedBatch, batch: Batch, outside: dict[int, int]) -> None:
    """Unmet and broken dependencies of every task, and the dependants inside the batch."""
    starts, targets = one.dependency_starts, one.dependency_targets
    first, last = batch.first, batch.first + batch.count
    inner_starts, inner = array("I", [0]), array("I")
    for index in range(batch.count):
        dependencies = targets[starts[index] : starts[index + 1]]
        moves.count_dependencies(state, batch, index, dependencies, outside)
        inner.extend(number - first for number in dependencies if first <= number < last)
        inner_starts.append(len(inner))
    batch.dependant_starts, batch.dependants = reverse_edges(batch.count, inner_starts, inner)


def _cross(state: State, dependency: int, dependant: int) -> None:
    above, below = state.find(dependency), state.find(dependant)
    if above is None or below is None:
        return
    dependants = state.crossing.setdefault(dependency, [])
    if dependant not in dependants:
        dependants.append(dependant)
        above[0].links.add(below[0].number)
        below[0].links.add(above[0].number)


def _file(state: State, row: FileRow) -> None:
    """It is still to get its name. The row names the last push that brought it; earlier ones may wait too."""
    identity = (row.name, row.digest)
    state.files[identity] = row
    state.files_for[identity] = {}
    prefix = _prefix(row.name)
    for batch in state.batches.values():
        if tree_prefix(batch.row.project) == prefix and batch.number <= row.batch and batch.unfinished():
            wait_for_file(state, row, batch)


def _prefix(name: str) -> str:
    """Of the project that a name in the tree belongs to."""
    parts = name.split("/", 2)
    return tree_prefix(parts[1]) if parts[0] == "projects" and len(parts) == 3 else ""


def _attempts(state: State, rows: list[AttemptRow]) -> None:
    by_init = {init.number: (batch, at) for batch in state.batches.values() for at, init in enumerate(batch.inits)}
    for row in rows:
        found = state.find(row.task)
        owner = by_init.get(row.task)
        if found is not None:
            _live(state, row, *found, init=False)
        elif owner is not None:
            _live(state, row, *owner, init=True)


def _live(state: State, row: AttemptRow, batch: Batch, index: int, *, init: bool) -> None:
    attempt = Attempt(batch, index, row, init=init)
    attempt.cancelling = batch.inits[index].retired if init else bool(batch.flags[index] & CANCELLING)
    if not init and not attempt.started():
        # A dependency was redone after it was sent: the question went out, and may be lost.
        attempt.asked_back = moves.follows(batch, index) is not TaskState.QUEUED or superseded(attempt)
    state.attempts[attempt.key] = attempt
    batch.live += 1
    worker = state.workers.get(row.worker)
    if attempt.phase is Phase.COLLECTING:
        attempt.slots = 0
        attempt.outcome = Outcome(
            task=row.task,
            attempt=row.attempt,
            ended="succeeded",
            manifest=_manifest.decode(row.manifest or b"[]"),
            folders=_folders.decode(row.folders or b"[]"),
        )
    elif worker is not None:
        attempt.slots = 1 if init else min(batch.profile(index).slots, worker.slots)
    if attempt.phase in (Phase.STAGING, Phase.COLLECTING):
        state.at_datastore[attempt.key] = None
    if worker is not None:
        worker.attempts[attempt.key] = attempt
        state.load(worker, attempt.slots)
