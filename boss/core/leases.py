"""Whether a worker is trusted with work: its lease and its state.

Leases count only time in which the boss was running and connected (docs/protocol.md); silence ends them,
presence does not. Quarantine (`boss.core.quarantine`) is a flag beside the state.
"""

from __future__ import annotations

from boss.core import attempts
from boss.core.effects import ClearPresence
from boss.core.legal import WORKER_MOVES
from boss.core.model import WorkerState
from boss.core.state import State, Worker
from boss.core.story import illegal

#: So many workers that die within so many seconds are a failing site, not poison.
MANY, AT_ONCE_SECONDS = 3, 2.0


def set_worker_state(state: State, worker: Worker, to: WorkerState, cause: str) -> None:
    """The one place where the state of a worker changes. Raises IllegalMoveError."""
    if worker.state is not to:
        if to not in WORKER_MOVES[worker.state]:
            raise illegal(state, "worker", worker.id, worker.state, to, cause)
        state.journal("worker", worker.id, 0, worker.state.value, to.value, cause)
        worker.state = to
        worker.row.state = to.value
        worker.row.changed_at = state.wall
        state.changes.workers[worker.id] = worker.row
    state.changed_workers[worker.id] = None


def lease_due(state: State, worker_id: str) -> None:
    """Check a worker's lease: renewed meanwhile, or ended."""
    worker = state.workers.get(worker_id)
    if worker is None:
        return
    worker.lease_planned = False
    if worker.state not in (WorkerState.ONLINE, WorkerState.DRAINING) or state.leases_from is None:
        return  # where we are not connected: checked again when we are
    until = max(worker.heard, state.leases_from) + state.policy.lease
    if until > state.now:
        plan_lease(state, worker, until)
        return
    set_worker_state(state, worker, WorkerState.LOST, f"silent for {state.policy.lease:g} s")
    worker.unconfirmed.clear()
    state.at(state.now + state.orphan_after(worker.kind.pool), "silent", worker.id)
    for attempt in list(worker.attempts.values()):
        attempts.lose(state, attempt, f"worker {worker.id} was silent past its lease")


def restart_leases(state: State) -> None:
    """Every lease starts again (a start, a reconnection, a gap in our own time)."""
    state.leases_from = state.now
    for worker in state.workers.values():
        if worker.state in (WorkerState.ONLINE, WorkerState.DRAINING):
            plan_lease(state, worker, state.now + state.policy.lease)


def plan_lease(state: State, worker: Worker, time: float) -> None:
    """Check it then. One check is planned at a time; one that comes too early plans the next."""
    if not worker.lease_planned:
        worker.lease_planned = True
        state.at(time, "lease", worker.id)


def died_alone(state: State, worker: Worker) -> bool:
    """It was seen to die. False: with many others, so that it is no sign against what it executed."""
    state.deaths.append((state.now, worker.id))
    return len({name for when, name in state.deaths if state.now - when < AT_ONCE_SECONDS}) < MANY


def await_successor(state: State, worker: Worker, reason: str) -> None:
    """Its instance ended and the next one finds its home: the hello of that one states which attempts are over.

    Until then it is sent nothing; if none says hello, its lease ends as that of any silent worker.
    """
    worker.connected = False
    worker.unconfirmed.clear()
    worker.outbox.clear()
    state.journal("worker", worker.id, 0, worker.state.value, worker.state.value, f"{reason}; its successor is awaited")
    state.changed_workers[worker.id] = None


def gone(state: State, worker: Worker, reason: str) -> None:
    """Its instance ended: it will never report again."""
    alone = died_alone(state, worker)
    for attempt in list(worker.attempts.values()):
        attempts.lose(state, attempt, reason, died=alone)
    worker.unconfirmed.clear()
    worker.outbox.clear()
    state.ready.forget_worker(worker.id, worker.inputs)
    worker.inputs = 0
    set_worker_state(state, worker, WorkerState.GONE, reason)
    state.effects.append(ClearPresence(worker=worker.id))
