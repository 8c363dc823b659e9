"""The rule that retries a task: how often, after which exit codes, after what pause. What its profile leaves open, the
policy sets.

Only an attempt that failed or ran too long costs a retry; one that was lost or returned is just run again (`requeue`).
"""

from __future__ import annotations

from boss.core import moves
from boss.core.graph import Batch
from boss.core.model import Ended, Profile, TaskState
from boss.core.state import State


def fail_or_retry(state: State, batch: Batch, index: int, how: Ended, reason: str, exit_code: int | None) -> None:
    """An attempt failed or ran too long: again after a pause, if a retry is left and worth it; else failed."""
    profile, policy = batch.profile(index), state.policy
    batch.failures[index] += 1
    failures = batch.failures[index]
    retries = retries_of(state, profile)
    code = 124 if how is Ended.TIMED_OUT else exit_code
    if failures > retries or (profile.retry_on and code not in profile.retry_on):
        moves.move(state, batch, index, TaskState.FAILED, how.value, reason)
        return
    if moves.follows(batch, index) is TaskState.QUEUED:
        first = policy.retry_delay if profile.retry_delay is None else profile.retry_delay
        longest = policy.retry_delay_max if profile.retry_delay_max is None else profile.retry_delay_max
        delay(state, batch, index, backoff(first, longest, failures, batch.first + index))
    requeue(state, batch, index, f"retry {failures} of {retries} after: {reason}")


def retries_of(state: State, profile: Profile) -> int:
    """How often a failed attempt of a task with this profile is followed by another one."""
    return state.policy.retries if profile.retries is None else profile.retries


def backoff(first: float, longest: float, failures: int, number: int) -> float:
    """Seconds before retry `failures`: first x 2^(failures-1), at most `longest`, less up to a quarter.

    The jitter is taken from the task's number, so that a replay waits as long as the original.
    """
    jitter = ((number * 2654435761 + failures * 40503) & 0xFFFF) / 0x10000
    return float(min(longest, first * 2.0 ** min(failures - 1, 32))) * (1.0 - 0.25 * jitter)


def delay(state: State, batch: Batch, index: int, seconds: float) -> None:
    """It is not to be sent for so long."""
    number = batch.first + index
    state.delayed[number] = state.now + seconds
    state.at(state.now + seconds, "retry", number)


def due(state: State, task: int) -> None:
    """The pause before its retry is over."""
    when = state.delayed.get(task)
    if when is None or when > state.now:
        return
    del state.delayed[task]
    found = state.find(task)
    if found is not None and found[0].states[found[1]] == TaskState.QUEUED and state.live(*found) is None:
        moves.enqueue(state, *found)


def requeue(state: State, batch: Batch, index: int, reason: str) -> None:
    """No attempt any more, and it is to run (again)."""
    following = moves.follows(batch, index)
    if batch.states[index] != following:
        moves.move(state, batch, index, following, reason or "to be run again", reason)
    elif following is TaskState.QUEUED:
        moves.touch(state, batch, index, reason)
        moves.enqueue(state, batch, index)
