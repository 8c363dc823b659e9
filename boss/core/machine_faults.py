"""Whether it is a task or its machines that are at fault, when workers report that their machines failed its attempts.

One such report is the worker's fault (`boss.core.quarantine`). A task that meets it on one worker after the other,
where other tasks run, brings it along: then it is failed with that reason, and nothing is held against the workers.

    on three workers, each of which has worked since its first         the task's
    on three or on as many as there are (on a lone one, twice), of
    which one has worked since its first                               the task's
    on three workers that failed no other since they last worked       the task's
    others fail as well, or nothing else runs                          unknown: it is tried on, for an hour

A worker "has worked since" when what began on it after that ended as it should: then its machine had what this task
finds missing. But in the first case some time must have passed, because all machines may be full for a moment.
"""

from __future__ import annotations

from boss.core.state import State, TaskFaults, Worker

#: Different workers in a row.
WORKERS = 3
#: After so many reports, and the longest pause between two tries of a worker, nothing else is waited for.
MANY = 3 * WORKERS


def add(state: State, worker: Worker, task: int) -> TaskFaults:
    """The machine of this worker failed an attempt of it."""
    faults = state.machine_faults.get(task)
    if faults is None:
        faults = state.machine_faults[task] = TaskFaults(state.now)
    before = faults.workers.pop(worker.id, None)
    if before is None or worker.worked > before:
        faults.counted += 1
    faults.total += 1
    faults.workers[worker.id] = state.now
    worker.faulted[task] = state.now
    return faults


def worked(worker: Worker, began: float) -> None:
    """What began on it then (monotonic) ended as it should: whatever its machine lacked before that, it has again."""
    if began > worker.worked:
        worker.worked = began
        if worker.faulted:
            worker.faulted = {task: at for task, at in worker.faulted.items() if at >= began}


def forget(state: State, task: int) -> None:
    """It ended in another way, or is not to run: the row is over."""
    faults = state.machine_faults.pop(task, None)
    for name in faults.workers if faults is not None else ():
        worker = state.workers.get(name)
        if worker is not None:
            worker.faulted.pop(task, None)


def is_the_tasks(state: State, task: int, usable: list[Worker]) -> bool:
    """`usable`: the workers that may be sent it, the one that reported among them."""
    faults, policy = state.machine_faults[task], state.policy
    passed = state.now - faults.since
    if faults.total >= MANY and passed >= policy.probe_max:
        return True
    met = [state.workers[name] for name in faults.workers if name in state.workers]
    proven = sum(1 for worker in met if worker.worked > faults.since)
    if proven >= WORKERS or passed < policy.restart_max:
        return proven >= WORKERS
    everywhere = len(met) >= WORKERS or all(worker.id in faults.workers for worker in usable)
    if everywhere and proven:
        return faults.counted > 1
    return len(met) >= WORKERS and not any(worker.faulted.keys() - {task} for worker in met)


def elsewhere(state: State, task: int, worker: Worker, others: list[Worker]) -> Worker:
    """The worker to try it on: rather one that has not failed it yet."""
    faults = state.machine_faults[task]
    if worker.id not in faults.workers:
        return worker
    return next((other for other in others if other.id not in faults.workers), worker)


def sentence(state: State, task: int, last: str) -> str:
    """Why it failed."""
    faults = state.machine_faults[task]
    names = list(faults.workers)
    on = f"on worker {names[0]}" if len(names) == 1 else f"on {len(names)} workers in a row ({', '.join(names[-5:])})"
    what = f"{faults.total} attempts were failed by their machine {on}, so the task is taken to bring that about"
    return f"{what}; the last: {last}"
