"""What a push will do, counted and named before it begins, and said in sentences.

`of` reads the state as it stands before the push is accepted. Ids of tasks that the push does not name are not in
memory: of those there are numbers, and whoever words the plan hands in what they are called.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

import msgspec

from boss.core.differences import differences
from boss.core.graph import Batch
from boss.core.merge import Merge, Push
from boss.core.model import Submission, TaskState
from boss.core.reasons import Rejection, RejectionKind
from boss.core.rows import Description, Known
from boss.core.state import State

#: So many tasks are named.
SHOWN = 20
_encode = msgspec.json.Encoder().encode
_IN_SENTENCE = 3


class Some(msgspec.Struct):
    """Tasks: how many, and the ids of the first of them."""

    count: int = 0
    ids: list[str] = []


class Changed(msgspec.Struct):
    """A task with another content; `what` of it has changed, in the words of a task file."""

    id: str
    what: list[str]


class Superseded(msgspec.Struct):
    """A task that is executed at present, since so many seconds. `id` is empty where only the number is known."""

    id: str
    number: int
    seconds: float


class Plan(msgspec.Struct, kw_only=True):
    """Of the tasks of one push, each in one of the counts up to `cancelled`."""

    tasks: int = 0
    #: They are kept: they have succeeded, or are on their way.
    unchanged: int = 0
    changed: Some = msgspec.field(default_factory=Some)
    #: Of the first changed ones what has changed.
    changes: list[Changed] = []
    new: Some = msgspec.field(default_factory=Some)
    #: They failed, or the strategy has it, and run again; their results are gone or another task's; their inputs may be
    #: others.
    again: Some = msgspec.field(default_factory=Some)
    remade: Some = msgspec.field(default_factory=Some)
    outdated: Some = msgspec.field(default_factory=Some)
    #: They run again because of what they depend on, unless their inputs come out the same.
    dependants: Some = msgspec.field(default_factory=Some)
    #: They have succeeded with another content, and are kept all the same (`keep_succeeded`).
    kept_otherwise: Some = msgspec.field(default_factory=Some)
    #: A user cancelled them, and they stay cancelled.
    cancelled: Some = msgspec.field(default_factory=Some)

    #: Kept although something that they depend on has been run again, or is (`keep_succeeded`): not up to date.
    stale: Some = msgspec.field(default_factory=Some)
    #: Tasks that the push does not name and that run again because of what they depend on.
    outside: int = 0
    outside_numbers: list[int] = []
    #: Tasks of former versions that are not in the file any more; whether they are dropped.
    left_out: Some = msgspec.field(default_factory=Some)
    pruned: bool = False
    #: They are executed at present and begin again.
    running: int = 0
    superseded: list[Superseded] = []
    #: All of it has succeeded already.
    done: bool = False
    #: Batches of this name that are paused.
    paused: list[int] = []


def of(
    state: State, push: Push, known: Known, merge: Merge, new: Iterable[int], below: list[tuple[Batch, int]]
) -> Plan:
    submission = push.submission
    ids = submission.ids
    plan = Plan(tasks=len(ids), pruned=submission.prune)
    dropped = [index for index in merge.replaced if ids[index] in known.dropped]
    plan.new = _some(ids, sorted([*new, *dropped]))  # to users those that were dropped are new
    if not known.tasks:
        return plan
    held, remade, outdated = set(merge.held), set(merge.remade), set(merge.outdated)
    changed = [index for index in merge.replaced if index not in remade and ids[index] not in known.dropped]
    plan.changed = _some(ids, changed)
    plan.changes = _changes(submission, known, changed)
    plan.remade = _some(ids, merge.remade)
    plan.outdated = _some(ids, merge.outdated)
    plan.again = _some(ids, [index for index in merge.again if index not in outdated])
    index_of = _indexes(push, below)
    plan.dependants = _some(ids, index_of.values())
    outside = [batch.first + index for batch, index in below if batch.first + index not in index_of]
    plan.outside, plan.outside_numbers = len(outside), outside[:SHOWN]
    plan.cancelled = _some(ids, (*merge.cancelled, *merge.held))
    plan.kept_otherwise = _some(ids, merge.kept_otherwise)
    plan.unchanged = plan.tasks - _counted(plan) - len(merge.cancelled)
    plan.left_out = Some(len(known.left_out), [task.id for task in known.left_out[:SHOWN]])
    origins = [(index, push.numbers[index]) for index in (*merge.replaced, *merge.again) if index not in held]
    _running(state, plan, [number for _, number in origins], {number: ids[index] for index, number in origins}, below)
    plan.stale = _stale(state, push, merge, [number for _, number in origins])
    plan.done = plan.tasks == plan.unchanged > 0 and all(known.tasks[id][1] == TaskState.SUCCEEDED for id in ids)
    return plan


def _some(ids: list[str], indexes: Iterable[int]) -> Some:
    chosen = list(indexes)
    return Some(len(chosen), [ids[index] for index in chosen[:SHOWN]])


def _indexes(push: Push, below: list[tuple[Batch, int]]) -> dict[int, int]:
    """Number -> index of those of the push."""
    wanted = {batch.first + index for batch, index in below}
    if not wanted:
        return {}
    return {number: index for index, number in enumerate(push.numbers) if number in wanted}


def _changes(submission: Submission, known: Known, changed: list[int]) -> list[Changed]:
    profile_of = memoryview(submission.profile_of).cast("I") if submission.profile_of else ()
    found = []
    for index in changed[:SHOWN]:
        id = submission.ids[index]
        before = known.described.get(id)
        if before is None:
            found.append(Changed(id, []))
            continue
        profile = _encode(submission.profiles[profile_of[index]])
        after = Description(submission.executions[index], submission.requirements[index], profile)
        found.append(Changed(id, differences(before, after) or ["dependencies"]))
    return found


def _running(
    state: State, plan: Plan, origins: list[int], names: Mapping[int, str], below: list[tuple[Batch, int]]
) -> None:
    """What is executed at present, or is being collected, and is superseded."""
    for number in [*origins, *(batch.first + index for batch, index in below)]:
        found = state.find(number)
        attempt = state.live(*found) if found is not None else None
        if attempt is not None and attempt.started() and not (attempt.abandoning or attempt.cancelling):
            plan.running += 1
            if len(plan.superseded) < SHOWN:
                since = max(0.0, state.wall - attempt.began_at) if attempt.began_at else 0.0
                plan.superseded.append(Superseded(names.get(number, ""), number, since))


def _stale(state: State, push: Push, merge: Merge, origins: list[int]) -> Some:
    """Kept ones whose inputs may be others: noted before, or because of this push."""
    if merge.dependants:
        return Some()
    ids = push.submission.ids
    stale = dict.fromkeys(merge.kept_outdated)
    origin_numbers = set(origins)
    for index in range(len(ids)) if origin_numbers else ():
        if not origin_numbers.isdisjoint(push.dependencies(index)):
            found = state.find(push.numbers[index])
            if found is not None and found[0].states[found[1]] == TaskState.SUCCEEDED:
                stale[index] = None
    return _some(ids, [index for index in stale if push.numbers[index] not in origin_numbers])


def unconfirmed(submission: Submission, plan: Plan) -> list[Rejection]:
    """Tasks that run now lose what they have computed: their user is asked first, unless a strategy says it."""
    if not plan.running or submission.confirmed or submission.dry_run or submission.merge_strategy:
        return []
    said = lines(plan, {}, submission.project)
    return [Rejection(RejectionKind.UNCONFIRMED, text) for text in said]


# --- in sentences ------------------------------------------------------------------------------------


def lines(plan: Plan, names: Mapping[int, str], project: str = "default") -> list[str]:
    """What to tell a user, the most important first. `names`: ids of tasks that the push does not name."""
    said = [_counts(plan)]
    if plan.done:
        said.append("All of it is done already: nothing runs.")
    if plan.outside:
        called = [names.get(number, f"task number {number}") for number in plan.outside_numbers]
        named = _listed(Some(plan.outside, called))
        said.append(f"{_tasks(plan.outside)} that this file does not name run again as well: {named}")
    if plan.running:
        said.append(running_line(plan, names))
    if plan.cancelled.count:
        first = shlex.quote(plan.cancelled.ids[0])
        stay = "was cancelled and stays so" if plan.cancelled.count == 1 else "were cancelled and stay so"
        said.append(
            f"{_tasks(plan.cancelled.count)} {stay} ({_listed(plan.cancelled)}); to run one: "
            f"admin.py redo_task {first}{_in(project)}"
        )
    if plan.stale.count:
        said.append(
            f"{_tasks(plan.stale.count)} kept by --merge_strategy keep_succeeded are not up to date, as something they "
            f"depend on is or was run again: {_listed(plan.stale)}; push without a strategy to bring them up to date"
        )
    if plan.left_out.count:
        left = f"{_tasks(plan.left_out.count)} no longer in the file: {_listed(plan.left_out)}"
        said.append(f"{left}; dropped (--prune)" if plan.pruned else f"{left}; --prune drops them")
    if plan.paused:
        said.append(
            f"batch {plan.paused[0]} is paused, so this version waits as well: admin.py resume_batch {plan.paused[0]}"
        )
    return said


def running_line(plan: Plan, names: Mapping[int, str]) -> str:
    each = ", ".join(
        f"{run.id or names.get(run.number) or f'task number {run.number}'} has run for {elapsed(run.seconds)}"
        for run in plan.superseded[:_IN_SENTENCE]
    )
    more = ", ..." if plan.running > _IN_SENTENCE else ""
    begin = "runs now, is ended and begins" if plan.running == 1 else "run now, are ended and begin"
    return f"{_tasks(plan.running)} {begin} again: {each}{more}"


def _counts(plan: Plan) -> str:
    parts = [
        (plan.unchanged, f"{plan.unchanged:,} unchanged"),
        (plan.changed.count, f"{plan.changed.count:,} changed ({_changed(plan)})"),
        (plan.new.count, f"{plan.new.count:,} new ({_listed(plan.new)})"),
        (plan.again.count, f"{plan.again.count:,} run again ({_listed(plan.again)})"),
        (plan.remade.count, f"{plan.remade.count:,} whose results are gone or another task's ({_listed(plan.remade)})"),
        (plan.outdated.count, f"{plan.outdated.count:,} whose inputs were made again ({_listed(plan.outdated)})"),
        (
            plan.dependants.count,
            f"{plan.dependants.count:,} {'depends' if plan.dependants.count == 1 else 'depend'} on them",
        ),
        (
            plan.kept_otherwise.count,
            f"{plan.kept_otherwise.count:,} kept with another content ({_listed(plan.kept_otherwise)})",
        ),
        (plan.tasks - _counted(plan), f"{plan.tasks - _counted(plan):,} cancelled"),
    ]
    said = ", ".join(text for count, text in parts if count)
    return f"{_tasks(plan.tasks)}: {said}" if said else _tasks(plan.tasks)


def _counted(plan: Plan) -> int:
    """In one of the counts; those that are left stay cancelled."""
    parts = (plan.changed, plan.new, plan.again, plan.remade, plan.outdated, plan.dependants, plan.kept_otherwise)
    return plan.unchanged + sum(part.count for part in parts)


def _changed(plan: Plan) -> str:
    each = [f"{one.id}: {', '.join(one.what)}" if one.what else one.id for one in plan.changes[:_IN_SENTENCE]]
    return "; ".join(each) + (", ..." if plan.changed.count > len(each) else "")


def _listed(some: Some) -> str:
    return ", ".join(some.ids[:_IN_SENTENCE]) + (", ..." if some.count > _IN_SENTENCE else "")


def _tasks(count: int) -> str:
    return f"{count:,} task" + ("" if count == 1 else "s")


def _in(project: str) -> str:
    return "" if project == "default" else f" --project {shlex.quote(project)}"


def elapsed(seconds: float) -> str:
    """As 2 h 5 min, 12 min, 40 s."""
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min" if whole >= 60 else f"{whole} s"
