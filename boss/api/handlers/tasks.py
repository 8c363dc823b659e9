"""Handlers for tasks: lists page by page, one whole, its commands, the end of its output. Reads the database only."""

from __future__ import annotations

import itertools
import math
from array import array

import msgspec

from boss.api.errors import not_found
from boss.api.handlers.changes import known_batch, no_task, parse_states
from boss.api.routes import Call
from boss.api.schema import (
    AttemptAnswer,
    CommandAnswer,
    CommandsAnswer,
    DerivedCommand,
    FileAnswer,
    OutputAnswer,
    TaskAnswer,
    TaskDetail,
    TaskList,
)
from boss.common.suggestions import did_you_mean
from boss.core.model import TaskState
from boss.core.rows import AttemptRow
from boss.database.views import StoredTask, TaskLine
from boss.intake.derive import PlacePaths, derived_commands, run_commands
from wire.messages import ManifestEntry

_LIMIT, _MAX_LIMIT = 1000, 10_000
#: Files of folders and patterns that are shown with a task.
_SHOWN = 1000
#: An unknown id: a similar one is searched for among so many.
_SUGGEST_FROM = 2000
#: A blocked task never ran, so no attempt of it has a reason.
BLOCKED_REASON = "dependencies failed"

_commands = msgspec.json.Decoder(list[CommandAnswer])
#: null: one that was no number, as former versions stored it.
_figures = msgspec.json.Decoder(dict[str, float | None])
_manifest = msgspec.json.Decoder(list[ManifestEntry])


def listing(call: Call) -> TaskList:
    """One page of tasks, in order of number; `next` is the `after` of the next one. Blocks on the database.

    Raises HttpError 400: `limit` is out of bounds, or no state of a task; 404: there is no such batch.
    """
    limit = call.count("limit", _MAX_LIMIT) or _LIMIT
    words = (part.strip() for part in call.text("state").split(","))
    states, after = parse_states(filter(None, words)), call.whole("after", 0)
    batch, project = call.whole("batch", 0), call.text("project")
    reads = call.backend.reads
    lines: list[TaskLine] = []
    if batch:
        lines = _attached(call, batch, states, after, limit + 1)
    lines += reads.tasks_of(
        states, batch=batch, project=project or None, after=after, limit=limit + 1, with_execution=True
    )
    lines.sort(key=lambda line: line.number)
    chosen = [line for line in lines if not project or line.project == project][: limit + 1]
    following = chosen[limit - 1].number if len(chosen) > limit else None
    return TaskList(tasks=[task_answer(line) for line in chosen[:limit]], next=following)


def _attached(call: Call, batch: int, states: frozenset[TaskState], after: int, limit: int) -> list[TaskLine]:
    """Tasks of older batches to which this batch's push is attached."""
    attached = array("q", known_batch(call.backend, batch).attached)
    chosen = sorted(number for number in attached if number > after)
    if states and chosen:
        now = call.backend.lookups.states(chosen)
        chosen = [number for number in chosen if now.get(number) in states]
    return list(call.backend.reads.task_lines(chosen[:limit], with_execution=True)) if chosen else []


def by_id(call: Call) -> TaskDetail:
    """One task in full. Raises HttpError 404, with a similar id: there is none."""
    project, id = call.text("project"), call.text("id")
    number = call.backend.lookups.task_numbers(project, [id]).get(id)
    if number is None and (inits := call.backend.reads.init_tasks(project, id)):
        number = inits[0]  # of the newest push that has one of that name
    if number is None:
        near = [line.id for line in call.backend.reads.tasks_of(project=project, limit=_SUGGEST_FROM)]
        raise not_found(no_task(project, id) + did_you_mean(id, near))
    return _detail(_stored(call, number))


def by_number(call: Call) -> TaskDetail:
    """One task in full. Raises HttpError 404: there is none."""
    return _detail(_stored(call, call.number()))


def commands(call: Call) -> CommandsAnswer:
    """What a worker does for the task, transfers included, as text. Raises HttpError 404: there is none."""
    stored = _stored(call, call.number())
    lines = derived_commands(stored.execution, stored.requirements, _places(call, stored))
    return CommandsAnswer(commands=[DerivedCommand(kind=kind, text=text) for kind, text in lines])


def _places(call: Call, stored: StoredTask) -> PlacePaths:
    """With the host of its newest attempt, where that is another one than the datastore's."""
    task, last = stored.task, stored.attempts[-1] if stored.attempts else None
    tree = "ecloud-data" if task.project == "default" else f"ecloud-data/projects/{task.project}"
    place = call.backend.view().places.get(last.worker) if last else None
    if last is None or place is None or place.kind != "ssh":
        return PlacePaths(tree=tree)
    host = f"[{place.host}]" if ":" in place.host else place.host
    work = f"{place.path}/attempts/{task.number}.{last.attempt}/work"
    return PlacePaths(tree=tree, work=work, worker=f"{place.user}@{host}", port=place.port)


def output(call: Call) -> OutputAnswer:
    """The end of what its newest attempt wrote. Raises HttpError 404: there is no such task, or it has not run."""
    stored = _stored(call, call.number())
    if not stored.attempts:
        raise not_found(f"task {stored.task.id!r} has not run yet")
    last = stored.attempts[-1]
    return OutputAnswer(
        task=stored.task.number,
        attempt=last.attempt,
        stdout_tail=last.stdout_tail,
        stderr_tail=last.stderr_tail,
    )


def _stored(call: Call, number: int) -> StoredTask:
    reads = call.backend.reads
    stored = reads.task_detail(number) or reads.init_detail(number)
    if stored is None:
        raise not_found(f"there is no task of number {number}")
    return stored


def task_answer(line: TaskLine) -> TaskAnswer:
    """The task as lists have it."""
    return TaskAnswer(
        number=line.number,
        project=line.project,
        id=line.id,
        state=line.state,
        batch=line.batch,
        reason=line.reason or (BLOCKED_REASON if line.state == TaskState.BLOCKED.word else ""),
        attempt=line.attempt,
        phase="" if line.ended else line.phase,
        worker=line.worker,
        address=line.address,
        exit_code=line.exit_code,
        commands=run_commands(line.execution) if line.execution is not None else [],
    )


def _detail(stored: StoredTask) -> TaskDetail:
    task = task_answer(stored.task)
    task.commands = run_commands(stored.execution)
    return TaskDetail(
        task=task,
        dependencies=stored.dependencies,
        requirements=[
            FileAnswer(name=each.name, path=each.path, digest=each.digest, size=each.size)
            for each in stored.requirements
        ],
        results=_results(stored),
        attempts=[attempt_answer(each) for each in stored.attempts],
        execution=msgspec.to_builtins(stored.execution),
    )


def _results(stored: StoredTask) -> list[FileAnswer]:
    """What it declares; with digest and size once it has succeeded.

    Then also the first files that its folders and patterns gave; all of them are what the list of results has.
    """
    last = stored.attempts[-1] if stored.attempts else None
    manifest = _manifest.decode(last.manifest) if last and last.ended == "succeeded" and last.manifest else []
    made = {each.target: each for each in manifest}
    answers = []
    for item in stored.execution.results:
        each = made.pop(item.target, None)
        answers.append(_file(each) if each is not None else FileAnswer(name=item.target, path=item.source))
    return answers + [_file(each) for each in itertools.islice(made.values(), _SHOWN)]


def _file(each: ManifestEntry) -> FileAnswer:
    return FileAnswer(name=each.target, path=each.source, digest=each.digest, size=each.size)


def attempt_answer(each: AttemptRow) -> AttemptAnswer:
    """The attempt as it is answered; times in seconds since 1970, and `seconds` that it took."""
    figures = _figures.decode(each.figures) if each.figures else {}
    return AttemptAnswer(
        attempt=each.attempt,
        worker=each.worker,
        ended=each.ended,
        phase="" if each.ended else each.phase,
        reason=each.reason,
        fault=each.fault,
        exit_code=each.exit_code,
        command=each.command,
        commands=_commands.decode(each.commands) if each.commands else [],
        stdout_tail=each.stdout_tail,
        stderr_tail=each.stderr_tail,
        seconds=each.seconds,
        figures={name: value for name, value in figures.items() if value is not None and math.isfinite(value)},
        sent_at=each.sent_at,
        began_at=each.began_at,
        ended_at=each.ended_at,
    )
