"""Handlers for the journal: what happened, page by page, and the story of one task. Reads the database only."""

from __future__ import annotations

from collections.abc import Sequence

from boss.api.backend import Backend
from boss.api.errors import not_found
from boss.api.handlers.tasks import task_answer
from boss.api.routes import Call
from boss.api.schema import EventAnswer, EventsAnswer, StoryAnswer
from boss.database.views import JournalLine

_LIMIT, _MAX_LIMIT = 1000, 100_000
_OF_TASKS = ("task", "attempt")


def listing(call: Call) -> EventsAnswer:
    """`last` events, or those after a turn; `since` is in seconds since 1970.

    Raises HttpError 400: `limit` or `last` is out of bounds; 404: there is no such task.
    """
    limit, last = call.count("limit", _MAX_LIMIT) or _LIMIT, call.count("last", _MAX_LIMIT)
    task, reads = call.whole("task", 0), call.backend.reads
    if task and reads.task_detail(task) is None:
        raise not_found(f"there is no task of number {task}")
    if last:
        page = reads.last_events(last, task=task)
    else:
        since = float(str(call.query.get("since", 0.0)))
        page = reads.events(after=call.whole("after", 0), since=since, task=task, limit=limit)
    return EventsAnswer(events=_events(call.backend, page.lines), next=page.turn, more=page.more)


def story(call: Call) -> StoryAnswer:
    """Every move of the task and of its attempts, oldest first. Raises HttpError 404: there is no such task."""
    number = call.number()
    lines = call.backend.reads.task_lines([number])
    if not lines and (init := call.backend.reads.init_detail(number)) is not None:
        lines = [init.task]
    if not lines:
        raise not_found(f"there is no task of number {number}")
    events = _events(call.backend, call.backend.reads.story(number))
    return StoryAnswer(task=task_answer(lines[0]), events=events)


def _events(backend: Backend, lines: Sequence[JournalLine]) -> list[EventAnswer]:
    numbers = sorted({int(line.key) for line in lines if line.what in _OF_TASKS and line.key.isdecimal()})
    names = {str(task.number): (task.project, task.id) for task in backend.reads.task_lines(numbers)}
    return [_event(line, names) for line in lines]


def _event(line: JournalLine, names: dict[str, tuple[str, str]]) -> EventAnswer:
    project, id = names.get(line.key, ("", "")) if line.what in _OF_TASKS else ("", "")
    return EventAnswer(
        turn=line.turn,
        time=line.time,
        what=line.what,
        key=line.key,
        project=project,
        id=id,
        attempt=line.attempt,
        before=line.before,
        after=line.after,
        cause=line.cause,
    )
