"""Instances: what was asked of providers, what they say, and how many there are to be.

Three truths are kept apart: what is wanted (the pool's policy), what was asked for (rows, on disk before
the call), what was seen (the provider's events, the worker's hello). `scale` compares them.
"""

from __future__ import annotations

from boss.core import leases
from boss.core.effects import EndBoss, StartInstance, StopInstance
from boss.core.events import InstanceEnded, InstanceStarted, InstanceStartFailed
from boss.core.instance_state import OVER, instance_of, save_instance, set_instance_state
from boss.core.model import InstanceState, WorkerState
from boss.core.policy import PoolPolicy
from boss.core.rows import InstanceRow
from boss.core.state import Instance, State

_ALIVE = (InstanceState.REQUESTED, InstanceState.BOOTING, InstanceState.RUNNING)
#: An instance that lived this long did not crash at its start: restarts count from nothing again.
STEADY_SECONDS = 60.0
#: Providers whose instances work in a directory that outlives them.
KEEP_HOME = ("local",)


def on_started(state: State, event: InstanceStarted) -> None:
    instance = state.instances.get(event.instance)
    if instance is None:
        return
    instance.row.reference = event.reference
    if instance.state is not InstanceState.RUNNING:
        expect_hello(state, instance)
    if instance.state is InstanceState.REQUESTED:
        set_instance_state(state, instance, InstanceState.BOOTING, "the provider made it")
    else:
        save_instance(state, instance)
    if instance.state is InstanceState.STOPPING:
        _stop(state, instance, "its end was asked for while it was made")


def on_start_failed(state: State, event: InstanceStartFailed) -> None:
    instance = state.instances.get(event.instance)
    if instance is None or instance.state in OVER:
        return
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
        _back_off(state, pool, steady=state.now - instance.seen_at > STEADY_SECONDS)
    del state.instances[instance.row.number]
    worker = state.workers.get(instance.row.worker)
    if worker is None:
        return
    if crashed and not worker.draining and _has_successor(state, instance):
        leases.await_successor(state, worker, f"its instance ended: {reason}")
    else:
        leases.gone(state, worker, f"its instance ended: {reason}")


def _has_successor(state: State, instance: Instance) -> bool:
    """Another one is started at once in its place, and finds its home with what ended there unacknowledged."""
    if state.stopping or instance.row.provider not in KEEP_HOME:
        return False
    pool = next((one for one in state.policy.pools if one.name == instance.row.pool), None)
    alive = sum(1 for one in state.instances.values() if one.row.pool == instance.row.pool and one.state in _ALIVE)
    return pool is not None and alive < pool.least


def _back_off(state: State, pool: str, *, steady: bool) -> None:
    """One of the pool failed: the next is not started at once, and later each time in a row."""
    crashes = 1 if steady else state.restarts.get(pool, (0.0, 0))[1] + 1
    wait = min(state.policy.restart_max, state.policy.restart * 2.0 ** min(crashes - 1, 16))
    state.restarts[pool] = (state.now + wait, crashes)
    state.at(state.now + wait, "scale", None)


def scale(state: State) -> None:
    """Bring what was asked for closer to what is wanted."""
    state.scale_due = False
    if state.stopping:
        for instance in list(state.instances.values()):
            if instance.state in _ALIVE:
                _stop(state, instance, "the boss ends")
        if not state.instances and not state.ended:
            state.ended = True
            state.effects.append(EndBoss())
        return
    for pool in state.policy.pools:
        alive = sum(1 for i in state.instances.values() if i.row.pool == pool.name and i.state in _ALIVE)
        not_before, _ = state.restarts.get(pool.name, (0.0, 0))
        if alive < pool.least and state.now >= not_before:
            # What is being stopped still exists: the provider is never asked beyond the limit.
            there = sum(1 for i in state.instances.values() if i.row.pool == pool.name)
            for _ in range(min(pool.least - alive, pool.most - there)):
                _start(state, pool)


def expect_hello(state: State, instance: Instance) -> None:
    """It has been asked for, or found again after a start of the boss: its worker is to speak within the boot time."""
    state.at(state.now + state.policy.pool(instance.row.pool).boot_timeout, "boot", instance.row.number)


def boot_due(state: State, number: int) -> None:
    """Look at an instance whose boot time is over: without a hello it is ended, and replaced."""
    instance = state.instances.get(number)
    if instance is None or instance.state not in (InstanceState.REQUESTED, InstanceState.BOOTING):
        return
    _back_off(state, instance.row.pool, steady=False)
    seconds = state.policy.pool(instance.row.pool).boot_timeout
    _stop(state, instance, f"no hello of its worker within {seconds:g} s")


def silent_due(state: State, worker_id: str) -> None:
    """A lost worker that is still silent when it should have ended itself: its instance is ended, and replaced."""
    worker = state.workers.get(worker_id)
    instance = instance_of(state, worker_id)
    if worker is None or worker.state is not WorkerState.LOST or instance is None:
        return
    since = max(worker.heard, state.now if state.leases_from is None else state.leases_from)
    until = since + state.policy.orphan_after
    if until > state.now:
        state.at(until, "silent", worker_id)
    elif instance.state is InstanceState.RUNNING:
        _stop(state, instance, f"its worker was silent for {state.policy.orphan_after:g} s")


def stop_due(state: State, number: int) -> None:
    """It was asked to end and still exists: ask again, as the call may have failed or died with a boss."""
    instance = state.instances.get(number)
    if instance is not None and instance.state is InstanceState.STOPPING:
        _stop(state, instance, instance.row.reason)


def _start(state: State, pool: PoolPolicy) -> None:
    number = state.next_instance
    state.next_instance += 1
    row = InstanceRow(
        number=number,
        worker=_free_id(state, pool.name),
        pool=pool.name,
        provider=pool.provider,
        state=InstanceState.REQUESTED.value,
        requested_at=state.wall,
        changed_at=state.wall,
    )
    instance = Instance(row, state.now)
    state.instances[number] = instance
    expect_hello(state, instance)
    save_instance(state, instance)
    state.journal("instance", str(number), 0, "new", instance.state.value, f"pool {pool.name} wants it")
    state.effects.append(StartInstance(instance=number, worker=row.worker, pool=pool.name))


def _free_id(state: State, pool: str) -> str:
    """The lowest free worker id: a crashed worker's successor finds its directory and its outcomes."""
    used = {instance.row.worker for instance in state.instances.values()}
    number = 1
    while f"{pool}-{number}" in used:
        number += 1
    return f"{pool}-{number}"


def _stop(state: State, instance: Instance, cause: str) -> None:
    if instance.state is not InstanceState.STOPPING:
        set_instance_state(state, instance, InstanceState.STOPPING, cause)
    row = instance.row
    state.effects.append(StopInstance(instance=row.number, worker=row.worker, pool=row.pool, reference=row.reference))
    state.at(state.now + state.policy.ask_again, "stop", row.number)
