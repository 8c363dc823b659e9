"""Which ready task goes to which worker: the end of every turn.

Workers with free slots stand in `State.with_free_slots`, by kind; tasks that may run stand in the ready queue, by
demand. Both sides are small sets of groups, so a turn costs what it assigns, not what there is. Pools of higher
priority are used first, then cheaper ones. A worker is first filled up to its slots, those before others that
have the inputs of what comes next; only when all that fit have theirs filled is anything sent ahead. When
nothing is ready and a slot stands empty, what was sent ahead elsewhere and has not started is asked back.
"""

from __future__ import annotations

from boss.core import attempts, machine_faults, moves, quarantine
from boss.core.assignment import window
from boss.core.assignment.locality import Locality
from boss.core.graph import Batch
from boss.core.ready import Kind, Waiting
from boss.core.state import State, Worker

#: Seconds of waiting below which a task that was sent ahead is not asked back.
WORTH_MOVING = 0.2
#: So many tasks that may be at fault themselves are passed over for a worker that is to prove itself.
PASSED_OVER = 64
#: Of workers that no pool of the settings has: they are there anyway.
_UNRANKED = (0.0, 0.0)


def assign(state: State) -> None:
    """Send ready tasks to workers with free slots."""
    if state.stopping or state.leases_from is None or not state.with_free_slots:
        return
    for waiting in _by_urgency(state):
        if waiting.count:
            _serve(state, waiting)
    if state.with_free_slots and state.overloaded:
        _ask_back(state)


def _by_urgency(state: State) -> list[Waiting]:
    """Demands in the order of their first lane: higher priority, then older batch."""
    return sorted(
        (waiting for waiting in state.ready.by_demand.values() if waiting.count),
        key=lambda waiting: waiting.order[0] if waiting.order else (0, 0),
    )


def _serve(state: State, waiting: Waiting) -> None:
    kinds = [kind for kind in state.with_free_slots if waiting.demand.fits(kind)]
    kinds.sort(key=lambda kind: state.ranks.get(kind.pool, _UNRANKED))
    for ahead in (False, True):
        if not _fill(state, waiting, kinds, ahead=ahead):
            return


def _fill(state: State, waiting: Waiting, kinds: list[Kind], *, ahead: bool) -> bool:
    """Fill the workers of these kinds; False when there is nothing left to send."""
    for worker in _nearest_first(state, waiting, kinds):
        if worker.quarantined:
            if not _probe(state, waiting, worker):
                return False
            continue
        limit = window.window(state, worker) if ahead else worker.slots
        locality = Locality(state, worker)
        while worker.load + (0 if ahead else waiting.demand.slots - 1) < limit:
            taken = locality.take(waiting)
            if taken is None:
                return False
            _send(state, _for_suspect(state, waiting, worker, kinds, taken) if state.machine_faults else worker, *taken)
        if ahead:
            window.mark_free_slots(state, worker)
    return True


def _nearest_first(state: State, waiting: Waiting, kinds: list[Kind]) -> list[Worker]:
    """Workers of these kinds with free slots; if they differ in that, those first that have the next task's inputs."""
    workers = [state.workers[worker_id] for kind in kinds for worker_id in state.with_free_slots.get(kind, ())]
    at = waiting.first(state.batches) if len(workers) > 1 and (waiting.near or waiting.inputs) else None
    if at is None:
        return workers
    inputs, near = waiting.inputs.get(waiting.order[at], ()), waiting.near
    return sorted(workers, key=lambda worker: (worker.id not in near, -worker.cached.bytes_of(inputs)))


def _probe(state: State, waiting: Waiting, worker: Worker) -> bool:
    """One task for a worker that is quarantined; False when there is none."""
    taken = _to_prove_itself(state, waiting, worker)
    if taken is None:
        return False
    batch, index = taken
    _send(state, worker, batch, index)
    attempt = state.live(batch, index)
    assert attempt is not None
    quarantine.probe_sent(state, worker, attempt)
    window.unmark_free_slots(state, worker)
    return True


def _to_prove_itself(state: State, waiting: Waiting, worker: Worker) -> tuple[Batch, int] | None:
    """The next task for it, but rather one that no machine has failed: it may be the task that is at fault."""
    locality = Locality(state, worker)
    passed: list[tuple[Batch, int]] = []
    taken = locality.take(waiting)
    while taken is not None and taken[0].first + taken[1] in state.machine_faults and len(passed) < PASSED_OVER:
        passed.append(taken)
        taken = locality.take(waiting)
    if taken is None and passed:
        taken = passed.pop(0)
    for batch, index in passed:
        state.ready.put(batch, index)
    return taken


def _for_suspect(state: State, waiting: Waiting, worker: Worker, kinds: list[Kind], taken: tuple[Batch, int]) -> Worker:
    """A task that machines have failed is rather tried on one that has not, if a slot is free there."""
    task = taken[0].first + taken[1]
    if task not in state.machine_faults:
        return worker
    others = (state.workers[one] for kind in kinds for one in state.with_free_slots.get(kind, ()))
    free = [each for each in others if not each.quarantined and each.load + waiting.demand.slots <= each.slots]
    return machine_faults.elsewhere(state, task, worker, free)


def _send(state: State, worker: Worker, batch: Batch, index: int) -> None:
    if batch.inits:
        attempts.initialize(state, worker, batch)
    attempts.send(state, worker, batch, index)


def _ask_back(state: State) -> None:
    """Slots stand empty and nothing is ready: balance what was sent ahead."""
    for kind in list(state.with_free_slots):
        idle = [state.workers[w] for w in state.with_free_slots[kind] if state.workers[w].load < state.workers[w].slots]
        free = sum(worker.slots - worker.load for worker in idle)
        if free <= 0:
            continue
        for worker in _overloaded(state, kind):
            free -= _ask_some_back(state, worker, free)
            if free <= 0:
                break


def _overloaded(state: State, kind: Kind) -> list[Worker]:
    """Workers whose tasks the idle ones of this kind could have, and would have sooner."""
    found = (state.workers[worker_id] for worker_id in state.overloaded)
    return [worker for worker in found if worker.kind == kind and worker.busy_for(state.now) > WORTH_MOVING]


def _ask_some_back(state: State, worker: Worker, requested: int) -> int:
    """From the end of what it has, as much as it has above its slots. Returns how many slots are asked for."""
    asked = 0
    above = worker.load - worker.slots
    for attempt in reversed(list(worker.attempts.values())):
        if asked >= min(requested, above):
            break
        if attempt.started() or attempt.init:
            continue
        moves.take_back(state, attempt)
        asked += attempt.slots
    return asked
