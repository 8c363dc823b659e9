"""The demand on one pool: the live graph as `forecast` takes it, and the pool's workers as `scaling` does.

Reads the state and changes nothing. Its cost grows with the workers, the kinds of demand and the tasks that a forecast
plays (which are bounded), never with all tasks that there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from itertools import islice

from boss.core import moves
from boss.core.graph import READY
from boss.core.model import COMING, InstanceState, Phase, Profile, TaskState, WorkerState
from boss.core.policy import PoolPolicy
from boss.core.ready import Kind, Waiting
from boss.core.scaling.decide import Ends, Supply
from boss.core.scaling.forecast import SMALL, Forecast, Graph, Ready, forecast
from boss.core.state import State, Worker
from boss.core.upgrade import is_old

#: Ready tasks of one lane that are sampled to know how long such take.
_SAMPLE = 16
#: What boots is expected to serve within this at least, however late it is.
_SOON = 1.0
#: Dependencies of a task that will not run without a user: more than can be met.
_NEVER_MET = 1 << 30


def forecast_for(
    state: State, pool: PoolPolicy, supply: Supply, helpers: Set[str] = frozenset()
) -> tuple[Forecast, Ends | None]:
    """What becomes runnable on workers of this pool, and when; of a small graph also when all ends with so many more.

    `supply`: all that serves it. `helpers`: the workers of other pools that it counts.
    """
    kind = kind_of(state, pool)
    weigh = _Weigher(state, kind)
    slots = kind.slots
    serving = (supply.busy + len(supply.idle)) * slots
    running, ahead = _under_way(state, weigh, helpers)
    pending, pending_seconds = _pending(state, weigh)
    graph = Graph(
        dependants=lambda task: _dependants(state, task),
        unmet=lambda task: _unmet(state, task),
        cost=weigh.of_task,
        pending=pending,
        pending_seconds=pending_seconds,
    )
    ready = [*ahead, *_ready(state, weigh)]
    boot = state.pools[pool.name].boot(pool)
    coming = serving + len(supply.booting) * slots
    is_small = pending + len(running) + sum(group.size for group in ready) <= SMALL
    if is_small:
        ready = [group._replace(tasks=list(group.tasks)) for group in ready]  # each forecast takes them again

    def ends(more: int) -> float:
        return forecast(graph, ready, running, (serving, coming + more * slots), boot).end

    seen = forecast(graph, ready, running, (serving, max(coming, pool.max_workers * slots)), boot)
    return seen, ends if is_small else None


def kind_of(state: State, pool: PoolPolicy) -> Kind:
    """What a worker of the pool is, or will be. Before one was seen it is hoped to take whatever waits."""
    slots = pool.slots or state.pools[pool.name].slots
    if not slots:
        slots = max((each.demand.slots for each in state.ready.by_demand.values()), default=1)
    return Kind(pool.name, tuple(sorted(pool.labels.items())), slots, 0)


def supply_of(state: State, pool: PoolPolicy, helpers: int) -> Supply:
    """Its workers. `helpers`: what the other workers amount to, in workers of its size, which are used before."""
    busy, idle, booting = helpers, [], []
    boot = state.pools[pool.name].boot(pool)
    for instance in state.by_pool.get(pool.name, {}).values():
        if instance.state in COMING:
            booting.append(max(_SOON, boot - (state.wall - instance.row.requested_at)))
            continue
        worker = state.workers.get(instance.row.worker)
        if instance.state is not InstanceState.RUNNING or worker is None or not _serves(worker):
            if worker is not None and worker.leaving and is_old(state, worker):
                booting.append(_SOON)  # it comes back with the new program
            continue
        if worker.attempts or instance.row.keep_alive:
            busy += 1
        else:
            idle.append((worker.id, state.now - worker.ended_at))
    return Supply(busy=busy, idle=sorted(idle, key=lambda one: -one[1]), booting=sorted(booting))


def helpers_of(state: State, pool: PoolPolicy, before: set[str]) -> tuple[set[str], int]:
    """Workers of other pools (`before`), and of none, that serve as well; how many of the pool's size they make up for.

    The number counts besides what boots for those pools.
    """
    kind = kind_of(state, pool)
    demands = [each.demand for each in state.ready.by_demand.values() if each.demand.fits(kind)]
    serving = set()
    slots = 0
    for worker in state.workers.values():
        other = worker.kind.pool
        if other == pool.name or (other not in before and other in state.pools) or not _serves(worker):
            continue
        if any(demand.fits(worker.kind) for demand in demands):
            serving.add(worker.id)
            slots += worker.slots
    for name in before:
        other_kind = kind_of(state, state.policy.pool(name))
        if any(demand.fits(other_kind) for demand in demands):
            slots += other_kind.slots * sum(1 for each in state.by_pool.get(name, {}).values() if each.state in COMING)
    return serving, slots // kind.slots


def _serves(worker: Worker) -> bool:
    return worker.state is WorkerState.ONLINE and not worker.draining and not worker.quarantined


# --- the graph as functions ---------------------------------------------------------------------------


class _Weigher:
    """How many slots of a worker of this kind a task takes (0: it cannot run there), and for how long."""

    def __init__(self, state: State, kind: Kind) -> None:
        self._state = state
        self.kind = kind
        #: By the profile's identity: profiles are few and live as long as their batch.
        self._known: dict[int, tuple[int, float]] = {}

    def of(self, profile: Profile) -> tuple[int, float]:
        found = self._known.get(id(profile))
        if found is None:
            demand = self._state.ready.of(profile).demand
            weight = demand.slots if demand.fits(self.kind) else 0
            seconds = self._state.durations.seconds(profile.template, self.kind.pool, profile.expect)
            found = self._known[id(profile)] = weight, seconds
        return found

    def of_task(self, task: int) -> tuple[int, float]:
        found = self._state.find(task)
        return self.of(found[0].profile(found[1])) if found is not None else (0, 0.0)


def _dependants(state: State, task: int) -> list[int]:
    found = state.find(task)
    if found is None or found[0].row.paused:
        return []
    batch, index = found
    if task not in state.crossing:
        first = batch.first
        return [first + each for each in batch.dependants_of(index)]
    return [other.first + each for other, each in moves.dependants(state, batch, index)]


def _unmet(state: State, task: int) -> int:
    """Dependencies that have not succeeded."""
    found = state.find(task)
    if found is None:
        return _NEVER_MET
    batch, index = found
    if batch.states[index] != TaskState.PENDING or batch.row.paused:
        return _NEVER_MET
    return batch.unmet[index]


def _under_way(state: State, weigh: _Weigher, helpers: Set[str]) -> tuple[list[tuple[int, float]], list[Ready]]:
    """(task, seconds left) of what executes on the supply; and what was sent and waits on workers.

    What executes on a worker that is no supply (it drains, is quarantined, or belongs to a pool that comes later) takes
    no slot of the supply: only what its end makes runnable is demand.
    """
    running: list[tuple[int, float]] = []
    waiting: dict[tuple[int, float], list[int]] = {}
    elsewhere: list[Ready] = []
    for worker in state.workers.values():
        supplies = worker.id in helpers or (worker.kind.pool == weigh.kind.pool and _serves(worker))
        for attempt in worker.attempts.values():
            if attempt.init or attempt.phase is Phase.COLLECTING:
                continue
            profile = attempt.batch.profile(attempt.index)
            weight, seconds = weigh.of(profile)
            if attempt.phase is Phase.EXECUTING:
                elapsed = max(0.0, state.wall - attempt.began_at)
                left = state.durations.remaining(profile.template, worker.kind.pool, elapsed, profile.expect)
                if supplies:
                    running.append((attempt.task, left))
                else:
                    elsewhere.append(Ready((attempt.task,), 1, left, 0))
            elif weight:
                waiting.setdefault((weight, seconds), []).append(attempt.task)
    ahead = [Ready(tasks, len(tasks), seconds, weight) for (weight, seconds), tasks in waiting.items()]
    return running, [*elsewhere, *ahead]


def _ready(state: State, weigh: _Weigher) -> Iterator[Ready]:
    """What waits for a worker, by demand and lane."""
    for waiting in state.ready.by_demand.values():
        if not waiting.count:
            continue
        for key in waiting.order:
            batch = state.batches.get(key[1])
            if batch is None or batch.held():
                continue
            sample = [weigh.of(batch.profile(index)) for index in islice(_lane(state, waiting, key), _SAMPLE)]
            if sample and sample[0][0]:
                size = min(len(waiting.lanes[key]), waiting.count)  # a stale entry counts as well
                mean = sum(seconds for _, seconds in sample) / len(sample)
                yield Ready(_numbered(batch.first, _lane(state, waiting, key)), size, mean, sample[0][0])


def _lane(state: State, waiting: Waiting, key: tuple[int, int, int]) -> Iterator[int]:
    """Indexes in the lane that still count (it may hold stale entries)."""
    flags = state.batches[key[1]].flags
    return (index for index in waiting.lanes[key] if flags[index] & READY)


def _numbered(first: int, indexes: Iterator[int]) -> Iterator[int]:
    return (first + index for index in indexes)


def _pending(state: State, weigh: _Weigher) -> tuple[int, float]:
    """How many tasks wait for others, and their seconds together; in batches that are not held."""
    count, seconds = 0, 0.0
    for batch in state.batches.values():
        waiting = batch.counts[TaskState.PENDING]
        if not waiting or batch.held():
            continue
        of_all = [weigh.of(profile) for profile in batch.profiles[:_SAMPLE]]
        fitting = [one for one in of_all if one[0]]
        if fitting:
            part = round(waiting * len(fitting) / len(of_all))
            count += part
            seconds += part * sum(one[1] for one in fitting) / len(fitting)
    return count, seconds
