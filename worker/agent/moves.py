"""How attempts move on a worker: taken, ready, executing, ended, returned, forgotten.

`_move` is the only place that assigns a phase and keeps the counters; whoever calls these functions has decided that
the move is right; one that the table does not have raises IllegalMoveError. Reports go through `worker.agent.reports`.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Literal

import msgspec

from wire.messages import REASON_KEPT, Input, ManifestEntry, Outcome, PhaseReached, Returned, Run, shortened
from worker.agent.effects import (
    Execute,
    ForgetOutcome,
    KeepOutcome,
    KillExecution,
    PlaceInputs,
    RememberInit,
    RemoveAttempt,
)
from worker.agent.legal import HELD_MOVES, illegal
from worker.agent.reports import report, report_end
from worker.agent.state import (
    Held,
    Phase,
    PhaseMove,
    WorkerAgentState,
    fits,
    is_nothing_to_do,
    memory_of,
    slots_of,
)

#: An attempt that does not fit is passed over so often; then nothing later begins before it.
PASSED_OVER_MAX = 16
#: Inputs known before their Run are kept for so many attempts.
EARLY_MAX = 1000
#: What has written less is not what fills the disk.
GROWN_MIN = 64 * 1024
#: So many succeeded inits are remembered.
INITIALIZED_MAX = 1000


def _move(state: WorkerAgentState, held: Held, phase: Phase) -> None:
    if phase not in HELD_MOVES[held.phase]:
        raise illegal(state, held, phase)
    state.story.append(PhaseMove(state.now, held.task, held.attempt, held.phase, phase))
    if held.phase == "executing" and held.run is not None:
        state.used_slots -= slots_of(state, held.run)
        state.used_memory -= memory_of(state, held.run)
    if held.phase != "new":
        state.counts[held.phase] -= 1
    held.phase = phase
    if phase == "executing" and held.run is not None:
        state.used_slots += slots_of(state, held.run)
        state.used_memory += memory_of(state, held.run)
    if phase != "gone":
        state.counts[phase] += 1


def hold(state: WorkerAgentState, task: int, attempt: int, run: Run | None = None) -> Held:
    """A new entry, still without a phase."""
    state.arrivals += 1
    held = Held(task, attempt, state.arrivals, run)
    state.held[held.key] = held
    if attempt > state.highest.get(task, 0):
        state.highest[task] = attempt
    return held


def take(state: WorkerAgentState, run: Run) -> None:
    """A Run that was not known: hold it, and stage it or make it ready."""
    held = hold(state, run.task, run.attempt, run)
    held.waits_for = {init for init in run.inits if init not in state.initialized}
    for init in held.waits_for:
        state.waiting.setdefault(init, {})[held.key] = None
    if not run.staging:
        _move(state, held, "staged")
        make_ready(state, held)
        return
    _move(state, held, "staging")
    report(state, held.key, PhaseReached(task=held.task, attempt=held.attempt, phase="staging"))
    inputs = state.early.pop(held.key, None)
    if inputs is not None:
        place(state, held, inputs)


def place(state: WorkerAgentState, held: Held, inputs: list[Input]) -> None:
    held.placing = held.directory = True
    state.effects.append(PlaceInputs(held.task, held.attempt, inputs))


def keep_early(state: WorkerAgentState, task: int, attempt: int, inputs: list[Input]) -> None:
    """Inputs of an attempt that has not arrived; the oldest such are dropped when there are too many."""
    state.early[(task, attempt)] = inputs
    while len(state.early) > EARLY_MAX:
        del state.early[next(iter(state.early))]


def placed(state: WorkerAgentState, held: Held) -> None:
    held.placing = False
    _move(state, held, "staged")
    report(state, held.key, PhaseReached(task=held.task, attempt=held.attempt, phase="staged"))
    make_ready(state, held)


def make_ready(state: WorkerAgentState, held: Held) -> None:
    """To the queue of those that may begin, unless it waits for an init."""
    if held.phase == "staged" and not held.waits_for and held.run is not None:
        heapq.heappush(state.ready, (0 if held.run.init else 1, held.arrival, held.key))


def begin_ready(state: WorkerAgentState) -> None:
    """Begin what fits, inits first, then in order of arrival; what does not fit is passed over a few times only."""
    passed: list[tuple[int, int, Held]] = []
    while state.ready:
        rank, arrival, key = state.ready[0]
        held = state.held.get(key)
        if held is None or held.arrival != arrival or held.phase != "staged" or held.run is None:
            heapq.heappop(state.ready)
        elif is_nothing_to_do(held.run):
            heapq.heappop(state.ready)  # it begins and ends in one step, and costs no slot
            _move(state, held, "executing")
            end(state, held, Outcome(task=held.task, attempt=held.attempt, ended="succeeded"), keep=False)
        elif fits(state, held.run):
            heapq.heappop(state.ready)
            _begin(state, held, held.run)
            for _, _, earlier in passed:
                earlier.passed_over += 1
        elif (
            held.passed_over >= PASSED_OVER_MAX
            or len(passed) >= PASSED_OVER_MAX
            or state.used_slots >= state.options.slots
        ):
            break
        else:
            heapq.heappop(state.ready)
            passed.append((rank, arrival, held))
    for rank, arrival, held in passed:
        heapq.heappush(state.ready, (rank, arrival, held.key))


def _begin(state: WorkerAgentState, held: Held, run: Run) -> None:
    _move(state, held, "executing")
    held.directory = True
    held.began_at = state.now
    state.effects.append(Execute(run))
    report(state, held.key, PhaseReached(task=held.task, attempt=held.attempt, phase="executing"))


def end(state: WorkerAgentState, held: Held, outcome: Outcome, keep: bool = True) -> None:
    """The attempt has an outcome: report it until it is acknowledged (or never, if it is not needed)."""
    if len(outcome.reason) > REASON_KEPT:
        outcome = msgspec.structs.replace(outcome, reason=shortened(outcome.reason))
    state.progress.pop(held.key, None)
    succeeded_init = held.run is not None and held.run.init and outcome.ended == "succeeded"
    if held.unwanted:
        _leave(state, held)
    else:
        _stop_waiting(state, held)
        _move(state, held, "ended")
        held.outcome = outcome
        if keep:
            held.kept = True
            state.effects.append(KeepOutcome(outcome))
        if not (outcome.manifest or outcome.folders):  # nothing of it is to be collected: the room may be needed
            _remove_directory(state, held)
        report_end(state, held)
    if succeeded_init:
        _initialize(state, held.task)


def end_unbegun(
    state: WorkerAgentState,
    held: Held,
    ended: Literal["failed", "cancelled"],
    reason: str,
    fault: Literal["task", "worker"] = "task",
) -> None:
    """An attempt that ends without having executed."""
    outcome = Outcome(task=held.task, attempt=held.attempt, ended=ended, reason=reason, fault=fault)
    end(state, held, outcome)


def _initialize(state: WorkerAgentState, number: int) -> None:
    """An init has succeeded here: what waited for it alone may begin."""
    state.initialized[number] = None
    while len(state.initialized) > INITIALIZED_MAX:
        del state.initialized[next(iter(state.initialized))]
    state.effects.append(RememberInit(number))
    for key in state.waiting.pop(number, {}):
        held = state.held[key]
        held.waits_for.discard(number)
        make_ready(state, held)


def give_back(state: WorkerAgentState, held: Held) -> None:
    """Not begun, and not to begin here any more."""
    _stop_waiting(state, held)
    _move(state, held, "returned")
    _remove_directory(state, held)
    held.run = None
    report(state, held.key, Returned(task=held.task, attempt=held.attempt), delay=0.0)


def give_back_all(state: WorkerAgentState) -> None:
    for held in list(state.held.values()):
        if held.phase in ("staging", "staged"):
            give_back(state, held)


def kill(state: WorkerAgentState, held: Held, reason: str) -> None:
    state.effects.append(KillExecution(held.task, held.attempt, reason))


def kill_all(state: WorkerAgentState, reason: str) -> None:
    """The worker must end: what runs is killed, which is neither the task's fault nor its machine's."""
    for held in state.held.values():
        if held.phase == "executing" and not held.stopping:
            held.stopping = True
            kill(state, held, reason)


def killed_for_us(state: WorkerAgentState, held: Held, outcome: Outcome) -> Outcome:
    """A kill that the worker itself wanted is no cancellation: the boss tries again elsewhere.

    One because the worker ends is the fault of neither: it stays a cancellation, and the boss, which asked for none,
    takes the attempt for lost.
    """
    if not (held.stopping or held.exceeded) or outcome.ended != "cancelled" or (state.stop == "now" and held.stopping):
        return outcome
    return msgspec.structs.replace(outcome, ended="failed", fault="task" if held.exceeded else "worker")


def failed_by_disk(state: WorkerAgentState, held: Held, outcome: Outcome) -> Outcome:
    """What fails on a disk that is full fails for that. It is just run again unless it is what has filled it."""
    if outcome.ended != "failed" or outcome.fault == "worker" or held.exceeded or state.disk_low_at < held.began_at:
        return outcome
    reason = f"{outcome.reason}; the worker's disk was full meanwhile"
    if state.largest_writer not in (None, held.key):
        return msgspec.structs.replace(outcome, ended="cancelled", reason=reason)
    return msgspec.structs.replace(outcome, fault="worker", reason=reason)


def stop_growing(state: WorkerAgentState, grown: list[tuple[int, int, int]], free: int, low: bool) -> None:
    """What has written more than it may is killed; on a full disk the largest, one after the other."""
    limit = state.options.attempt_disk_bytes
    largest: tuple[int, Held] | None = None
    for task, attempt, size in grown:
        held = state.held.get((task, attempt))
        if held is None or held.phase != "executing" or held.unwanted or held.stopping:
            continue
        if limit and size > limit and not held.exceeded:
            held.exceeded = True
            kill(state, held, f"it has written {size:,} bytes: an attempt may write {limit:,} (attempt_disk_bytes)")
        if largest is None or size > largest[0]:
            largest = size, held
    if low:
        state.largest_writer = largest[1].key if largest is not None else None
    if low and largest is not None and not largest[1].exceeded and largest[0] >= GROWN_MIN:
        size, held = largest
        held.stopping = True
        why = f"the worker's disk is full, {free:,} bytes are free"
        kill(state, held, f"{why}, and this attempt has written more than any other: {size:,} bytes")


def forget(state: WorkerAgentState, held: Held, *, keep: bool = False) -> None:
    """The boss needs nothing more of this attempt. If it runs it is killed first, and forgotten when it is dead.

    `keep`: its results are inputs of other tasks.
    """
    state.outbox.pop(held.key, None)
    if held.phase == "executing":
        if not held.unwanted:
            held.unwanted = True
            kill(state, held, "not wanted any more")
        return
    _leave(state, held, keep)


def _leave(state: WorkerAgentState, held: Held, keep: bool = False) -> None:
    _stop_waiting(state, held)
    _move(state, held, "gone")
    del state.held[held.key]
    if state.highest.get(held.task) == held.attempt:
        _lower_highest(state, held)
    if held.kept:
        state.effects.append(ForgetOutcome(held.task, held.attempt))
    kept = held.outcome.manifest if keep and held.outcome and held.outcome.ended == "succeeded" else ()
    _remove_directory(state, held, kept)


def _lower_highest(state: WorkerAgentState, held: Held) -> None:
    """The highest is gone; a lower one may still be held, such as an end that is not acknowledged yet."""
    for attempt in range(held.attempt - 1, 0, -1):
        if (held.task, attempt) in state.held:
            state.highest[held.task] = attempt
            return
    del state.highest[held.task]


def _remove_directory(state: WorkerAgentState, held: Held, keep: Sequence[ManifestEntry] = ()) -> None:
    if held.directory:
        held.directory = False
        state.effects.append(RemoveAttempt(held.task, held.attempt, list(keep)))


def _stop_waiting(state: WorkerAgentState, held: Held) -> None:
    for init in held.waits_for:
        keys = state.waiting.get(init, {})
        keys.pop(held.key, None)
        if not keys:
            state.waiting.pop(init, None)
    held.waits_for = set()
