"""admin.py's commands about the journal: one task's story, and all events, live with --follow."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import msgspec
import typer

from boss.api.schema import EventsAnswer
from boss.cli.command import AsJson, AsJsonLines, ExitCode, Project, Register, TaskId, show, stop, write
from boss.cli.format_tasks import event_line, story_lines
from boss.cli.target import Target
from boss.common.times import parse_moment

#: Between two polls for new events.
_FOLLOW_SECONDS = 0.5


def add_journal_commands(command: Register, target: Target) -> None:
    @command("story", "story 4")
    def story(id: TaskId, project: Project = "default", as_json: AsJson = False) -> None:
        """All that happened to one task and its attempts, with times and causes."""
        with target.boss() as boss:
            show(boss.story(boss.task(project, id).task.number), story_lines, as_json)

    @command("events", "events --follow --task 4")
    def events(
        task: Annotated[str, typer.Option("--task", metavar="ID", help="Only what happened to this task.")] = "",
        project: Project = "default",
        since: Annotated[str, typer.Option("--since", help="10m, 2h, 3d, or a date and time.")] = "",
        last: Annotated[
            int, typer.Option("--last", min=1, max=100_000, help="Without --since: the last so many.")
        ] = 50,
        follow: Annotated[bool, typer.Option("--follow", help="Go on with what happens, until Ctrl-C.")] = False,
        as_json: AsJsonLines = False,
    ) -> None:
        """Every move of tasks, attempts, workers, instances, pools and batches, oldest first, with its cause."""
        try:
            start = parse_moment(since, time.time()) if since else None
        except ValueError as error:
            stop(ExitCode.BAD_INPUT, f"--since {error}")
        _events(target, project, task, start, last, follow, as_json)


def _events(
    target: Target, project: str, task: str, start: float | None, last: int, follow: bool, as_json: bool
) -> None:
    """`start`: seconds since 1970; None: the `last` so many. Ctrl-C is how following ends."""

    def show_page(page: EventsAnswer) -> int:
        write(msgspec.json.encode(event).decode() if as_json else event_line(event) for event in page.events)
        sys.stdout.flush()
        return page.next

    with target.boss() as boss:
        number = boss.task(project, task).task.number if task else 0
        page = boss.last_events(last, number) if start is None else boss.events(since=start, task=number)
        after = show_page(page)
        try:
            while page.more or follow:
                if not page.more:
                    time.sleep(_FOLLOW_SECONDS)
                page = boss.events(after=after, since=start or 0.0, task=number)
                after = show_page(page)
        except KeyboardInterrupt:
            return
