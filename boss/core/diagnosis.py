"""Why work waits: the state read for one task (`why`), and for all of it (`conditions`).

    why          everything that has to change before a task goes on, what decides first; never empty for a task that is
                 pending, queued or blocked
    conditions   what keeps work from going on at present, whoever's it is: what `status` shows

Reads the state and changes nothing. The cost is that of the workers and pools, never of all tasks that there are. The
state knows of a task what depends on it, not the other way round: to know on which tasks one waits, and not
only on how many, the caller hands in its dependencies as they stand in its row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice

from boss.core.graph import Batch
from boss.core.instance_state import waits_for_nic
from boss.core.model import BROKEN, COMING, Phase, TaskState, WorkerState
from boss.core.policy import PoolPolicy
from boss.core.ready import Demand, Kind, Waiting
from boss.core.reasons import NotMore, NotMoreKind, Pause, PauseKind
from boss.core.retry import retries_of
from boss.core.scaling.demand import kind_of
from boss.core.state import Attempt, State, Worker
from boss.core.waits import (
    BatchPaused,
    Blocked,
    ClaimRefused,
    Collecting,
    DatastoreHeld,
    Dependencies,
    Dependency,
    FileNotStored,
    FilesWaiting,
    InitTasks,
    InputsAwaited,
    InputsNotBrought,
    Lack,
    Misfit,
    NoBroker,
    NoDatastore,
    NoFit,
    NoWorker,
    OtherVersion,
    PoolCannotGrow,
    PoolGrows,
    PoolLimited,
    PoolRemoved,
    PoolStartsFail,
    ResultsSought,
    Retry,
    SentAhead,
    Staging,
    Stopping,
    TakenBack,
    UnknownPool,
    Wait,
    WorkerQuarantined,
    WorkersBusy,
    WorkersNotServing,
)
from wire.messages import VERSION

#: Of many dependencies, kinds of workers, quarantined workers so many are named.
SHOWN = 10
#: Of files that could not be stored.
FILES_SHOWN = 3


# --- one task ----------------------------------------------------------------------------------------


def why(
    state: State, batch: Batch, index: int, dependencies: Mapping[int, TaskState] | None = None
) -> tuple[Wait, ...]:
    """Why this task does not go on; empty: it executes, or has ended.

    `dependencies`: the tasks that it depends on, and their states as the database has them: what is in memory is newer.
    """
    task_state = TaskState(batch.states[index])
    if task_state is TaskState.PENDING:
        which = _which(state, dependencies, lambda now: now is not TaskState.SUCCEEDED)
        return Dependencies(batch.unmet[index], which), *_held(state, batch)
    if task_state is TaskState.BLOCKED:
        return (Blocked(batch.broken[index], _which(state, dependencies, lambda now: now in BROKEN)),)
    attempt = state.live(batch, index)
    if attempt is not None:
        return tuple(_of_attempt(state, attempt))
    return tuple(_of_queued(state, batch, index)) if task_state is TaskState.QUEUED else ()


def _which(
    state: State, dependencies: Mapping[int, TaskState] | None, matches: Callable[[TaskState], bool]
) -> tuple[Dependency, ...]:
    states = ((task, _newest(state, task, stored)) for task, stored in (dependencies or {}).items())
    return tuple(islice((Dependency(task, now) for task, now in states if matches(now)), SHOWN))


def _newest(state: State, task: int, stored: TaskState) -> TaskState:
    found = state.find(task)
    return TaskState(found[0].states[found[1]]) if found is not None else stored


def _held(state: State, batch: Batch) -> Iterator[Wait]:
    """What keeps all of its batch."""
    if batch.row.paused:
        yield _paused(batch)
    if batch.files_waiting:
        yield FilesWaiting(batch.number, batch.files_waiting)
        for identity, text in state.files_failed.items():
            if batch.number in state.files_for.get(identity, ()):
                yield FileNotStored(*identity, text)
        yield from _no_datastore(state)


def _of_queued(state: State, batch: Batch, index: int) -> Iterator[Wait]:
    number = batch.first + index
    profile = batch.profile(index)
    if number in state.delayed:
        at = state.wall + state.delayed[number] - state.now
        yield Retry(at, batch.failures[index], retries_of(state, profile))
    elif number in state.looking_up:
        yield ResultsSought()
        yield from _no_datastore(state)
    elif number in state.comparing:
        yield InputsAwaited()
    if batch.held():
        yield from _held(state, batch)
    elif state.stopping:
        yield Stopping()
    elif state.leases_from is None:
        yield NoBroker()
    elif number not in state.delayed and number not in state.looking_up and number not in state.comparing:
        yield from _of_ready(state, Demand.of(profile))


def _of_attempt(state: State, attempt: Attempt) -> Iterator[Wait]:
    """It is on a worker, or its results are on their way from there."""
    if attempt.phase is Phase.EXECUTING:
        return
    if attempt.phase is Phase.COLLECTING:
        yield Collecting(attempt.worker)
        yield from _no_datastore(state)
        yield from _datastore_held(state)
        return
    worker = state.workers[attempt.worker]
    if attempt.asked_back or attempt.cancelling:
        yield TakenBack(attempt.worker)
    elif attempt.phase is Phase.STAGING:
        since = state.wall - (state.now - attempt.asked_at) if attempt.asked_at else 0.0
        yield Staging(attempt.worker, since)
        yield from _no_datastore(state)
        yield from _inputs_not_brought(worker)
    else:
        inits = sum(not row.retired and row.number not in worker.initialized for row in attempt.batch.inits)
        if inits:
            yield InitTasks(attempt.worker, inits, waits_for_nic(state, worker.id))
        else:
            yield SentAhead(attempt.worker, worker.connected)
    yield from _held(state, attempt.batch)


# --- workers and pools for what is ready --------------------------------------------------------------


def _of_ready(state: State, demand: Demand) -> Iterator[Wait]:
    """Nothing of the task's own is in the way: which workers and pools could run it, and why they do not."""
    fitting = [worker for worker in _present(state) if demand.fits(worker.kind)]
    pools = [pool for pool in state.policy.pools if pool.role == "workers" and demand.fits(kind_of(state, pool))]
    waiting = state.ready.by_demand.get(demand)
    tasks = waiting.count if waiting is not None else 0
    if not fitting and not pools:
        unknown = demand.pool and demand.pool not in state.pools
        there = Counter(worker.kind for worker in _present(state))
        yield UnknownPool(demand.pool, tasks, tuple(state.pools)) if unknown else _no_fit(state, demand, tasks, there)
        return
    yield from _of_workers(state, fitting, tasks)
    for pool in pools:
        yield from _of_pool(state, pool)


def _of_workers(state: State, fitting: list[Worker], tasks: int) -> Iterator[Wait]:
    """Workers that could run it: they are busy, quarantined, or take nothing for another reason."""
    busy = [worker for worker in fitting if worker.serves() and worker.connected]
    if busy:
        yield WorkersBusy(len(busy), sum(worker.slots for worker in busy), tasks)
    idle = [worker for worker in fitting if not (worker.serves() and worker.connected)]
    for worker in [worker for worker in idle if worker.quarantined][:SHOWN]:
        yield from _quarantined(state, worker)
    states = Counter(_why_idle(worker) for worker in idle if not worker.quarantined)
    if states:
        yield WorkersNotServing(states["draining"], states["lost"], states["disconnected"])


def _why_idle(worker: Worker) -> str:
    if worker.state is WorkerState.LOST:
        return "lost"
    return "draining" if worker.draining else "disconnected"


def _of_pool(state: State, pool: PoolPolicy) -> Iterator[Wait]:
    """How a pool that could run it grows, and why not by more."""
    known = state.pools[pool.name]
    retry_at = _wall(state, known.not_before)
    coming = sum(instance.state in COMING for instance in state.by_pool.get(pool.name, {}).values())
    if coming:
        yield PoolGrows(pool.name, coming)
    if known.full:
        yield PoolCannotGrow(pool.name, known.full, retry_at)
    elif known.crashes:
        yield PoolStartsFail(pool.name, known.crashes, known.failed, retry_at)
    else:
        yield PoolLimited(pool.name, _why_not_more(pool, known.plan.why_not_more))


def _why_not_more(pool: PoolPolicy, planned: NotMore | None) -> NotMore:
    """`planned`: the outcome of the last decision, which may be older than the task."""
    if not pool.grows():
        return NotMore(NotMoreKind.LIMIT, f"the settings keep it at {pool.min_workers}")
    if planned is None or planned.kind is NotMoreKind.NO_WORK:
        return NotMore(NotMoreKind.UNDECIDED, "how many workers it is to have is decided within seconds")
    return planned


def _no_fit(state: State, demand: Demand, tasks: int, there: Counter[Kind]) -> NoFit:
    """`there`: how many workers there are of each kind."""
    kinds = dict.fromkeys([*sorted(there, key=there.__getitem__, reverse=True), *_grown(state)])
    misfits = [Misfit(kind, there[kind], _lacks(demand, kind)) for kind in kinds]
    return NoFit(demand, tasks, state.elastic, tuple(misfits[:SHOWN]))


def _grown(state: State) -> Iterator[Kind]:
    """The workers that pools could start."""
    return (kind_of(state, pool) for pool in state.policy.pools if pool.grows() and pool.max_workers)


def _lacks(demand: Demand, kind: Kind) -> tuple[Lack, ...]:
    """As `Demand.fits`, piece by piece."""
    pieces = {
        Lack.POOL: Demand(demand.pool, (), 0, 0),
        Lack.LABELS: Demand("", demand.labels, 0, 0),
        Lack.SLOTS: Demand("", (), demand.slots, 0),
        Lack.MEMORY: Demand("", (), 0, demand.memory),
    }
    return tuple(lack for lack, piece in pieces.items() if not piece.fits(kind))


def _present(state: State) -> Iterator[Worker]:
    return (worker for worker in state.workers.values() if worker.state is not WorkerState.GONE)


# --- all of it -----------------------------------------------------------------------------------------


def conditions(state: State) -> list[Wait]:
    """What keeps work from going on, of which there may be much or none: what lasts for seconds only is among it."""
    found: list[Wait] = [NoBroker()] if state.leases_from is None else []
    found += _no_datastore(state)
    found += _datastore_held(state)
    found += other_versions(state)
    found += _claims_refused(state)
    found += [FileNotStored(*identity, text) for identity, text in list(state.files_failed.items())[:FILES_SHOWN]]
    waiting = [one for one in state.ready.by_demand.values() if one.count]
    found += _without_worker(state, waiting)
    found += _of_pools(state, waiting)
    workers = state.workers.values()
    found += [one for worker in workers if worker.serves() for one in _inputs_not_brought(worker)]
    found += [one for worker in workers for one in _quarantined(state, worker)]
    found += [_paused(batch) for batch in state.batches.values() if batch.row.paused]
    return found


def other_versions(state: State) -> list[OtherVersion]:
    """Agents that use another version of the protocol, as long as they report."""
    return [
        OtherVersion(agent.name, agent.version, VERSION, agent.answer)
        for agent in state.other_versions.values()
        if agent.answer is not None and agent.is_recent(state)
    ]


def _claims_refused(state: State) -> Iterator[ClaimRefused]:
    for worker in state.workers.values():
        claim = worker.claim
        if claim and worker.state in (WorkerState.ONLINE, WorkerState.DRAINING):
            of_pool = worker.kind.pool if claim.of_instance else ""
            yield ClaimRefused(worker.id, claim.pool, claim.labels, claim.slots, of_pool, worker.slots)


def _without_worker(state: State, waiting: list[Waiting]) -> Iterator[Wait]:
    """Queued tasks, and no worker that takes tasks, or none that fits."""
    serving = Counter(worker.kind for worker in state.workers.values() if worker.serves())
    if waiting and not serving:
        there = any(worker.state in (WorkerState.ONLINE, WorkerState.DRAINING) for worker in state.workers.values())
        yield NoWorker(there, sum(one.state in COMING for one in state.instances.values()))
    if serving or state.elastic:
        for one in waiting:
            if not any(one.demand.fits(kind) for kind in chain(serving, _grown(state))):
                yield _no_fit(state, one.demand, one.count, serving)


def _of_pools(state: State, waiting: list[Waiting]) -> Iterator[Wait]:
    for name, known in state.pools.items():
        retry_at = _wall(state, known.not_before)
        if not (retry_at or waiting):
            continue
        if known.full:
            yield PoolCannotGrow(name, known.full, retry_at)
        elif known.crashes > 1:  # a single failure is tried again within seconds
            yield PoolStartsFail(name, known.crashes, known.failed, retry_at)
    for name in sorted(state.by_pool.keys() - state.pools.keys()):
        if state.by_pool[name]:
            yield PoolRemoved(name, len(state.by_pool[name]))
    there = {worker.kind.pool for worker in state.workers.values() if worker.serves()}
    for name in sorted({one.demand.pool for one in waiting} - there - state.pools.keys() - {""}):
        yield UnknownPool(name, sum(one.count for one in waiting if one.demand.pool == name), tuple(state.pools))


# --- parts ---------------------------------------------------------------------------------------------


def _no_datastore(state: State) -> list[Wait]:
    return [] if state.datastore.incarnation and state.datastore.connected else [NoDatastore()]


def _datastore_held(state: State) -> list[Wait]:
    return [DatastoreHeld(state.datastore.warning)] if state.datastore.warning else []


def _inputs_not_brought(worker: Worker) -> list[Wait]:
    return [InputsNotBrought(worker.id, worker.inputs_error)] if worker.inputs_error else []


def _quarantined(state: State, worker: Worker) -> Iterator[Wait]:
    if worker.quarantine is not None:
        yield WorkerQuarantined(worker.id, worker.quarantine, _wall(state, worker.probe_at or 0.0))


def _paused(batch: Batch) -> BatchPaused:
    return BatchPaused(batch.number, Pause(PauseKind(batch.row.paused_kind), batch.row.paused))


def _wall(state: State, moment: float) -> float:
    """A time to come on the wall clock; 0: it is not to come."""
    return state.wall + moment - state.now if moment > state.now else 0.0
