"""Quarantine of workers, and their release: by a user, or by a probe.

A worker whose attempts fail one after another by its own fault gets nothing new (`strike`, or an init task that
fails there). After a pause it gets ONE task: if that succeeds it is released, if it fails by the worker's fault
the next pause is twice as long, and an end that is no sign about the worker is followed by another probe.
What a user quarantined, and a host that is not trusted (`boss.core.host_keys`), only a user releases: the kind of the
reason, which stands in the worker's row, decides that.
"""

from __future__ import annotations

from boss.core import moves
from boss.core.model import Ended
from boss.core.reasons import LASTING, Quarantine, QuarantineKind
from boss.core.state import Attempt, State, Worker

#: One task alone quarantines a worker only after so many times as many faults as different tasks do.
SAME_TASK = 3


def strike(state: State, worker: Worker, task: int, reason: str) -> None:
    """An attempt failed by the worker's own fault. Different tasks in a row are what counts: one may be the cause."""
    worker.strikes += 1
    worker.struck[task] = worker.struck.get(task, 0) + 1
    if worker.quarantined or not _too_many(state, worker):
        return
    text = f"{worker.strikes} attempts in a row failed by its own fault, the last: {reason}"
    quarantine(state, worker, Quarantine(QuarantineKind.FAILURES, text))


def _too_many(state: State, worker: Worker) -> bool:
    limit = state.policy.strikes
    return len(worker.struck) >= limit or worker.strikes >= SAME_TASK * limit


def init_failed(state: State, worker: Worker, attempt: Attempt, reason: str) -> None:
    """An execution of an init task failed on it: a few times are too many."""
    if attempt.batch.inits[attempt.index].retired:
        return
    tries = worker.init_failures.get(attempt.task, 0) + 1
    worker.init_failures[attempt.task] = tries
    if tries >= state.policy.init_tries:
        text = f"init task {attempt.batch.inits[attempt.index].spec.id!r} failed {tries} times here: {reason}"
        quarantine(state, worker, Quarantine(QuarantineKind.INIT_TASK, text))


def clear_strikes(worker: Worker) -> None:
    """It did something right. What quarantined it is remembered until it is released."""
    failures = worker.quarantine is not None and worker.quarantine.kind is QuarantineKind.FAILURES
    if worker.strikes and not failures:
        worker.strikes = 0
        worker.struck.clear()


def quarantine(state: State, worker: Worker, reason: Quarantine) -> bool:
    """Nothing new for it, and what it has not started is asked back. False: nothing is changed by this reason."""
    if is_lasting(worker) and reason.kind not in LASTING:
        return False  # a reason of less weight: a probe is not to undo what only a user may
    if worker.probing is not None:
        _failed(state, worker)
    if worker.quarantine == reason:
        return False
    _set(state, worker, reason)
    take_back_all(state, worker)
    plan(state, worker)
    return True


def release(state: State, worker: Worker) -> None:
    """It may be sent tasks again, and nothing is held against it."""
    if worker.quarantine is None:
        return
    _set(state, worker, None)
    worker.blamed = 0
    worker.probes = 0
    worker.probing = None
    clear_strikes(worker)
    worker.init_failures.clear()
    state.uninitialized[worker.id] = None


def _set(state: State, worker: Worker, reason: Quarantine | None) -> None:
    text, kind = (reason.text, reason.kind.value) if reason is not None else ("", "")
    worker.quarantine = reason
    worker.row.quarantined, worker.row.quarantined_kind = text, kind
    worker.row.changed_at = state.wall
    state.changes.workers[worker.id] = worker.row
    state.journal("worker", worker.id, 0, worker.state.value, "quarantined" if reason is not None else "released", text)
    worker.probe_due = False
    worker.probe_at = None
    state.changed_workers[worker.id] = None


def is_lasting(worker: Worker) -> bool:
    """True: only a user releases it."""
    return worker.quarantine is not None and worker.quarantine.kind in LASTING


def release_blamed(state: State, task: int) -> None:
    """It turned out to be this task's own doing that workers were quarantined."""
    for worker in state.workers.values():
        if worker.blamed == task and not is_lasting(worker):
            release(state, worker)


def release_struck(state: State, task: int) -> None:
    """It turned out to be this task's own doing that machines failed it: it does not count against them."""
    for worker in state.workers.values():
        times = worker.struck.pop(task, 0)
        worker.strikes -= times
        failures = worker.quarantine is not None and worker.quarantine.kind is QuarantineKind.FAILURES
        if times and failures and not _too_many(state, worker):
            release(state, worker)


def take_back_all(state: State, worker: Worker) -> None:
    for attempt in worker.attempts.values():
        moves.take_back(state, attempt)


# --- probes ----------------------------------------------------------------------------------------


def plan(state: State, worker: Worker) -> None:
    """The next probe of a worker that a probe may release: the pause doubles with each that failed."""
    policy = state.policy
    if not worker.quarantined or is_lasting(worker) or policy.probe <= 0:
        return
    worker.probe_due = False
    worker.probe_at = state.now + min(policy.probe_max, policy.probe * 2.0 ** min(worker.probes, 16))
    state.at(worker.probe_at, "probe", worker.id)


def probe_due(state: State, worker_id: str) -> None:
    """The pause is over: it may have one task (`assign` gives it as soon as it holds nothing else)."""
    worker = state.workers.get(worker_id)
    if worker is None or worker.probe_at is None or worker.probe_at > state.now:
        return  # released meanwhile, or planned again
    worker.probe_at = None
    worker.probe_due = True
    state.changed_workers[worker.id] = None


def probe_sent(state: State, worker: Worker, attempt: Attempt) -> None:
    worker.probing = attempt.key
    worker.probe_due = False
    state.journal("worker", worker.id, 0, "quarantined", "probed", f"one task to prove itself: {attempt.task}")


def probe_ended(state: State, worker: Worker, how: Ended) -> None:
    """The one task that it had to prove itself with has ended."""
    if how is Ended.SUCCEEDED and not is_lasting(worker):
        worker.probing = None
        release(state, worker)
    elif how is Ended.LOST:
        _failed(state, worker)
    else:
        worker.probing = None
        plan(state, worker)


def _failed(state: State, worker: Worker) -> None:
    worker.probing = None
    worker.probes += 1
    state.journal("worker", worker.id, 0, "probed", "quarantined", f"probe {worker.probes} failed")
    take_back_all(state, worker)
    plan(state, worker)
