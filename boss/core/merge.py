"""A push meets what its project has: what it is refused for, which tasks that are there run again, and as what.

A replaced task keeps its number, its batch and its attempt counter; its description, its profile and what it
depends on are those of the new push from now on. Attempts of the former description are superseded: their
end is waited for and counts for nothing. A dropped task that is pushed again is replaced, whatever the strategy.
`replace` runs every task of the push again that has ended, with all that depends on them in whatever batch;
`keep_succeeded` leaves alone what has succeeded. `find` reads, `clashes` (of ids, dependencies and names of results)
and `cycles` refuse, with all rejections at once, `rewire` and `rerun` change the state; the push itself is accepted in
`accept`.
"""

from __future__ import annotations

import graphlib
from array import array
from collections.abc import Collection, Iterable, Sequence

import msgspec

from boss.core import attempts, dropped, moves
from boss.core.graph import DROPPED, RESULTS, Batch, reverse_edges
from boss.core.model import Profile, Submission, TaskState
from boss.core.reasons import Rejection, RejectionKind
from boss.core.rows import Known
from boss.core.state import State
from wire.patterns import folders_above, is_pattern

#: Ended, so that pushing it again runs it again. Blocked ones follow automatically.
_ENDED = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED})
#: Clashes given one by one.
CLASHES_SHOWN = 50
#: So many ids of a cycle are named.
_CYCLE_SHOWN = 20


class Merge(msgspec.Struct, frozen=True):
    """What a push does to tasks that are there already; indexes of the submission."""

    #: They have another content now.
    replaced: list[int] = []
    #: They have the same content, have ended, and run once more.
    again: list[int] = []
    #: They have another content in the push, have succeeded, and are kept as they are.
    kept_otherwise: list[int] = []
    #: What depends on them runs again as well.
    dependants: bool = False

    def __bool__(self) -> bool:
        return bool(self.replaced or self.again)


def find(submission: Submission, known: Known) -> Merge:
    """What the push's strategy does to each task that is there. Without a strategy only dropped ones run again."""
    strategy = submission.merge_strategy
    merge = Merge([], [], [], strategy == "replace")
    if not (strategy or known.dropped) or not known.tasks:
        return merge
    contents, keeps = submission.contents, strategy == "keep_succeeded"
    for index, task_id in enumerate(submission.ids):
        old = known.tasks.get(task_id)
        if task_id in known.dropped:
            merge.replaced.append(index)
            continue
        if old is None or not strategy:
            continue
        differs = old[2] != contents[index]
        if keeps and old[1] == TaskState.SUCCEEDED:
            if differs:
                merge.kept_otherwise.append(index)
        elif differs:
            merge.replaced.append(index)
        elif old[1] in _ENDED:
            merge.again.append(index)
    return merge


def batches_concerned(submission: Submission, known: Known) -> list[int]:
    """Batches that must be in memory, with all below them, before such a push is handled."""
    merge = find(submission, known)
    return sorted({known.tasks[submission.ids[index]][3] for index in (*merge.replaced, *merge.again)})


class Push(msgspec.Struct, frozen=True):
    """A push with everything as task numbers: what index i depends on is targets[starts[i]:starts[i + 1]]."""

    submission: Submission
    numbers: array[int]
    starts: array[int]
    targets: array[int]

    def dependencies(self, index: int) -> array[int]:
        return self.targets[self.starts[index] : self.starts[index + 1]]


# --- clashes -----------------------------------------------------------------------------------------


def clashes(submission: Submission, known: Known, merge: Merge) -> list[Rejection]:
    found = _clashing_ids(submission, known, merge) if known.tasks and not submission.merge_strategy else []
    found += _unknown_dependencies(submission, known)
    if not submission.allow_shared_results and known.results:
        found += _shared_results(submission, known, merge)
    if len(found) > CLASHES_SHOWN:
        found[CLASHES_SHOWN:] = [Rejection(found[CLASHES_SHOWN].kind, f"... and {len(found) - CLASHES_SHOWN} more")]
    return found


def _clashing_ids(submission: Submission, known: Known, merge: Merge) -> list[Rejection]:
    found = []
    replaced = set(merge.replaced)  # dropped ones
    for index, task_id in enumerate(submission.ids):
        old = known.tasks.get(task_id)
        if old is not None and old[2] != submission.contents[index] and index not in replaced:
            text = (
                f"task {task_id!r}: project {submission.project!r} has a task of this id with another content"
                f" (batch {old[3]}, {TaskState(old[1]).word}); give it another id, push into another --project,"
                " or use --merge_strategy replace (or keep_succeeded)"
            )
            found.append(Rejection(RejectionKind.ID_CLASH, text))
    return found


def _unknown_dependencies(submission: Submission, known: Known) -> list[Rejection]:
    return [
        Rejection(
            RejectionKind.UNKNOWN_DEPENDENCY,
            f"task {submission.ids[index]!r}: dependency {needed!r} is neither in this file"
            f" nor in project {submission.project!r}",
        )
        for index, needed in submission.external
        if needed not in known.tasks
    ]


def _shared_results(submission: Submission, known: Known, merge: Merge) -> list[Rejection]:
    """What a replaced task declared counts no more: what this push declares counts."""
    found = []
    replaced = {submission.ids[index] for index in merge.replaced}
    kept_otherwise = set(merge.kept_otherwise)
    for name, index in submission.results:
        if index in kept_otherwise:
            continue
        # Two tasks may have one pattern.
        for place in folders_above(name) if is_pattern(name) else (name, *folders_above(name)):
            owner = known.results.get(place)
            if owner is not None and owner[2] != submission.ids[index] and owner[2] not in replaced:
                words = "is also" if place == name else f"lies in {place!r},"
                text = (
                    f"task {submission.ids[index]!r}: result {name!r} {words} a result of task {owner[2]!r}"
                    f" of project {submission.project!r}; --allow_shared_results makes this a warning"
                )
                found.append(Rejection(RejectionKind.RESULT_CLASH, text))
                break
    return found


# --- cycles ----------------------------------------------------------------------------------------


def cycles(state: State, push: Push, merge: Merge, new: Collection[int]) -> list[Rejection]:
    """A replaced task may come to depend on one that depends on it by way of tasks that the push does not name.

    The push alone has no cycle (`boss.intake`): one requires a task of it that depends on one which it neither replaces
    nor brings, or on one for a result of its former description.
    """
    inner = array("I", push.submission.dependency_starts)
    if len(push.targets) == inner[-1] and len(merge.replaced) + len(new) == len(push.numbers):
        return []
    replaced = {push.numbers[index] for index in merge.replaced}
    roots = _cycle_roots(state, push, replaced, inner)
    if not roots:
        return []
    added: dict[int, list[int]] = {}
    for index in (*merge.replaced, *new):
        for dependency in push.dependencies(index):
            added.setdefault(dependency, []).append(push.numbers[index])
    cycle = _cycle(state, replaced, added, roots)
    if not cycle:
        return []
    named = dict(zip(push.numbers, push.submission.ids, strict=True))
    words = [repr(named[number]) if number in named else f"task number {number}" for number in cycle[:_CYCLE_SHOWN]]
    shown = " <- ".join(words) + (" ..." if len(cycle) > _CYCLE_SHOWN else "")
    return [
        Rejection(
            RejectionKind.CYCLE,
            f"task {words[0]}: with what it depends on now it would wait for itself: {shown}; "
            "push the tasks between as well, or give it another id",
        )
    ]


def _cycle_roots(state: State, push: Push, replaced: set[int], inner: array[int]) -> list[int]:
    """Replaced tasks, of which each cycle has one: those with older dependants, and those required for a former result.

    `inner`: the starts of the rows that the push itself states; what a row of `push` has beyond stands behind it.
    """
    by_result: set[int] = set()
    if len(push.targets) > inner[-1]:
        for index in range(len(push.numbers)):
            by_result.update(push.dependencies(index)[inner[index + 1] - inner[index] :])
    return [number for number in replaced if number in by_result or _older_dependants(state, replaced, number)]


def _cycle(state: State, replaced: set[int], added: dict[int, list[int]], roots: list[int]) -> list[int]:
    """A cycle, each task followed by one that depends on it, a replaced one first and last. Empty: there is none."""
    after: dict[int, list[int]] = {}
    reached = list(roots)
    while reached:
        number = reached.pop()
        if number not in after:
            after[number] = [*_older_dependants(state, replaced, number), *added.get(number, ())]
            reached += after[number]
    try:
        graphlib.TopologicalSorter(after).prepare()
    except graphlib.CycleError as error:
        cycle = error.args[1][:0:-1]  # as it comes, each depends on the next, and the first is the last
        first = next(place for place, number in enumerate(cycle) if number in replaced)
        return [*cycle[first:], *cycle[: first + 1]]
    return []


def _older_dependants(state: State, replaced: set[int], number: int) -> list[int]:
    """What depends on this task already, and will: all but the replaced ones."""
    found = state.find(number)
    old = moves.dependants(state, *found) if found is not None else []
    return [batch.first + index for batch, index in old if batch.first + index not in replaced]


# --- descriptions and edges ------------------------------------------------------------------------


def rewire(state: State, push: Push, merge: Merge, stored: dict[int, int]) -> dict[int, tuple[int, int]]:
    """Replaced tasks get their new profiles and dependencies; their states stay for `rerun`.

    `stored`: states of tasks that may not be in memory. Answers index -> (first, count) of its batch.
    """
    declared = {index for _, index in push.submission.results}
    profile_of = array("I", push.submission.profile_of)
    by_batch: dict[int, dict[int, int]] = {}
    ranges: dict[int, tuple[int, int]] = {}
    for index in merge.replaced:
        batch, position = there(state, push.numbers[index])
        by_batch.setdefault(batch.number, {})[position] = index
        ranges[index] = (batch.first, batch.count)
        _take_from_queue(state, batch, position)
    for number, positions in by_batch.items():
        batch = state.batches[number]
        state.ready.purge(batch, positions)
        profiles = _profile_numbers(
            batch, push.submission.profiles, {profile_of[index] for index in positions.values()}
        )
        for position, index in positions.items():
            batch.sizes[position] = len(push.submission.executions[index])
            batch.profile_of[position] = profiles[profile_of[index]]
            flags = batch.flags[position] & ~RESULTS
            batch.flags[position] = flags | (RESULTS if index in declared else 0)
        _rewire_inside(batch, positions, push)
    _rewire_crossing(state, push, merge)
    for index in merge.replaced:
        batch, position = there(state, push.numbers[index])
        moves.count_dependencies(state, batch, position, push.dependencies(index), stored)
    return ranges


def there(state: State, number: int) -> tuple[Batch, int]:
    """A task that the loop brought into memory."""
    found = state.find(number)
    assert found is not None, f"task {number} was not read before it was replaced"
    return found


def _take_from_queue(state: State, batch: Batch, position: int) -> None:
    if batch.states[position] != TaskState.QUEUED or state.live(batch, position) is not None:
        return
    if batch.first + position in state.looking_up:
        # The answer is about the former results: as attempt 0 it would be looked up, and trusted.
        batch.attempts[position] = 1
        moves.touch(state, batch, position)
    moves.leave_queue(state, batch, position)


def _profile_numbers(batch: Batch, profiles: Sequence[Profile], used: Iterable[int]) -> dict[int, int]:
    """Number of a profile in the push -> its number in the batch, which gains those that it has not."""
    numbers: dict[int, int] = {}
    for number in used:
        profile = profiles[number]
        if profile not in batch.profiles:
            batch.profiles.append(profile)
        numbers[number] = batch.profiles.index(profile)
    return numbers


def _rewire_inside(batch: Batch, positions: dict[int, int], push: Push) -> None:
    """The batch's edges once more, with other dependencies of these. Linear in the batch, as its acceptance was."""
    old_starts, old = reverse_edges(batch.count, batch.dependant_starts, batch.dependants)
    first, last = batch.first, batch.first + batch.count
    starts, targets = array("I", [0]), array("I")
    for position in range(batch.count):
        index = positions.get(position)
        if index is None:
            targets.extend(old[old_starts[position] : old_starts[position + 1]])
        else:
            targets.extend(number - first for number in push.dependencies(index) if first <= number < last)
        starts.append(len(targets))
    batch.dependant_starts, batch.dependants = reverse_edges(batch.count, starts, targets)


def _rewire_crossing(state: State, push: Push, merge: Merge) -> None:
    replaced = {push.numbers[index] for index in merge.replaced}
    for dependency, dependants in list(state.crossing.items()):
        if not replaced.isdisjoint(dependants):
            kept = [number for number in dependants if number not in replaced]
            if kept:
                state.crossing[dependency] = kept
            else:
                del state.crossing[dependency]
    for index in merge.replaced:
        batch, position = there(state, push.numbers[index])
        for dependency in push.dependencies(index):
            found = state.find(dependency)
            if found is not None and found[0] is not batch:
                state.crossing.setdefault(dependency, []).append(batch.first + position)
                found[0].links.add(batch.number)
                batch.links.add(found[0].number)


# --- states ----------------------------------------------------------------------------------------


def rerun(state: State, push: Push, merge: Merge) -> None:
    """The tasks of the merge, and where the strategy has it so all below them, go to what follows from dependencies."""
    origins = [push.numbers[index] for index in (*merge.replaced, *merge.again)]
    for number in origins:
        _rerun(state, *there(state, number), "replaced by a later push")
    if merge.dependants:
        for batch, index in _below(state, origins):
            if batch.states[index] != TaskState.CANCELLED:
                _rerun(state, batch, index, "what it depends on was replaced")


def _rerun(state: State, batch: Batch, index: int, cause: str) -> None:
    dropped.take_up(state, batch, index, "pushed again")
    attempt = state.live(batch, index)
    state.unclear_deaths.pop(batch.first + index, None)  # what its former description did to workers
    if attempt is not None:
        attempts.supersede(state, attempt)
        return
    now = batch.states[index]
    if now in _ENDED:
        moves.again(state, batch, index, cause)
        return
    if batch.failures[index] or batch.deaths[index]:
        batch.failures[index] = batch.deaths[index] = 0
        moves.touch(state, batch, index)
    following = moves.follows(batch, index)
    if following != now:
        moves.move(state, batch, index, following, cause)
    elif now == TaskState.QUEUED:
        state.delayed.pop(batch.first + index, None)
        state.lost.pop(batch.first + index, None)
        moves.enqueue(state, batch, index)


def _below(state: State, origins: Sequence[int]) -> list[tuple[Batch, int]]:
    """Everything that depends on these, directly or not, but these."""
    seen = set(origins)
    work = list(origins)
    below = []
    while work:
        for batch, index in moves.dependants(state, *there(state, work.pop())):
            number = batch.first + index
            if number not in seen and not batch.flags[index] & DROPPED:
                seen.add(number)
                work.append(number)
                below.append((batch, index))
    return below
