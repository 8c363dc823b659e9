"""What must always hold inside the state: every redundancy, and those of docs/guarantees.md that one
process can see. For tests, simulations and `python -m boss --check`; its cost grows with everything there
is, so it is never called in a hot path. Raises InvariantError with the story of the task in question.
"""

from __future__ import annotations

from boss.core.diagnosis import why
from boss.core.graph import CANCELLING, CROSSES, DROPPED, READY, Batch
from boss.core.model import BROKEN, OVER, TERMINAL, InstanceState, Phase, TaskState, WorkerState
from boss.core.state import State
from boss.core.story import InvariantError, story


def check(state: State) -> None:
    """Raise InvariantError unless all of it holds."""
    crossing = _crossing(state)
    for batch in state.batches.values():
        paused = (batch.row.paused, batch.row.paused_kind)
        _claim(state, all(paused) or not any(paused), f"batch {batch.number} is paused for {paused}")
        _counters(state, batch, crossing)
        for index in range(batch.count):
            _task(state, batch, index)
    _attempts(state)
    _workers(state)
    _instances(state)
    _queues(state)


def _claim(state: State, holds: bool, text: str, task: int | None = None) -> None:
    if not holds:
        raise InvariantError(text, story(state, task) if task is not None else ())


def _counters(state: State, batch: Batch, crossing: dict[int, list[int]]) -> None:
    counts = batch.count_states()
    _claim(state, counts == batch.counts, f"batch {batch.number}: counts {batch.counts} are not {counts}")
    live = sum(1 for attempt in state.attempts.values() if attempt.batch is batch)
    _claim(state, live == batch.live, f"batch {batch.number}: {batch.live} live attempts, counted {live}")
    unmet, broken = _counted(batch, crossing)
    for index in range(batch.count):
        number = batch.first + index
        more_unmet, more_broken = batch.unmet[index] - unmet[index], batch.broken[index] - broken[index]
        if batch.flags[index] & CROSSES:
            # A dependency that is not in memory has ended, so it counts for both, or (it succeeded) for neither.
            exact = more_unmet == more_broken >= 0
        else:
            exact = more_unmet == more_broken == 0
        _claim(
            state,
            exact,
            f"task {number}: unmet {batch.unmet[index]}, broken {batch.broken[index]}; "
            f"counted in memory {unmet[index]}, {broken[index]}",
            number,
        )


def _counted(batch: Batch, crossing: dict[int, list[int]]) -> tuple[list[int], list[int]]:
    """Of each task how many dependencies that are in memory are unmet, and how many broken."""
    states: list[list[int]] = [list(crossing.get(batch.first + index, ())) for index in range(batch.count)]
    for index in range(batch.count):
        for dependant in batch.dependants_of(index):
            states[dependant].append(batch.states[index])
    unmet = [sum(now != TaskState.SUCCEEDED for now in each) for each in states]
    return unmet, [sum(now in BROKEN for now in each) for each in states]


def _crossing(state: State) -> dict[int, list[int]]:
    """The states of the dependencies of each task that are in memory, in other batches than its own."""
    states: dict[int, list[int]] = {}
    for dependency, dependants in state.crossing.items():
        above = state.find(dependency)
        for number in dependants:
            below = state.find(number)
            if above is None or below is None:
                raise InvariantError(f"task {number} depends on task {dependency}, and one of them is not in memory")
            marked = bool(below[0].flags[below[1]] & CROSSES)
            _claim(state, marked, f"task {number} depends on task {dependency} of another batch, unmarked", number)
            states.setdefault(number, []).append(above[0].states[above[1]])
    return states


def _task(state: State, batch: Batch, index: int) -> None:
    number = batch.first + index
    now = TaskState(batch.states[index])
    attempt = state.live(batch, index)
    unmet, broken = batch.unmet[index], batch.broken[index]
    if now is TaskState.PENDING:
        _claim(state, unmet > 0 and broken == 0, f"task {number} is pending: {unmet} unmet, {broken} broken", number)
    elif now is TaskState.BLOCKED:
        _claim(state, broken > 0, f"task {number} is blocked by nothing", number)
    elif now is TaskState.QUEUED:
        _queued(state, batch, index)
    elif now is TaskState.RUNNING:
        _claim(state, attempt is not None and attempt.started(), f"task {number} is running without an attempt", number)
    outdated = batch.outdated.get(index)
    if outdated is not None:
        _claim(
            state, now not in (TaskState.FAILED, TaskState.CANCELLED), f"task {number} is {now.word}, outdated", number
        )
        newest = outdated.attempt == batch.attempts[index]
        _claim(state, newest, f"task {number}: attempt {outdated.attempt} is outdated and not its newest", number)
    if batch.flags[index] & DROPPED:
        ends = now in TERMINAL if attempt is None else batch.flags[index] & CANCELLING
        _claim(state, bool(ends) and now is not TaskState.BLOCKED, f"task {number} is dropped, and {now.word}", number)
    if now not in (TaskState.QUEUED, TaskState.RUNNING):
        _claim(state, attempt is None, f"task {number} is {now.word} and has a live attempt", number)
        _claim(state, not batch.flags[index] & CANCELLING, f"task {number} is {now.word} and cancelling", number)
    if now in (TaskState.PENDING, TaskState.QUEUED, TaskState.BLOCKED):
        _claim(state, bool(why(state, batch, index)), f"task {number} is {now.word}, and no reason is found", number)
    if now not in (TaskState.QUEUED, TaskState.RUNNING):
        _claim(state, number not in state.machine_faults, f"task {number} is {now.word}, and suspected", number)
    if now is not TaskState.QUEUED:
        waits = number in state.looking_up or number in state.comparing or number in state.delayed
        waits = waits or bool(batch.flags[index] & READY)
        _claim(state, not waits, f"task {number} is {now.word} and waits in a queue", number)


def _queued(state: State, batch: Batch, index: int) -> None:
    """A queued task is in exactly one place: ready, delayed, looked up, or with a worker."""
    number = batch.first + index
    attempt = state.live(batch, index)
    places = (
        bool(batch.flags[index] & READY),
        number in state.delayed,
        number in state.looking_up,
        number in state.comparing,
        attempt is not None,
    )
    _claim(
        state,
        sum(places) == 1,
        f"queued task {number} is in (ready, delayed, looked up, compared, sent) = {places}",
        number,
    )
    met = batch.unmet[index] == 0 and batch.broken[index] == 0
    if attempt is None:
        _claim(state, met, f"task {number} is queued before its dependencies succeeded", number)
    else:
        _claim(state, not attempt.started(), f"task {number} is queued and its attempt has started", number)
        _claim(state, met or attempt.asked_back, f"task {number} was sent and a dependency was redone", number)


def _attempts(state: State) -> None:
    for key, attempt in state.attempts.items():
        _claim(state, attempt.key == key, f"attempt {key} stands under another key", key[0])
        worker = state.workers.get(attempt.worker)
        if attempt.phase is not Phase.COLLECTING:
            there = worker is not None and worker.attempts.get(key) is attempt
            _claim(state, there, f"attempt {key} is not on its worker {attempt.worker}", key[0])
            alive = worker is not None and worker.state in (WorkerState.ONLINE, WorkerState.DRAINING)
            _claim(state, alive, f"attempt {key} is with worker {attempt.worker}, which is not there", key[0])
        pending = attempt.phase in (Phase.STAGING, Phase.COLLECTING)
        _claim(
            state, pending == (key in state.at_datastore), f"attempt {key}: {attempt.phase}, pending {pending}", key[0]
        )
        if attempt.phase is Phase.COLLECTING:
            _claim(state, attempt.outcome is not None, f"attempt {key} collects without an outcome", key[0])
        _claim(
            state,
            attempt.init or attempt.batch.attempts[attempt.index] == attempt.attempt,
            f"attempt {key} lives and is not the newest",
            key[0],
        )
    for key in state.at_datastore:
        _claim(state, key in state.attempts, f"an answer of the datastore is pending for {key}, which is over", key[0])


def _workers(state: State) -> None:
    for worker in state.workers.values():
        reason, row = worker.quarantine, worker.row
        recorded = (row.quarantined, row.quarantined_kind)
        _claim(
            state,
            recorded == (("", "") if reason is None else (reason.text, reason.kind)),
            f"worker {worker.id} is quarantined for {reason}, its row has {recorded}",
        )
        load = sum(attempt.slots for attempt in worker.attempts.values())
        _claim(state, load == worker.load, f"worker {worker.id}: load {worker.load}, its attempts hold {load}")
        for key, attempt in worker.attempts.items():
            _claim(state, state.attempts.get(key) is attempt, f"worker {worker.id} has {key}, which is over", key[0])
        probing = worker.probing
        _claim(
            state,
            probing is None or (probing in state.attempts and worker.quarantined),
            f"worker {worker.id} proves itself with {probing}, which is over",
        )
        stray = worker.progress.keys() - {task for task, _ in worker.attempts}
        _claim(state, not stray, f"worker {worker.id}: progress of tasks {sorted(stray)[:5]}, which it does not have")
        over = worker.load > worker.slots
        _claim(state, over == (worker.id in state.overloaded), f"worker {worker.id}: overloaded {over}")
    for kind, of_kind in state.with_free_slots.items():
        for worker_id in of_kind:
            worker = state.workers[worker_id]
            _claim(
                state,
                worker.serves() and worker.kind == kind,
                f"worker {worker_id} is listed with free slots and may not be",
            )


def _instances(state: State) -> None:
    by_pool = {number: one for of_pool in state.by_pool.values() for number, one in of_pool.items()}
    _claim(state, by_pool == state.instances, f"instances {sorted(state.instances)}, by pool {sorted(by_pool)}")
    for name, of_pool in state.by_pool.items():
        limit = state.policy.pool(name).max_workers
        fits = name not in state.pools or len(of_pool) <= limit
        _claim(state, fits, f"pool {name} has {len(of_pool)} instances, more than {limit}")
    for worker_id, number in state.instance_for.items():
        _claim(
            state,
            number in state.instances and state.instances[number].row.worker == worker_id,
            f"worker {worker_id} has instance {number}, which is over",
        )
    for instance in state.instances.values():
        _claim(state, instance.state not in OVER, f"instance {instance.row.number} is over and still kept")
        worker = state.workers.get(instance.row.worker)
        if instance.state is InstanceState.STOPPING and worker is not None:
            known = state.instance_for.get(worker.id) == instance.row.number and worker.state is WorkerState.ONLINE
            _claim(state, not known, f"worker {worker.id} is to stop and takes more")


def _queues(state: State) -> None:
    ready = sum(1 for batch in state.batches.values() for flag in batch.flags if flag & READY)
    counted = sum(waiting.count for waiting in state.ready.by_demand.values())
    _claim(state, ready == counted, f"{ready} tasks are ready, the queue counts {counted}")
    for number in (*state.delayed, *state.looking_up, *state.comparing):
        found = state.find(number)
        _claim(
            state,
            found is not None and found[0].states[found[1]] == TaskState.QUEUED,
            f"task {number} waits and is not queued",
            number,
        )
    for identity in state.files:
        _claim(state, identity in state.files_for, f"it is not recorded which batches wait for file {identity}")
    for identity in state.files_failed:
        _claim(
            state,
            identity in state.files,
            f"it is recorded why file {identity} is not stored, and no batch waits for it",
        )
    for digest, sending in state.sending.items():
        _claim(state, bool(sending.replies), f"the datastore is to send {digest}, and no request waits for it")


def starving(state: State) -> list[int]:
    """Ready tasks that some idle worker could run now: at the end of a turn there are none (liveness)."""
    found = []
    for worker in state.workers.values():
        if not worker.serves() or not worker.connected or worker.load:
            continue
        for waiting in state.ready.by_demand.values():
            if not waiting.demand.fits(worker.kind):
                continue
            for key in waiting.order:
                batch = state.batches.get(key[1])
                if batch is not None and not batch.held():
                    found += [batch.first + index for index in waiting.lanes[key] if batch.flags[index] & READY]
    return found
