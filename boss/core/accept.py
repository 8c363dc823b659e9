"""A push is accepted whole or refused whole.

Everything about the file itself was checked by `boss.intake`. Here it meets what the project has already:
tasks with the same id (the same content: kept, and the push attaches to them; another content: a clash),
dependencies on older tasks, results that an older task declares. All faults are told at once.
"""

from __future__ import annotations

from array import array

import msgspec

from boss.core import moves
from boss.core.attempts import tree_prefix
from boss.core.effects import Answer
from boss.core.events import Submitted
from boss.core.files import ask_store
from boss.core.graph import RESULTS, Batch, attach, reverse_edges
from boss.core.model import BROKEN, Submission, TaskState
from boss.core.rows import Acceptance, BatchRow, FileRow, InitRow, Known
from boss.core.state import State
from wire.messages import Execution

#: Clashes told one by one.
SHOWN = 50

_execution = msgspec.json.Decoder(Execution)


def on_submitted(state: State, event: Submitted) -> None:
    submission = event.submission
    faults = _faults(submission, event.known)
    if state.stopping:
        faults = ["the boss is about to end: push again in a moment"]
    if faults:
        if event.reply:
            state.effects.append(Answer(reply=event.reply, refused=faults))
        return
    acceptance = _accept(state, submission, event.known)
    state.changes.accepted.append(acceptance)
    row = acceptance.batch
    told = f"{row.count} tasks, {len(acceptance.kept)} there already"
    state.journal("batch", str(row.number), 0, "new", "accepted", told)
    if event.reply:
        value: dict[str, object] = {
            "batch": row.number,
            "tasks": row.count,
            "attached": len(acceptance.kept),
            "warnings": row.warnings,
        }
        state.effects.append(Answer(reply=event.reply, value=value))


# --- faults ----------------------------------------------------------------------------------------


def _faults(submission: Submission, known: Known) -> list[str]:
    faults = _clashing_ids(submission, known) if known.tasks else []
    faults += _unknown_dependencies(submission, known)
    if not submission.allow_shared_results and known.results:
        faults += _shared_results(submission, known)
    return _capped(faults)


def _clashing_ids(submission: Submission, known: Known) -> list[str]:
    faults = []
    for index, task_id in enumerate(submission.ids):
        old = known.tasks.get(task_id)
        if old is not None and old[2] != submission.contents[index]:
            faults.append(
                f"task {task_id!r}: project {submission.project!r} has a task of this id with another content"
                f" (batch {old[3]}, {TaskState(old[1]).word}); give it another id, or push into another --project"
            )
    return faults


def _unknown_dependencies(submission: Submission, known: Known) -> list[str]:
    return [
        f"task {submission.ids[index]!r}: dependency {needed!r} is neither in this file"
        f" nor in project {submission.project!r}"
        for index, needed in submission.external
        if needed not in known.tasks
    ]


def _shared_results(submission: Submission, known: Known) -> list[str]:
    faults = []
    for name, index in submission.results:
        owner = known.results.get(name)
        if owner is not None and owner[2] != submission.ids[index]:
            faults.append(
                f"task {submission.ids[index]!r}: result {name!r} is also a result of task {owner[2]!r}"
                f" of project {submission.project!r}; --allow_shared_results makes this a warning"
            )
    return faults


def _capped(faults: list[str]) -> list[str]:
    if len(faults) > SHOWN:
        return [*faults[:SHOWN], f"... and {len(faults) - SHOWN} more"]
    return faults


# --- acceptance ------------------------------------------------------------------------------------


def _accept(state: State, submission: Submission, known: Known) -> Acceptance:
    total = len(submission.ids)
    kept = {index for index, task_id in enumerate(submission.ids) if task_id in known.tasks} if known.tasks else set()
    first = state.next_task
    count = total - len(kept)
    new, numbers = _number(submission, known, kept, first)
    row = BatchRow(
        number=state.next_batch,
        project=submission.project,
        name=submission.name,
        first=first,
        count=count,
        counts=[0] * len(TaskState),
        attached=array("q", [numbers[index] for index in sorted(kept)]).tobytes(),
        created_at=state.wall,
        warnings=list(submission.warnings),
    )
    state.next_batch += 1
    state.next_task += count
    inits = _inits(state, submission, row)
    batch, starts, targets = _graph(state, submission, known, row, new, numbers)
    batch.inits = inits
    files = _files(state, submission, row, batch)
    for index in kept:
        older = state.find(numbers[index])
        if older is not None and older[0].number not in batch.awaits and older[0].unfinished():
            attach(batch, older[0])
    states = bytearray(batch.states) if not kept else _spread(batch.states, new, total)
    acceptance = Acceptance(row, submission, numbers, kept, starts, targets, states, inits, files)
    row.counts = list(batch.counts)
    if batch.unfinished() or batch.files_waiting:
        state.add_batch(batch)
        for index in range(count):
            if batch.states[index] == TaskState.QUEUED:
                moves.enqueue(state, batch, index)
    else:
        row.finished_at = state.wall
    return acceptance


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
    for spec in submission.inits:
        execution = _execution.decode(spec.execution)
        if execution.commands or execution.epanet is not None:
            rows.append(InitRow(state.next_task, row.number, len(rows), spec))
            state.next_task += 1
    return rows


def _graph(
    state: State,
    submission: Submission,
    known: Known,
    row: BatchRow,
    new: list[int] | range,
    numbers: array[int],
) -> tuple[Batch, array[int], array[int]]:
    """The batch with its counters and first states; and all dependencies as numbers, for the rows."""
    profile_of = array("I")
    profile_of.frombytes(submission.profile_of)
    batch = Batch(row, bytearray(row.count), _picked(profile_of, new), list(submission.profiles))
    batch.sizes = array("I", [len(submission.executions[index]) for index in new])
    for _, index in submission.results:
        if numbers[index] >= row.first:
            batch.flags[numbers[index] - row.first] |= RESULTS
    starts, targets = _dependencies(submission, known, numbers)
    _edges(state, batch, known, new, starts, targets)
    _first_states(batch)
    return batch, starts, targets


def _picked(column: array[int], new: list[int] | range) -> array[int]:
    return column if isinstance(new, range) else array(column.typecode, [column[index] for index in new])


def _dependencies(submission: Submission, known: Known, numbers: array[int]) -> tuple[array[int], array[int]]:
    """Compressed sparse rows over all indexes of the push, targets as task numbers."""
    inner_starts, inner = array("I"), array("I")
    inner_starts.frombytes(submission.dependency_starts)
    inner.frombytes(submission.dependency_targets)
    outer: dict[int, list[int]] = {}
    for index, needed in submission.external:
        outer.setdefault(index, []).append(known.tasks[needed][0])
    for index, name in submission.external_names:
        owner = known.results.get(name)
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
    states = {number: task_state for number, task_state, _, _ in known.tasks.values()}
    states.update({number: task_state for number, task_state, _ in known.results.values()})
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


def _outside(state: State, batch: Batch, index: int, dependency: int, stored: int) -> int:
    """A dependency on a task of an older batch. Returns 1 if it has not succeeded."""
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


def wait_for_file(state: State, row: FileRow, batch: Batch) -> None:
    """Nothing of the batch starts before this file has its name on the datastore."""
    identity = (row.name, row.digest)
    state.files.setdefault(identity, row)
    waiting = state.files_for.setdefault(identity, {})
    if batch.number not in waiting:
        waiting[batch.number] = None
        batch.files_waiting += 1
