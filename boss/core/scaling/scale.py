"""How many workers there are: what each pool is to have, compared with what was requested.

A pool of the boss's own processes, and the datastore's machine, are kept at their number. Of the other pools the size
is decided by `decide` on what the graph will demand (`demand`), in the order in which pools are to be
used; what is decided is kept with its reason, for users. Decisions are made when something changed, at most every few
seconds, and when a worker has been idle for long enough; nothing ticks.
"""

from __future__ import annotations

from boss.core import instances
from boss.core.effects import EndBoss
from boss.core.model import ALIVE, COMING, InstanceState, WorkerState
from boss.core.policy import LOCAL, PoolPolicy
from boss.core.pools import PoolState
from boss.core.reasons import NotMore, NotMoreKind, QuarantineKind
from boss.core.scaling.decide import Pool, decide
from boss.core.scaling.demand import forecast_for, helpers_of, kind_of, supply_of
from boss.core.state import State

#: A worker that failed to prove itself so often is not waited for any more.
PROBES = 2


def settle(state: State) -> None:
    """The end of a turn: decide, if it is time to, or plan to."""
    if state.stopping:
        if state.scale_due:
            state.scale_due = False
            _end(state)
        return
    if state.elastic and (state.dirty or state.changed_workers or state.ready.puts != state.scale_puts):
        state.scale_puts = state.ready.puts
        state.scale_due = True
    if not state.scale_due:
        return
    if state.now >= state.scale_from:
        _scale(state)
    elif not state.scale_planned:
        state.scale_planned = True
        state.at(state.scale_from, "scale", None)


def scale_due(state: State, key: object) -> None:
    state.scale_planned = False
    state.scale_due = True


def _scale(state: State) -> None:
    state.scale_due = False
    elastic = in_order(state)
    for pool in state.policy.pools:
        if not pool.grows():
            _keep(state, pool)
    _stop_removed_pools(state)
    _stop_drained(state)
    before = {pool.name for pool in state.policy.pools if pool.provider == LOCAL}
    work = False
    for pool in elastic:
        work = _decide(state, pool, before) or work
        before.add(pool.name)
    if work or any(state.by_pool.get(pool.name) for pool in elastic):
        # Else deciding cost nothing, and work that comes is not to wait.
        state.scale_from = state.now + state.policy.scale_pause
    _plan_next(state, elastic)


def in_order(state: State) -> list[PoolPolicy]:
    """Pools that grow and shrink, in the order in which they are used."""
    return sorted(
        (pool for pool in state.policy.pools if pool.grows()), key=lambda pool: (-pool.priority, pool.cost, pool.name)
    )


def _end(state: State) -> None:
    """The boss stops, and its own processes with it. Machines go on: the next boss finds them."""
    own = [instance for instance in state.instances.values() if instance.row.provider == LOCAL]
    for instance in own:
        if instance.state in ALIVE:
            instances.stop(state, instance, "the boss stops")
    if not own and not state.ended:
        state.ended = True
        state.effects.append(EndBoss())


def _keep(state: State, pool: PoolPolicy) -> None:
    """A fixed number of them."""
    there = state.by_pool.get(pool.name, {})
    alive = sum(1 for instance in there.values() if instance.state in ALIVE)
    if alive < pool.min_workers and state.now >= state.pools[pool.name].not_before:
        # What is being stopped still exists: the provider is never asked beyond the limit.
        for _ in range(min(pool.min_workers - alive, pool.max_workers - len(there))):
            instances.start(state, pool, f"pool {pool.name} requires it")


def _stop_removed_pools(state: State) -> None:
    """Instances of pools that are not in the settings any more stop when they hold nothing."""
    for name in state.by_pool.keys() - state.pools.keys():
        for instance in list(state.by_pool[name].values()):
            worker = state.workers.get(instance.row.worker)
            if instance.state in ALIVE and not (worker is not None and worker.attempts):
                instances.stop(state, instance, f"the settings have no pool {name!r} any more")


def _stop_drained(state: State) -> None:
    """Workers of machines that are drained, by an operator or by a limit, and have finished."""
    for instance in state.instances.values():
        worker = state.workers.get(instance.row.worker)
        if (
            worker is not None
            and worker.draining
            and not worker.leaving
            and worker.state is WorkerState.DRAINING
            and instance.state is InstanceState.RUNNING
            and instance.row.provider != LOCAL
            and not worker.attempts
        ):
            instances.stop(state, instance, "it was drained")


def _stop_quarantined(state: State, policy: PoolPolicy, work: bool) -> None:
    """A machine whose worker is quarantined costs and does nothing: it goes when there is no work, and is replaced when
    it could not prove itself. What a user quarantined stays as it is."""
    for instance in list(state.by_pool.get(policy.name, {}).values()):
        worker = state.workers.get(instance.row.worker)
        if (
            worker is not None
            and worker.quarantine is not None
            and worker.quarantine.kind is not QuarantineKind.OPERATOR
            and instance.state is InstanceState.RUNNING
            and not worker.attempts
            and not instance.row.keep_alive
            and (worker.probes >= PROBES or (not work and state.now - worker.ended_at >= policy.idle))
        ):
            if worker.probes >= PROBES:
                instances.back_off(state, policy.name, worker.quarantine.text, steady=False, costly=True)
            instances.stop(state, instance, f"its worker is quarantined: {worker.quarantine.text}")


# --- one elastic pool --------------------------------------------------------------------------------


def _decide(state: State, policy: PoolPolicy, before: set[str]) -> bool:
    """True: there is work for it."""
    known = state.pools[policy.name]
    there = state.by_pool.get(policy.name, {})
    serving, helpers = helpers_of(state, policy, before)
    supply = supply_of(state, policy, helpers)
    stopping = sum(1 for instance in there.values() if instance.state not in ALIVE)
    seen, ends = forecast_for(state, policy, supply, serving)
    waves = seen.waves
    plan = decide(waves, _pool(state, policy, known, helpers, stopping), supply, ends)
    for _ in range(plan.start):
        instances.start(state, policy, f"pool {policy.name}: {plan.reason}")
    for worker in plan.stop:
        instance = state.instances[state.instance_for[worker]]
        instances.stop(state, instance, f"no work for it within the time of a boot: {plan.reason}")
    _stop_quarantined(state, policy, bool(waves))
    known.plan, known.decided_wall = plan, state.wall
    if plan.start or plan.stop:
        size = supply.size - helpers
        after = size + plan.start - len(plan.stop)
        state.journal("pool", policy.name, 0, _workers(size), _workers(after), plan.reason)
    return bool(waves)


def _workers(count: int) -> str:
    return f"{count} {'worker' if count == 1 else 'workers'}"


def _pool(state: State, policy: PoolPolicy, known: PoolState, helpers: int, stopping: int) -> Pool:
    """`helpers`: workers of other pools that count as its own here. `stopping`: its machines that still exist."""
    running = (instance.row.requested_at for instance in state.by_pool.get(policy.name, {}).values())
    at_once, why_at_once = _at_once(state, policy, known)
    return Pool(
        slots=kind_of(state, policy).slots,
        min_workers=policy.min_workers + helpers,
        max_workers=policy.max_workers - stopping + helpers,
        spare=policy.spare,
        boot=known.boot(policy),
        idle=policy.idle,
        cost_weight=policy.cost_weight,
        budget=known.left_in_month(policy, state.wall, running),
        full=known.full if state.now < known.not_before else "",
        at_once=at_once,
        why_at_once=why_at_once,
        limit=_format_limit(policy, stopping),
    )


def _at_once(state: State, policy: PoolPolicy, known: PoolState) -> tuple[int, NotMore]:
    """How many may be requested now, and why not more: none in a pause after a failure, then one to see whether that
    is over. Never beyond the limit: machines whose workers do not serve, and those that are stopping, count too."""
    there = state.by_pool.get(policy.name, {}).values()
    left = max(0, policy.max_workers - len(there))
    asked = sum(1 for each in there if each.state is InstanceState.REQUESTED and not each.row.reference)
    if known.crashes and known.costly:
        asked = sum(1 for each in there if each.state in COMING)  # that it was made is no sign: its hello is
    if state.now < known.not_before:
        text = f"after {_failures(known.crashes)} none is requested until a pause is over: {known.failed}"
        return 0, NotMore(NotMoreKind.FAILURES, text)
    if known.crashes:
        text = f"after {_failures(known.crashes)} one is tried at a time: {known.failed}"
        more, why = 1 - asked, NotMore(NotMoreKind.ONE_TRY, text)
    else:
        at_once = state.policy.starts_at_once
        more, why = at_once - asked, NotMore(NotMoreKind.STARTS_AT_ONCE, f"{at_once} are requested at a time")
    if left < more:
        text = f"the pool has its limit of {_format_limit(policy, 0)}, those included whose workers do not serve"
        return left, NotMore(NotMoreKind.LIMIT, text)
    return max(0, more), why


def _failures(count: int) -> str:
    return "a failure" if count == 1 else f"{count} failures in a row"


def _format_limit(policy: PoolPolicy, stopping: int) -> str:
    return f"{policy.max_workers}" + (f", {stopping} of them stopping" if stopping else "")


def _plan_next(state: State, elastic: list[PoolPolicy]) -> None:
    """When the first worker will have been idle for long enough."""
    ripe = [
        worker.ended_at + pool.idle
        for pool in elastic
        for instance in state.by_pool.get(pool.name, {}).values()
        if instance.state is InstanceState.RUNNING
        and not instance.row.keep_alive
        and (worker := state.workers.get(instance.row.worker)) is not None
        and not worker.attempts
        and worker.ended_at + pool.idle > state.now
    ]
    if ripe:
        state.at(min(ripe), "scale", None)
