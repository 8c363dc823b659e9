"""What operators ask of instances and workers: more of them, to terminate them, to drop them.

Each handler answers with what it did and with sentences about what it did not do.
"""

from __future__ import annotations

from boss.core import instances, leases
from boss.core.commands import answer, reject, unknown_worker
from boss.core.events import DropWorkersAsked, InstancesAsked, TerminateAsked
from boss.core.instance_state import DATASTORE, instance_of
from boss.core.model import ALIVE, InstanceState, WorkerState
from boss.core.policy import LOCAL, PoolPolicy
from boss.core.reasons import Rejection, RejectionKind
from boss.core.scaling import scale
from boss.core.state import Instance, State, Worker
from wire.messages import Drain


def on_instances(state: State, event: InstancesAsked) -> None:
    """As many as the pool's limit allows, at once; what does not fit is reported."""
    pools = scale.in_order(state)
    named = [pool for pool in state.policy.pools if pool.name == event.pool] if event.pool else pools[:1]
    if not named:
        known = ", ".join(pool.name for pool in state.policy.pools) or "none"
        problem = f"there is no pool {event.pool!r}" if event.pool else "no pool of the settings can grow"
        reject(state, event.reply, Rejection(RejectionKind.UNKNOWN_POOL, f"{problem}; there are: {known}"))
        return
    pool = named[0]
    there = len(state.by_pool.get(pool.name, {}))
    fits = max(0, min(event.count, pool.max_workers - there))
    made = [_start(state, pool, event) for _ in range(fits)]
    notes = []
    if fits < event.count:
        notes.append(
            f"{event.count - fits} do not fit: pool {pool.name} has its limit of {pool.max_workers} "
            f"({there} are there, those that are stopping included)"
        )
    full = state.pools[pool.name].full
    if full and fits:
        notes.append(f"the provider made none the last time: {full}")
    workers = [instance.row.worker for instance in made]
    answer(state, event.reply, pool=pool.name, workers=workers, notes=notes)


def _start(state: State, pool: PoolPolicy, event: InstancesAsked) -> Instance:
    return instances.start(state, pool, "requested by an operator", keep_alive=event.keep_alive)


def on_terminate(state: State, event: TerminateAsked) -> None:
    rejections = [
        Rejection(RejectionKind.UNKNOWN_WORKER, f"the boss started no worker {name!r}")
        for name in event.workers
        if instance_of(state, name) is None
    ]
    rejections += [
        Rejection(RejectionKind.UNKNOWN_POOL, f"there is no pool {name!r}")
        for name in event.pools
        if name not in state.by_pool.keys() | state.pools
    ]
    if rejections:
        reject(state, event.reply, *rejections)
        return
    ended, draining, notes = [], [], []
    for instance in list(state.instances.values()):
        if instance.state not in ALIVE or not _meant(instance, event):
            continue
        worker = state.workers.get(instance.row.worker)
        if event.now or worker is None or not worker.attempts:
            instances.stop(state, instance, "terminated by an operator")
            ended.append(instance.row.worker)
        else:
            _drain(state, worker)
            draining.append(worker.id)
    if draining:
        notes.append(f"{len(draining)} finish what they hold first; --now stops them at once")
    if any(waiting.count for waiting in state.ready.by_demand.values()):
        notes.append("while there is work the pools start others: pause batches to keep it from that")
    answer(state, event.reply, ended=ended, draining=draining, notes=notes)


def _meant(instance: Instance, event: TerminateAsked) -> bool:
    if event.workers or event.pools:
        return instance.row.worker in event.workers or instance.row.pool in event.pools
    return instance.row.provider != LOCAL and instance.row.worker != DATASTORE


def _drain(state: State, worker: Worker) -> None:
    worker.leaving = False
    worker.draining = worker.row.draining = True
    state.send(worker, Drain())
    leases.set_worker_state(state, worker, WorkerState.DRAINING, "terminated by an operator")
    state.changes.workers[worker.id] = worker.row


def on_drop(state: State, event: DropWorkersAsked) -> None:
    """What they have goes to others, as if they had died; one that reports again is a worker again."""
    rejections = [unknown_worker(name) for name in event.workers if _there(state, name) is None]
    if rejections:
        reject(state, event.reply, *rejections)
        return
    dropped, living = [], []
    for worker in list(state.workers.values()):
        chosen = worker.id in event.workers or event.all or (not event.workers and worker.state is WorkerState.LOST)
        if worker.state is WorkerState.GONE or not chosen:
            continue
        leases.gone(state, worker, "dropped by an operator")
        dropped.append(worker.id)
        instance = instance_of(state, worker.id)
        if instance is not None and instance.state is not InstanceState.STOPPING:
            living.append(worker.id)
    notes = []
    if living:
        notes.append(
            f"what {len(living)} of them run in lives on and says hello again: terminate_workers stops it "
            f"({', '.join(living[:5])}{', ...' if len(living) > 5 else ''})"
        )
    answer(state, event.reply, dropped=dropped, notes=notes)


def _there(state: State, name: str) -> Worker | None:
    worker = state.workers.get(name)
    return worker if worker is not None and worker.state is not WorkerState.GONE else None
