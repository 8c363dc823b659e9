"""A push is accepted whole or refused whole.

Everything about the file itself was checked by `boss.intake`. Here it meets what the project has already:
tasks with the same id (of a version of the same batch: kept, replaced or run again, see `merge`; of another batch: a
clash, unless a merge strategy says what is meant),
dependencies on older tasks, results that an older task declares. All problems are reported at once.
"""

from __future__ import annotations

from array import array

from boss.core import commands, init_tasks, moves
from boss.core import merge as merging
from boss.core import plan as planning
from boss.core.attempts import tree_prefix
from boss.core.datastore import ask_store
from boss.core.effects import Answer
from boss.core.events import Submitted
from boss.core.graph import CROSSES, RESULTS, Batch, attach, reverse_edges
from boss.core.merge import Merge, Push
from boss.core.model import BROKEN, Submission, TaskState
from boss.core.plan import Plan
from boss.core.reasons import Pause, PauseKind, Rejection, RejectionKind
from boss.core.rows import Acceptance, BatchRow, FileRow, InitRow, Known
from boss.core.state import State, runs
from boss.core.versions import is_version_of
from wire.patterns import folders_above


def on_submitted(state: State, event: Submitted) -> None:
    submission, known = event.submission, event.known
    merge = merging.find(submission, known)
    rejections = _about_to_end(state, known) or merging.clashes(submission, known, merge)
    if not rejections:
        new, push = _as_numbers(state, submission, known, merge)
        rejections = merging.cycles(state, push, merge, new) if merge.replaced else []
    if not rejections:
        plan = planning.of(state, push, known, merge, new, merging.below(state, push, merge))
        pause = _pause(state, submission, known)
        plan.paused = sorted(pause)
        rejections = planning.unconfirmed(submission, plan)
    if rejections:
        if event.reply:
            state.effects.append(Answer(reply=event.reply, rejections=rejections))
        return
    if submission.dry_run:
        if event.reply:
            state.effects.append(Answer(reply=event.reply, value={"plan": plan, "warnings": submission.warnings}))
        return
    acceptance = _accept(state, push, known, merge, new, pause)
    state.changes.accepted.append(acceptance)
    if submission.prune:
        commands.drop(state, [merging.there(state, task.number) for task in known.left_out])
    _answer(state, event, acceptance, merge, plan)


def _about_to_end(state: State, known: Known) -> list[Rejection]:
    if state.stopping:
        text = "the boss is about to stop: push again in a moment"
    elif _superseded(state, known):
        text = "the boss is about to stop, as another one has taken over its database: push again in a moment"
    else:
        return []
    return [Rejection(RejectionKind.UNAVAILABLE, text)]


def _superseded(state: State, known: Known) -> bool:
    """True: the database has tasks that this boss did not number. What it decided now could not be written."""
    return any(old[0] >= state.next_task for found in (known.tasks, known.results) for old in found.values())


def _pause(state: State, submission: Submission, known: Known) -> dict[int, Pause]:
    """Why earlier versions of this batch are paused: the next one waits as they do, until a user resumes it. One that
    has no task in common with them is not paused.
    """
    found = {}
    for number in {task[3] for task in known.tasks.values()}:
        batch = state.batches.get(number)
        if batch is None or not batch.row.paused or batch.row.paused_kind == PauseKind.INIT_TASK:
            continue
        if is_version_of(submission, batch.row):
            found[number] = Pause(PauseKind(batch.row.paused_kind), batch.row.paused)
    return found


def _answer(state: State, event: Submitted, acceptance: Acceptance, merge: Merge, plan: Plan) -> None:
    # To users those that were dropped are new.
    again = len(event.known.dropped)
    row, attached = acceptance.batch, len(acceptance.kept) - again
    rerun = len(merge.replaced) + len(merge.again) - again
    count = row.count + again
    run_again = f", {rerun} of them run again" if rerun else ""
    text = f"{count} {'task' if count == 1 else 'tasks'}, {attached} there already{run_again}"
    state.journal("batch", str(row.number), 0, "new", "accepted", text)
    if event.reply:
        value: dict[str, object] = {
            "batch": row.number,
            "tasks": row.count + again,
            "attached": attached,
            "anew": rerun,
            "plan": plan,
            "warnings": row.warnings,
        }
        state.effects.append(Answer(reply=event.reply, value=value))


def _kept_otherwise(submission: Submission, merge: Merge) -> list[str]:
    """The warning about tasks that are not what the file describes."""
    indexes = merge.kept_otherwise
    if not indexes:
        return []
    named = ", ".join(repr(submission.ids[index]) for index in indexes[:5]) + (", ..." if len(indexes) > 5 else "")
    return [
        f"{len(indexes)} task(s) of this push have succeeded with another content and are kept as they are"
        f" (--merge_strategy keep_succeeded): {named}"
    ]


# --- acceptance ------------------------------------------------------------------------------------


def _as_numbers(state: State, submission: Submission, known: Known, merge: Merge) -> tuple[list[int] | range, Push]:
    """Indexes that are new, and the push as task numbers."""
    kept = {index for index, task_id in enumerate(submission.ids) if task_id in known.tasks} if known.tasks else set()
    new, numbers = _number(submission, known, kept, state.next_task)
    if not new and not merge.replaced:
        return new, Push(submission, numbers, array("q", bytes(8 * (len(numbers) + 1))), array("q"))
    return new, Push(submission, numbers, *_dependencies(submission, known, numbers))


def _accept(
    state: State, push: Push, known: Known, merge: Merge, new: list[int] | range, paused: dict[int, Pause]
) -> Acceptance:
    submission, numbers = push.submission, push.numbers
    total, first, count = len(numbers), state.next_task, len(new)
    kept = set(range(total)).difference(new) if count < total else set()
    row = BatchRow(
        number=state.next_batch,
        project=submission.project,
        name=submission.name,
        first=first,
        count=count,
        counts=[0] * len(TaskState),
        attached=array("q", [numbers[index] for index in sorted(kept)]).tobytes(),
        created_at=state.wall,
        warnings=list(submission.warnings) + _kept_otherwise(submission, merge),
        submitter=submission.submitter,
        source=submission.source,
    )
    for pause in paused.values():
        row.paused, row.paused_kind = pause.text, pause.kind
    state.next_batch += 1
    state.next_task += count
    inits = _inits(state, submission, row)
    batch = _graph(state, push, known, row, new)
    batch.inits = inits
    replaced = _merge(state, push, known, merge, batch)
    _adopt_inits(state, submission, known)
    for older in _batches_of(state, numbers, kept):
        if older.unfinished():
            attach(batch, older)
    files = _files(state, submission, row, batch)
    states = bytearray(batch.states) if not kept else _spread(batch.states, new, total)
    acceptance = Acceptance(
        row, submission, numbers, kept, push.starts, push.targets, states, inits, files, replaced, merge.renewed
    )
    row.counts = list(batch.counts)
    if batch.unfinished() or batch.files_waiting:
        if batch.number not in state.batches:
            state.add_batch(batch)
        for index in range(count):
            if batch.states[index] == TaskState.QUEUED:
                moves.enqueue(state, batch, index)
    else:
        row.finished_at = state.wall
        if batch.links and batch.number not in state.batches:
            state.add_batch(batch)  # all of it is blocked: it comes free through what stands in memory
        if batch.number in state.batches:
            state.idle_batches[batch.number] = None
    return acceptance


def _batches_of(state: State, numbers: array[int], indexes: set[int]) -> list[Batch]:
    """The batches in memory that own these tasks. A push of a million again is some long runs of numbers."""
    found: dict[int, Batch] = {}
    for run in runs(sorted(numbers[index] for index in indexes)):
        for batch in state.batches.values():
            if batch.count and batch.first < run.stop and run.start < batch.first + batch.count:
                found[batch.number] = batch
    return list(found.values())


def _merge(state: State, push: Push, known: Known, merge: Merge, batch: Batch) -> dict[int, tuple[int, int]]:
    """Tasks that are there already and run again; the new ones may depend on them, and they on the new ones."""
    if not merge:
        return {}
    state.add_batch(batch)
    replaced = merging.rewire(state, push, merge, _stored(known))
    merging.rerun(state, push, merge)
    return replaced


def _number(submission: Submission, known: Known, kept: set[int], first: int) -> tuple[list[int] | range, array[int]]:
    """Indexes that are new, and the number of every index."""
    total = len(submission.ids)
    if not kept:
        return range(total), array("q", range(first, first + total))
    new: list[int] = []
    numbers = array("q", bytes(8 * total))
    for index, task_id in enumerate(submission.ids):
        if index in kept:
            numbers[index] = known.tasks[task_id][0]
        else:
            numbers[index] = first + len(new)
            new.append(index)
    return new, numbers


def _inits(state: State, submission: Submission, row: BatchRow) -> list[InitRow]:
    """Init tasks with something to do; their numbers follow those of the batch's tasks."""
    rows: list[InitRow] = []
    for spec in init_tasks.working(submission):
        rows.append(InitRow(state.next_task, row.number, len(rows), spec))
        state.next_task += 1
    return rows


def _adopt_inits(state: State, submission: Submission, known: Known) -> None:
    """Tasks of earlier versions are tasks of this one from now on, and run under its init tasks."""
    specs = init_tasks.working(submission)
    for number, rows in known.inits.items():
        if init_tasks.differ(specs, rows):
            init_tasks.adopt(state, state.batches[number], specs)


def _graph(state: State, push: Push, known: Known, row: BatchRow, new: list[int] | range) -> Batch:
    """The batch with its counters and first states."""
    submission, numbers = push.submission, push.numbers
    profile_of = array("I", submission.profile_of)
    batch = Batch(row, bytearray(row.count), _picked(profile_of, new), list(submission.profiles))
    batch.sizes = array("I", [len(submission.executions[index]) for index in new])
    for _, index in submission.results if new else ():
        if numbers[index] >= row.first:
            batch.flags[numbers[index] - row.first] |= RESULTS
    _edges(state, batch, known, new, push.starts, push.targets)
    _first_states(batch)
    return batch


def _picked(column: array[int], new: list[int] | range) -> array[int]:
    return column if isinstance(new, range) else array(column.typecode, [column[index] for index in new])


def _dependencies(submission: Submission, known: Known, numbers: array[int]) -> tuple[array[int], array[int]]:
    """Compressed sparse rows over all indexes of the push, targets as task numbers."""
    inner_starts, inner = array("I", submission.dependency_starts), array("I", submission.dependency_targets)
    outer: dict[int, list[int]] = {}
    for index, needed in submission.external:
        outer.setdefault(index, []).append(known.tasks[needed][0])
    for index, name in submission.external_names:
        owner = next((known.results[one] for one in (name, *folders_above(name)) if one in known.results), None)
        if owner is not None and owner[0] != numbers[index]:
            outer.setdefault(index, []).append(owner[0])
    if not outer:
        return array("q", inner_starts), array("q", [numbers[target] for target in inner])
    starts, targets = array("q", [0]), array("q")
    for index in range(len(numbers)):
        inside = (numbers[target] for target in inner[inner_starts[index] : inner_starts[index + 1]])
        targets.extend(dict.fromkeys([*inside, *outer.get(index, ())]))
        starts.append(len(targets))
    return starts, targets


def _edges(
    state: State, batch: Batch, known: Known, new: list[int] | range, starts: array[int], targets: array[int]
) -> None:
    """Counters of unmet and broken dependencies, and dependants; edges to older tasks go to `crossing`."""
    first, count = batch.first, batch.count
    states = _stored(known) if new else {}
    inner_starts, inner = array("I", [0]), array("I")
    for position, index in enumerate(new):
        unmet = 0
        for number in targets[starts[index] : starts[index + 1]]:
            if number >= first:
                inner.append(number - first)
                unmet += 1
            else:
                unmet += _outside(state, batch, position, number, states[number])
        batch.unmet[position] = unmet
        inner_starts.append(len(inner))
    batch.dependant_starts, batch.dependants = reverse_edges(count, inner_starts, inner)


def _stored(known: Known) -> dict[int, int]:
    """States of older tasks as the database has them, for those that are not in memory."""
    return {one[0]: one[1] for found in (known.tasks, known.results) for one in found.values()}


def _outside(state: State, batch: Batch, index: int, dependency: int, stored: int) -> int:
    """A dependency on a task of an older batch. Returns 1 if it has not succeeded."""
    batch.flags[index] |= CROSSES
    found = state.find(dependency)
    now = found[0].states[found[1]] if found is not None else stored
    if found is not None:
        state.crossing.setdefault(dependency, []).append(batch.first + index)
        found[0].links.add(batch.number)
        batch.links.add(found[0].number)
    if now in BROKEN:
        batch.broken[index] += 1
    return int(now != TaskState.SUCCEEDED)


def _first_states(batch: Batch) -> None:
    """Pending, queued or blocked, and blocked spreads."""
    states, unmet, broken = batch.states, batch.unmet, batch.broken
    blocked = [index for index in range(batch.count) if broken[index]]
    for index in range(batch.count):
        states[index] = TaskState.PENDING if unmet[index] else TaskState.QUEUED
    while blocked:
        index = blocked.pop()
        if states[index] != TaskState.BLOCKED:
            states[index] = TaskState.BLOCKED
            for dependant in batch.dependants_of(index):
                broken[dependant] += 1
                blocked.append(dependant)
    batch.counts = [states.count(task_state) for task_state in TaskState]


def _spread(states: bytearray, new: list[int] | range, total: int) -> bytearray:
    spread = bytearray(total)
    for position, index in enumerate(new):
        spread[index] = states[position]
    return spread


def _files(state: State, submission: Submission, row: BatchRow, batch: Batch) -> list[FileRow]:
    prefix = tree_prefix(submission.project)
    rows = []
    for file in submission.files:
        file_row = FileRow(prefix + file.name, file.digest, file.size, file.executable, row.number)
        rows.append(file_row)
        wait_for_file(state, file_row, batch)
        ask_store(state, file_row)
    return rows


def wait_for_file(state: State, row: FileRow, owner: Batch) -> None:
    """Nothing of the batch starts before this file has its name on the datastore, nor of the older batches to
    which its push is attached: tasks there may have been replaced by ones that require it."""
    for number in (owner.number, *sorted(owner.awaits)):
        batch = owner if number == owner.number else state.batches.get(number)
        if batch is not None:
            _wait_for_file(state, row, batch)


def _wait_for_file(state: State, row: FileRow, batch: Batch) -> None:
    identity = (row.name, row.digest)
    state.files.setdefault(identity, row)
    waiting = state.files_for.setdefault(identity, {})
    if batch.number not in waiting:
        waiting[batch.number] = None
        batch.files_waiting += 1
