"""A push meets what its project has: what it is refused for, which tasks that are there run again, and as what.

A replaced task keeps its number, its batch and its attempt counter; its description, its profile and what it
depends on are those of the new push from now on. Attempts of the former description are superseded: their
end is waited for and counts for nothing. A dropped task that is pushed again is replaced, whatever the strategy.
Without a strategy the push is the next version of its batch: what is changed is replaced, what failed or does not count
as done runs again, and so does all that depends on it, in whatever batch; the rest is kept, and what a user cancelled
stays cancelled. `replace` runs every task of the push again that has ended, with all that depends on them;
`keep_succeeded` leaves alone what has succeeded. `find` reads, `clashes` (of ids, dependencies and names of results)
and `cycles` refuse, with all rejections at once, `rewire` and `rerun` change the state; the push itself is accepted in
`accept`, what it does is worded in `plan`.
"""

from __future__ import annotations

import graphlib
from array import array
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from boss.core import attempts, dropped, init_tasks, machine_faults, moves, outdated
from boss.core.graph import DROPPED, RESULTS, Batch, reverse_edges
from boss.core.model import Profile, Submission, TaskState
from boss.core.reasons import Rejection, RejectionKind
from boss.core.rows import Known
from boss.core.state import State
from boss.core.versions import described, way_out
from wire.patterns import folders_above, is_pattern

#: Ended, so that pushing it again runs it again. Blocked ones follow automatically.
_ENDED = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED})
#: Clashes given one by one, and ids named of one batch.
CLASHES_SHOWN, _IDS_SHOWN = 50, 20
#: So many ids of a cycle are named.
_CYCLE_SHOWN = 20


class Merge(msgspec.Struct, frozen=True):
    """What a push does to tasks that are there already; indexes of the submission."""

    #: They have another content now, or claim the names of their results again.
    replaced: list[int] = []
    #: They have the same content, have ended, and run once more.
    again: list[int] = []
    #: They have another content in the push, have succeeded, and are kept as they are.
    kept_otherwise: list[int] = []
    #: What depends on them runs again as well.
    dependants: bool = False
    #: Those of `replaced` that a user cancelled and that stay so, with their new descriptions.
    held: list[int] = []
    #: Those of `replaced` with the same content: they have succeeded, and their results are gone or another task's.
    remade: list[int] = []
    #: Those of `again` that have succeeded with inputs that may be others now: they run unless these came out the same.
    outdated: list[int] = []
    #: Kept as they are: a user cancelled them; they have succeeded with inputs that may be others now.
    cancelled: list[int] = []
    kept_outdated: list[int] = []
    #: Kept, with a content on record that is of an earlier form.
    renewed: list[int] = []

    def __bool__(self) -> bool:
        return bool(self.replaced or self.again)


def find(submission: Submission, known: Known) -> Merge:
    """What the push does to each task that is there."""
    strategy = submission.merge_strategy
    merge = Merge([], [], [], strategy != "keep_succeeded", [], [], [], [], [], [])
    if not known.tasks:
        return merge
    take = _TAKE[strategy]
    missing = _without_results(submission, known)
    contents, former = submission.contents, submission.former_contents
    for index, task_id in enumerate(submission.ids):
        old = known.tasks.get(task_id)
        if old is None:
            continue
        if task_id in known.dropped:
            merge.replaced.append(index)
            continue
        same = old[2] == contents[index]
        if not same and former and old[2] in former.get(index, ()):
            same = True
            merge.renewed.append(index)
        if known.foreign and not strategy and is_clash(submission, known, index):
            continue
        now = old[1]
        if same and now == TaskState.SUCCEEDED and not (strategy == "replace" or missing or known.outdated):
            continue  # most of a large study
        if same and now == TaskState.SUCCEEDED and index in missing:
            merge.replaced.append(index)
            merge.remade.append(index)
        else:
            take(merge, index, now, same, now == TaskState.SUCCEEDED and task_id in known.outdated)
    return merge


def is_clash(submission: Submission, known: Known, index: int) -> bool:
    """The id is a task of another batch. Ids that are made of contents clash with none of the same content."""
    task_id = submission.ids[index]
    if task_id not in known.foreign or task_id in known.dropped:
        return False
    same = known.tasks[task_id][2] in (submission.contents[index], *submission.former_contents.get(index, ()))
    return not (submission.created_ids and same)


def _without_results(submission: Submission, known: Known) -> set[int]:
    """Tasks whose results are not on the datastore, or whose names another task has claimed that this push does not
    let share them.
    """
    missing = {index for index, task_id in enumerate(submission.ids) if task_id in known.gone} if known.gone else set()
    declaring: dict[str, set[str]] = {}
    disputed = []
    for name, index in submission.results:
        old = known.tasks.get(submission.ids[index])
        if old is None or old[1] != TaskState.SUCCEEDED:
            continue
        owner = known.results.get(name)
        if owner is None:
            missing.add(index)
        elif owner[0] != old[0]:
            disputed.append((name, index, owner[2]))
    if disputed:
        names = {name for name, _, _ in disputed}
        for name, index in submission.results:
            if name in names:
                declaring.setdefault(name, set()).add(submission.ids[index])
    missing.update(index for name, index, owner in disputed if owner not in declaring[name])
    return missing


def _next_version(merge: Merge, index: int, now: int, same: bool, outdated: bool) -> None:
    if not same:
        merge.replaced.append(index)
        if now == TaskState.CANCELLED:
            merge.held.append(index)
    elif now == TaskState.CANCELLED:
        merge.cancelled.append(index)
    elif now == TaskState.FAILED or outdated:
        merge.again.append(index)
        if outdated:
            merge.outdated.append(index)


def _replace(merge: Merge, index: int, now: int, same: bool, outdated: bool) -> None:
    if not same:
        merge.replaced.append(index)
    elif now in _ENDED:
        merge.again.append(index)


def _keep_succeeded(merge: Merge, index: int, now: int, same: bool, outdated: bool) -> None:
    if now == TaskState.SUCCEEDED:
        if not same:
            merge.kept_otherwise.append(index)
        if outdated:
            merge.kept_outdated.append(index)
    else:
        _replace(merge, index, now, same, outdated)


#: By strategy: puts a task into the lists that it belongs to, by its state, whether it has the same content, and
#: whether it has succeeded with inputs that may be others now.
_TAKE: dict[str, Callable[[Merge, int, int, bool, bool], None]] = {
    "": _next_version,
    "replace": _replace,
    "keep_succeeded": _keep_succeeded,
}


def batches_concerned(submission: Submission, known: Known) -> list[int]:
    """Batches that must be in memory, with all below them, before such a push is handled."""
    merge = find(submission, known)
    concerned = {known.tasks[submission.ids[index]][3] for index in (*merge.replaced, *merge.again)}
    if known.inits:
        specs = init_tasks.working(submission)
        concerned.update(number for number, rows in known.inits.items() if init_tasks.differ(specs, rows))
    if submission.prune:
        concerned.update(task.batch for task in known.left_out)
    return sorted(concerned)


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
    found = _clashing_ids(submission, known) if known.foreign and not submission.merge_strategy else []
    found += _unknown_dependencies(submission, known)
    if not submission.allow_shared_results and known.results:
        found += _shared_results(submission, known, merge)
    if len(found) > CLASHES_SHOWN:
        found[CLASHES_SHOWN:] = [Rejection(found[CLASHES_SHOWN].kind, f"... and {len(found) - CLASHES_SHOWN} more")]
    return found


def _clashing_ids(submission: Submission, known: Known) -> list[Rejection]:
    """One for each batch that has ids of this push and is no version of it."""
    by_batch: dict[int, list[str]] = {}
    for index, task_id in enumerate(submission.ids):
        if is_clash(submission, known, index):
            by_batch.setdefault(known.foreign[task_id], []).append(task_id)
    found = []
    mine = described(submission.name, submission.submitter)
    for number, ids in sorted(by_batch.items()):
        row = known.batches[number]
        named = ", ".join(map(repr, ids[:_IDS_SHOWN])) + (
            f" and {len(ids) - _IDS_SHOWN:,} more" if len(ids) > _IDS_SHOWN else ""
        )
        text = (
            f"task{'s' if len(ids) > 1 else ''} {named} of project {submission.project!r}: there in batch {number}, "
            f"which is {described(row.name, row.submitter)} and no version of this {mine}: {way_out(submission, row)}"
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
    left_out = {task.id for task in known.left_out}
    if submission.prune:
        replaced |= left_out
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
                    f" of project {submission.project!r}; "
                    + ("which is no longer in the file: --prune drops it, " if owner[2] in left_out else "")
                    + "--allow_shared_results makes this a warning"
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


def below(state: State, push: Push, merge: Merge) -> list[tuple[Batch, int]]:
    """All that runs again because it depends on what does, but for that itself and what a user cancelled."""
    if not merge.dependants or not merge:
        return []
    return [
        (batch, index)
        for batch, index in _below(state, _origins(push, merge))
        if batch.states[index] != TaskState.CANCELLED
    ]


def _origins(push: Push, merge: Merge) -> list[int]:
    held = set(merge.held)
    return [push.numbers[index] for index in (*merge.replaced, *merge.again) if index not in held]


def rerun(state: State, push: Push, merge: Merge) -> None:
    """The tasks of the merge, and where the strategy has it so all below them, go to what follows from dependencies."""
    dependants = below(state, push, merge)
    spared = {push.numbers[index] for index in merge.outdated}
    for number in _origins(push, merge):
        _rerun(state, *there(state, number), "pushed again", whatever=number not in spared)
    for batch, index in dependants:
        _rerun(state, batch, index, "what it depends on was pushed again", whatever=False)


def _rerun(state: State, batch: Batch, index: int, cause: str, *, whatever: bool) -> None:
    """`whatever`: also if its inputs come out the same as before."""
    dropped.take_up(state, batch, index, "pushed again")
    attempt = state.live(batch, index)
    state.unclear_deaths.pop(batch.first + index, None)  # what its former description did to workers
    machine_faults.forget(state, batch.first + index)
    if whatever:
        outdated.forget(state, batch, index)
    if attempt is not None:
        attempts.supersede(state, attempt)
        return
    now = batch.states[index]
    if now in _ENDED:
        moves.again(state, batch, index, cause, whatever=whatever)
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
