"""Instances: what was requested of providers, what they report of it, and what their silence means.

Three truths are kept apart: what is demanded (`boss.core.scaling.scale`), what was requested (rows, on disk before
the call), what was observed (the provider's events, the worker's hello).
"""

from __future__ import annotations

from boss.core import leases
from boss.core.effects import StartInstance, StopInstance
from boss.core.events import InstanceEnded, InstancePlaced, InstanceStarted, InstanceStartFailed
from boss.core.instance_state import DATASTORE, instance_of, save_instance, set_instance_state
from boss.core.model import ALIVE, COMING, OVER, InstanceState, WorkerState
from boss.core.policy import PoolPolicy
from boss.core.rows import InstanceRow
from boss.core.state import Instance, State

#: An instance that lived this long did not crash at its start: restarts count from nothing again.
STEADY_SECONDS = 60.0


# --- what providers report ---------------------------------------------------------------------------


def on_started(state: State, event: InstanceStarted) -> None:
    instance = state.instances.get(event.instance)
    if instance is None:
        return
    instance.row.reference = event.reference
    instance.row.address = event.address or instance.row.address
    instance.waiting = event.waiting
    known = state.pools.get(instance.row.pool)
    if known is not None and instance.state is InstanceState.REQUESTED:
        known.started_one(state.now)
    if instance.state is InstanceState.REQUESTED:
        set_instance_state(state, instance, InstanceState.BOOTING, "the provider made it")
    else:
        save_instance(state, instance)
    if instance.state is not InstanceState.RUNNING:
        expect_hello(state, instance)
    if instance.state is InstanceState.STOPPING:
        stop(state, instance, "its stop was requested while it was made")


def on_placed(state: State, event: InstancePlaced) -> None:
    """From here on it boots as others did."""
    instance = state.instances.get(event.instance)
    if instance is not None and instance.waiting:
        instance.waiting = False
        if instance.state is InstanceState.BOOTING:
            expect_hello(state, instance)


def on_start_failed(state: State, event: InstanceStartFailed) -> None:
    instance = state.instances.get(event.instance)
    if instance is None or instance.state in OVER:
        return
    known = state.pools.get(instance.row.pool)
    if known is not None and event.full:
        known.full = event.reason
    _over(state, instance, InstanceState.FAILED, event.reason)


def on_ended(state: State, event: InstanceEnded) -> None:
    instance = state.instances.get(event.instance)
    if instance is None or instance.state in OVER:
        return
    _over(state, instance, InstanceState.GONE, event.reason, unseen=event.unseen)


def _over(state: State, instance: Instance, how: InstanceState, reason: str, *, unseen: bool = False) -> None:
    asked = unseen or instance.state is InstanceState.STOPPING
    crashed = instance.state is InstanceState.RUNNING and how is InstanceState.GONE
    set_instance_state(state, instance, how, reason)
    pool = instance.row.pool
    if not asked:
        back_off(
            state,
            pool,
            reason,
            steady=crashed and state.now - instance.seen_at > STEADY_SECONDS,
            costly=how is InstanceState.GONE and not crashed,
        )
    if pool in state.pools:
        state.pools[pool].ended(state.wall, state.wall - instance.row.requested_at)
    state.remove_instance(instance)
    worker = state.workers.get(instance.row.worker)
    if worker is None or instance.row.worker in state.instance_for:
        return
    if crashed and not worker.draining and _has_successor(state, instance):
        leases.await_successor(state, worker, f"its instance ended: {reason}")
    else:
        leases.gone(state, worker, f"its instance ended: {reason}")


def _has_successor(state: State, instance: Instance) -> bool:
    """Another one is started at once in its place, and finds its home with what ended there unacknowledged."""
    pool = state.policy.pool(instance.row.pool)
    if state.stopping or not pool.keeps_home:
        return False
    return sum(one.state in ALIVE for one in state.by_pool.get(pool.name, {}).values()) < pool.min_workers


def back_off(state: State, pool: str, reason: str, *, steady: bool, costly: bool = False) -> None:
    """One of the pool failed: the next is not started at once, and later each time in a row.

    `costly`: a machine was there and paid for, and never worked.
    """
    known = state.pools.get(pool)
    if known is None:
        return
    known.crashes = 1 if steady else known.crashes + 1
    known.failed, known.failed_at, known.costly = reason, state.now, costly
    policy = state.policy
    first, longest = (policy.full, policy.full_max) if known.full else (policy.restart, policy.restart_max)
    if costly and policy.pool(pool).grows():
        longest = policy.full_max
    # Instances that were requested together and fail together are one reason to wait, not many.
    if state.now >= known.not_before:
        known.pauses = 1 if steady else known.pauses + 1
    pause = min(longest, first * 2.0 ** min(max(known.pauses, 1) - 1, 16))
    known.not_before = max(known.not_before, state.now + pause)
    state.at(known.not_before, "scale", None)


# --- asking ------------------------------------------------------------------------------------------


def start(state: State, pool: PoolPolicy, why: str, *, keep_alive: bool = False) -> Instance:
    """The intent is on disk before the call."""
    number = state.next_instance
    state.next_instance += 1
    row = InstanceRow(
        number=number,
        worker=_new_id(state, pool, number),
        pool=pool.name,
        provider=pool.provider,
        state=InstanceState.REQUESTED.value,
        requested_at=state.wall,
        changed_at=state.wall,
        keep_alive=keep_alive,
    )
    instance = Instance(row, state.now)
    state.add_instance(instance)
    expect_hello(state, instance)
    save_instance(state, instance)
    state.journal("instance", str(number), 0, "new", instance.state.value, why)
    state.effects.append(StartInstance(instance=number, worker=row.worker, pool=pool.name))
    return instance


def _new_id(state: State, pool: PoolPolicy, number: int) -> str:
    """Where homes outlive instances, the lowest free id: a crashed worker's successor finds its outcomes. A machine
    that is made again is a new worker, with a host key of its own."""
    if pool.role == "datastore":
        return DATASTORE
    if not pool.keeps_home:
        return f"{pool.name}-{number}"
    free = 1
    while f"{pool.name}-{free}" in state.instance_for:
        free += 1
    return f"{pool.name}-{free}"


def stop(state: State, instance: Instance, cause: str) -> None:
    """Ask the provider to stop it, or ask again. Its worker is sent nothing new."""
    if instance.state is not InstanceState.STOPPING:
        set_instance_state(state, instance, InstanceState.STOPPING, cause)
    row = instance.row
    drain(state, instance)
    state.effects.append(StopInstance(instance=row.number, worker=row.worker, pool=row.pool, reference=row.reference))
    state.at(state.now + state.policy.ask_again, "stop", row.number)


def drain(state: State, instance: Instance) -> None:
    """What is to stop takes nothing new."""
    worker = state.workers.get(instance.row.worker)
    if worker is None or worker.state is WorkerState.GONE:
        return
    if not worker.draining:
        worker.draining = worker.row.draining = True
        state.changes.workers[worker.id] = worker.row
    if worker.state is WorkerState.ONLINE:
        leases.set_worker_state(state, worker, WorkerState.DRAINING, instance.row.reason)


def expect_hello(state: State, instance: Instance) -> None:
    """Requested, or found again after a start of the boss: its worker is to say hello within the boot time."""
    instance.hello_from = state.now
    state.at(state.now + _boot_timeout(state, instance), "boot", instance.row.number)


def _boot_timeout(state: State, instance: Instance) -> float:
    """What was measured holds for one that boots. While it waits to be made, or for a host, how long that takes is
    not known: then as long as configured."""
    pool = state.policy.pool(instance.row.pool)
    known = state.pools.get(pool.name)
    boots = instance.state is InstanceState.BOOTING and not instance.waiting
    return known.boot_timeout(pool) if boots and known is not None else pool.boot_timeout


# --- deadlines ---------------------------------------------------------------------------------------


def boot_due(state: State, number: int) -> None:
    """The boot time of an instance is over: without a hello it is stopped, and replaced."""
    instance = state.instances.get(number)
    if instance is None or instance.state not in COMING:
        return
    timeout = _boot_timeout(state, instance)
    if instance.hello_from + timeout > state.now:  # boots have become longer meanwhile, or it has not started to
        state.at(instance.hello_from + timeout, "boot", number)
        return
    if instance.state is InstanceState.REQUESTED:
        reason = f"its provider has not made it within {timeout:.0f} s"
    else:
        reason = f"no hello of its worker within {timeout:.0f} s"
        if state.policy.pool(instance.row.pool).grows():
            reason += " (its console, or /var/log/ecloud.log on it, shows why)"
    back_off(state, instance.row.pool, reason, steady=False, costly=True)
    stop(state, instance, reason)


def silent_due(state: State, worker_id: str) -> None:
    """A lost worker that is still silent when it should have stopped itself: its instance is stopped, and replaced."""
    worker = state.workers.get(worker_id)
    instance = instance_of(state, worker_id)
    if worker is None or worker.state is not WorkerState.LOST or instance is None:
        return
    timeout = state.orphan_after(worker.kind.pool)
    until = max(worker.heard, state.now if state.leases_from is None else state.leases_from) + timeout
    if until > state.now:
        state.at(until, "silent", worker_id)
    elif instance.state is InstanceState.RUNNING:
        stop(state, instance, f"its worker was silent for {timeout:g} s")


def stop_due(state: State, number: int) -> None:
    """It was asked to stop and still exists: ask again, as the call may have failed or died with a boss."""
    instance = state.instances.get(number)
    if instance is not None and instance.state is InstanceState.STOPPING:
        stop(state, instance, instance.row.reason)
