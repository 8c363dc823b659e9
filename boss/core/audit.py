"""Whether the rows of one batch are consistent: counts, states against dependencies and against attempts.

For `python -m boss --check`: it sees rows only, finished batches too, and reports all that is wrong instead of
stopping at the first. What the running scheduler must hold besides is `boss.core.check`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from boss.core.model import BROKEN, TERMINAL, UNFINISHED, Ended, Phase, TaskState
from boss.core.rows import LoadedBatch

_STARTED = (Phase.EXECUTING.value, Phase.COLLECTING.value)


class Standing(msgspec.Struct, frozen=True):
    """What counts of one attempt."""

    phase: str
    ended: str
    abandoning: str = ""


class AuditFinding(msgspec.Struct, frozen=True):
    """Something inconsistent. `task` 0: it is about the whole batch or no task."""

    task: int
    text: str


def audit_batch(
    batch: LoadedBatch, outside: Mapping[int, int], attempts: Mapping[tuple[int, int], Standing]
) -> Iterator[AuditFinding]:
    """`outside`: states of tasks of other batches that it depends on. `attempts`: all of its tasks' attempts."""
    row = batch.row
    if not len(batch.states) == len(batch.attempts) == row.count:
        yield AuditFinding(0, f"batch {row.number} is to have {row.count} tasks and has {len(batch.states)}")
        return
    counts = [batch.states.count(state) for state in TaskState]
    for number in batch.dropped:
        counts[batch.states[number - row.first]] -= 1
    if counts != row.counts:
        yield AuditFinding(
            0, f"batch {row.number} counts {_format_counts(row.counts)}, and its tasks are {_format_counts(counts)}"
        )
    if row.finished_at and any(counts[state] for state in UNFINISHED):
        yield AuditFinding(0, f"batch {row.number} is finished and has tasks that are not: {_format_counts(counts)}")
    live: dict[int, list[int]] = {}
    for (task, number), standing in attempts.items():
        if not standing.ended:
            live.setdefault(task, []).append(number)
    for index in range(row.count):
        number = row.first + index
        yield from _task(batch, index, outside, attempts, live.get(number, []))


def _task(
    batch: LoadedBatch,
    index: int,
    outside: Mapping[int, int],
    attempts: Mapping[tuple[int, int], Standing],
    live: list[int],
) -> Iterator[AuditFinding]:
    number, newest = batch.row.first + index, batch.attempts[index]
    state = TaskState(batch.states[index])
    yield from _dependencies(batch, index, state, outside, bool(live))
    if len([one for one in live if not attempts[(number, one)].abandoning]) > 1:
        yield AuditFinding(number, f"has {len(live)} live attempts: {live}")
    last = attempts.get((number, newest))
    if newest and last is None:
        yield AuditFinding(number, f"is at attempt {newest}, of which there is no row")
    if number in batch.dropped and not live and (state is TaskState.BLOCKED or state not in TERMINAL):
        yield AuditFinding(number, f"was dropped, and is {state.word}")
    if state is TaskState.RUNNING and not (last and not last.ended and last.phase in _STARTED):
        yield AuditFinding(number, f"is running, and its attempt {newest} {_standing(last)}")
    if state in TERMINAL and last is not None and not last.ended:
        yield AuditFinding(number, f"is {state.word}, and its attempt {newest} {_standing(last)}")
    if state is TaskState.SUCCEEDED and last is not None and last.ended not in ("", Ended.SUCCEEDED.value):
        yield AuditFinding(number, f"is succeeded, and its attempt {newest} {_standing(last)}")


def _dependencies(
    batch: LoadedBatch, index: int, state: TaskState, outside: Mapping[int, int], live: bool
) -> Iterator[AuditFinding]:
    number, first, last = batch.row.first + index, batch.row.first, batch.row.first + batch.row.count
    unmet = broken = 0
    for needed in batch.dependency_targets[batch.dependency_starts[index] : batch.dependency_starts[index + 1]]:
        known = batch.states[needed - first] if first <= needed < last else outside.get(needed)
        if known is None:
            yield AuditFinding(number, f"depends on task {needed}, which is not there")
            continue
        unmet += known != TaskState.SUCCEEDED
        broken += known in BROKEN
    if state is TaskState.PENDING and (broken or not unmet):
        yield AuditFinding(number, f"is pending with {unmet} unmet dependencies, {broken} of them broken")
    elif state is TaskState.BLOCKED and not broken:
        yield AuditFinding(number, "is blocked, and none of its dependencies failed")
    elif state is TaskState.QUEUED and unmet and not live:
        yield AuditFinding(number, f"is queued with {unmet} unmet dependencies")


def _standing(attempt: Standing | None) -> str:
    if attempt is None:
        return "is not there"
    return f"has ended as {attempt.ended}" if attempt.ended else f"is live ({attempt.phase})"


def _format_counts(counts: list[int]) -> str:
    parts = [f"{count} {TaskState(state).word}" for state, count in enumerate(counts) if count]
    return ", ".join(parts) or "none"
