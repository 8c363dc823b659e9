"""The one place where a task's state changes, and everything that follows from the graph.

`move` checks the table of legal moves, keeps the counters of the batch and of all dependants, and moves
those dependants whose state follows from it: a task that has not started is blocked if a dependency is
broken, pending if one has not succeeded, queued otherwise. Handlers ask for moves; they never write a
state themselves. An illegal move is an internal error and raises IllegalMoveError with the task's story.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from boss.core import machine_faults, outdated
from boss.core.effects import CompareInputs, LookUpOrder
from boss.core.graph import CANCELLING, CROSSES, DROPPED, RESULTS, Batch
from boss.core.legal import TASK_MOVES
from boss.core.model import BROKEN, TaskState
from boss.core.rows import TaskRow
from boss.core.state import Attempt, State
from boss.core.story import illegal
from wire.messages import TakeBack

_PENDING, _QUEUED, _SUCCEEDED, _BLOCKED = TaskState.PENDING, TaskState.QUEUED, TaskState.SUCCEEDED, TaskState.BLOCKED
_WORDS = tuple(state.word for state in TaskState)
_LEGAL = frozenset((a, b) for a, targets in TASK_MOVES.items() for b in targets)
_BROKEN = tuple(state in BROKEN for state in TaskState)
#: What it had made once counts no more.
_NOT_DONE = (TaskState.FAILED, TaskState.CANCELLED)
#: In the work list: the state that follows from the counters when the entry's turn comes.
_FOLLOW = -1


def move(state: State, batch: Batch, index: int, to: TaskState, cause: str, reason: str = "") -> None:
    """Task `index` goes to state `to`, and its dependants to what follows from that.

    `cause` is for the journal, `reason` stays with the task (why it failed). Raises IllegalMoveError.
    """
    work: list[tuple[Batch, int, int, str, str]] = [(batch, index, to, cause, reason)]
    while work:
        batch, index, to_state, cause, reason = work.pop()
        before = batch.states[index]
        if to_state == _FOLLOW:
            to_state = follows(batch, index)
        if before == to_state:
            continue
        _assign(state, batch, index, before, to_state, cause, reason)
        met = (to_state == _SUCCEEDED) - (before == _SUCCEEDED)
        broke = _BROKEN[to_state] - _BROKEN[before]
        if met or broke:
            for other, dependant in dependants(state, batch, index):
                if met < 0:
                    outdated.note(state, other, dependant, batch.first + index)
                other.unmet[dependant] -= met
                other.broken[dependant] += broke
                _follow(state, other, dependant, work)


def follows(batch: Batch, index: int) -> TaskState:
    """The state of a task that has not started, from its dependencies."""
    if batch.broken[index]:
        return _BLOCKED
    return _PENDING if batch.unmet[index] else _QUEUED


def count_dependencies(
    state: State, batch: Batch, index: int, dependencies: Iterable[int], stored: Mapping[int, int]
) -> None:
    """The counters of a task. `stored`: states of tasks that may not be in memory; what is nowhere has succeeded."""
    first, last = batch.first, batch.first + batch.count
    unmet = broken = 0
    batch.flags[index] &= ~CROSSES
    for number in dependencies:
        if first <= number < last:
            now = batch.states[number - first]
        else:
            batch.flags[index] |= CROSSES
            found = state.find(number)
            now = found[0].states[found[1]] if found is not None else stored.get(number, _SUCCEEDED)
        unmet += now != _SUCCEEDED
        broken += _BROKEN[now]
    batch.unmet[index], batch.broken[index] = unmet, broken


def again(state: State, batch: Batch, index: int, cause: str, *, whatever: bool = True) -> None:
    """A task that has ended is to run once more, whatever exists of its results, and unless `whatever` is false also
    where its inputs come out the same (`boss.core.cutoff`).
    """
    if whatever or not batch.attempts[index]:
        outdated.forget(state, batch, index)
    batch.failures[index] = batch.deaths[index] = 0
    if batch.states[index] == _SUCCEEDED:
        # One that succeeded because its results existed has no attempt; as attempt 0 it would be looked up again.
        batch.attempts[index] = max(1, batch.attempts[index])
    move(state, batch, index, follows(batch, index), cause)


def touch(state: State, batch: Batch, index: int, reason: str = "") -> None:
    """Its row is to be written."""
    number = batch.first + index
    if reason or number not in state.dirty:
        state.dirty[number] = reason


def enqueue(state: State, batch: Batch, index: int) -> None:
    """A queued task without an attempt: to the ready queue, or first ask whether its results exist."""
    number = batch.first + index
    if number in state.delayed or number in state.looking_up or number in state.comparing:
        return
    known = batch.outdated.get(index)
    if known is not None:
        state.comparing[number] = None
        state.effects.append(CompareInputs(task=number, attempt=known.attempt, parents=tuple(known.parents)))
        return
    if batch.flags[index] & RESULTS and batch.attempts[index] == 0 and not batch.profile(index).overwrite_result:
        look_up(state, number)
        return
    state.ready.put(batch, index)


def look_up(state: State, number: int) -> None:
    """Ask (again) whether the results of this queued task exist."""
    state.looking_up[number] = state.now
    state.ask(LookUpOrder(task=number))


def leave_queue(state: State, batch: Batch, index: int) -> None:
    """It is not to be sent to a worker (any more)."""
    number = batch.first + index
    state.ready.drop(batch, index)
    state.delayed.pop(number, None)
    state.looking_up.pop(number, None)
    state.comparing.pop(number, None)
    state.lost.pop(number, None)


def task_row(state: State, number: int, reason: str) -> TaskRow:
    found = state.find(number)
    assert found is not None
    batch, index = found
    return TaskRow(
        number,
        batch.states[index],
        batch.attempts[index],
        batch.failures[index],
        batch.deaths[index],
        reason,
        bool(batch.flags[index] & CANCELLING),
        state.wall,
        bool(batch.flags[index] & DROPPED),
        outdated.encoded(batch, index),
    )


def _assign(state: State, batch: Batch, index: int, before: int, to: int, cause: str, reason: str) -> None:
    number = batch.first + index
    if (before, to) not in _LEGAL:
        raise illegal(state, "task", number, _WORDS[before], _WORDS[to], cause)
    if before == _QUEUED:
        leave_queue(state, batch, index)
    if state.machine_faults and to not in (_QUEUED, TaskState.RUNNING):
        machine_faults.forget(state, number)
    if to in _NOT_DONE:
        outdated.forget(state, batch, index)
    batch.states[index] = to
    if not batch.flags[index] & DROPPED:
        batch.counts[before] -= 1
        batch.counts[to] += 1
    state.dirty_batches[batch.number] = None
    state.dirty[number] = reason
    state.journal("task", str(number), batch.attempts[index], _WORDS[before], _WORDS[to], cause)
    if to == _QUEUED and state.live(batch, index) is None:
        enqueue(state, batch, index)


def dependants(state: State, batch: Batch, index: int) -> list[tuple[Batch, int]]:
    """What depends on it, in its batch and in others that are in memory."""
    found = [(batch, dependant) for dependant in batch.dependants_of(index)]
    for number in state.crossing.get(batch.first + index, ()):
        other = state.find(number)
        if other is not None:
            found.append(other)
    return found


def _follow(state: State, batch: Batch, index: int, work: list[tuple[Batch, int, int, str, str]]) -> None:
    """A dependency of this task changed: what does that mean for it?"""
    now = batch.states[index]
    if now not in (_PENDING, _QUEUED, _BLOCKED):
        return
    if follows(batch, index) == now:
        return
    attempt = state.live(batch, index) if now == _QUEUED else None
    if attempt is None:
        work.append((batch, index, _FOLLOW, "follows from its dependencies", ""))
    else:
        # It was sent ahead to a worker, and a dependency is redone: the worker is asked for it. It
        # moves when the answer is there.
        take_back(state, attempt)


def take_back(state: State, attempt: Attempt) -> None:
    """Ask its worker to give it back, if it has not started and was not asked for already."""
    if not attempt.asked_back and not attempt.started():
        attempt.asked_back = True
        state.send(state.workers[attempt.worker], TakeBack(task=attempt.task, attempt=attempt.attempt))
