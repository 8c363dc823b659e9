"""The journal as lines of text: one line an event, and one task's story. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from boss.api.schema import EventAnswer, StoryAnswer
from boss.cli.format_tasks import reason_of
from boss.cli.terminal import harmless
from boss.common.times import format_moment


def event_line(event: EventAnswer) -> str:
    cause = f": {harmless(event.cause)}" if event.cause else ""
    return f"{_moment(event.time)}  {_subject(event)}  {event.before} -> {event.after}{cause}"


def _subject(event: EventAnswer) -> str:
    if event.what not in ("task", "attempt"):
        return f"{event.what} {harmless(event.key)}"
    project = f" of project {harmless(event.project)}" if event.project not in ("", "default") else ""
    task = f"task {harmless(event.id) or event.key}{project}"
    return f"{task}, attempt {event.attempt}" if event.what == "attempt" else task


def story_lines(story: StoryAnswer) -> Iterator[str]:
    """What it is now, then everything that led there."""
    task = story.task
    reason = f": {harmless(reason_of(task))}" if reason_of(task) else ""
    yield f"Task {harmless(task.id)} of project {harmless(task.project)}, batch {task.batch}: {task.state}{reason}"
    for event in story.events:
        subject = f"attempt {event.attempt}" if event.what == "attempt" else "task"
        cause = f": {harmless(event.cause)}" if event.cause else ""
        yield f"{_moment(event.time)}  {subject}  {event.before} -> {event.after}{cause}"
    if not story.events:
        yield "The journal has no events of it: nothing has happened to it, or longer ago than the journal is kept."


def _moment(seconds: float) -> str:
    return f"{format_moment(seconds)}.{int(seconds % 1.0 * 1000):03}"
