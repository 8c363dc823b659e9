"""admin.py's commands that list: status, workers, tasks, batches, pools, and one task in full."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated

import typer

from boss.api.schema import TaskAnswer
from boss.cli.command import (
    AnyProject,
    AsJson,
    ExitCode,
    Limit,
    OfBatch,
    Project,
    Register,
    TaskId,
    show,
    stop,
    write,
    write_json,
)
from boss.cli.format_tasks import (
    batch_line,
    dependency_line,
    derived_lines,
    ended_lines,
    in_progress_lines,
    queued_lines,
    status_lines,
    task_lines,
    task_status_lines,
)
from boss.cli.format_workers import pool_lines, worker_line
from boss.cli.target import Target


def add_list_commands(command: Register, target: Target) -> None:
    @command("status", "status --json")
    def status(as_json: AsJson = False) -> None:
        """How many workers and tasks there are, and why work waits."""
        with target.boss() as boss:
            show(boss.status(), status_lines, as_json)

    @command("show_workers", "show_workers")
    def show_workers(as_json: AsJson = False) -> None:
        """Each worker, and each that is starting: id, address, what it runs, whether it is kept when idle."""
        with target.boss() as boss:
            answer = boss.worker_list()
        workers = [*answer.workers, *answer.without_worker]
        write_json(workers) if as_json else write(map(worker_line, workers))

    @command("show_queued", "show_queued --limit 20")
    def show_queued(batch: OfBatch = 0, project: AnyProject = "", limit: Limit = 0, as_json: AsJson = False) -> None:
        """Tasks that wait, with their commands."""
        _list(target, ("queued", "pending"), batch, project, limit, as_json, queued_lines)

    @command("show_in_progress", "show_in_progress")
    def show_in_progress(
        batch: OfBatch = 0, project: AnyProject = "", limit: Limit = 0, as_json: AsJson = False
    ) -> None:
        """Tasks that run: by which worker, with which commands."""
        _list(target, ("running",), batch, project, limit, as_json, in_progress_lines)

    @command("show_succeeded", "show_succeeded --project leaks")
    def show_succeeded(batch: OfBatch = 0, project: AnyProject = "", limit: Limit = 0, as_json: AsJson = False) -> None:
        """Tasks that succeeded: worker, exit code, commands."""
        _list(target, ("succeeded",), batch, project, limit, as_json, ended_lines)

    @command("show_failed", "show_failed --batch 3")
    def show_failed(batch: OfBatch = 0, project: AnyProject = "", limit: Limit = 0, as_json: AsJson = False) -> None:
        """Tasks that failed, or did not run because a dependency failed: worker, exit code, reason, commands."""
        _list(target, ("failed", "blocked"), batch, project, limit, as_json, ended_lines)

    @command("show_cancelled", "show_cancelled --batch 3")
    def show_cancelled(batch: OfBatch = 0, project: AnyProject = "", limit: Limit = 0, as_json: AsJson = False) -> None:
        """Tasks that a user cancelled; they stay so until they are run again by redo_task."""
        _list(target, ("cancelled",), batch, project, limit, as_json, ended_lines)

    @command("show_batches", "show_batches")
    def show_batches(as_json: AsJson = False) -> None:
        """Every push: its counts, and whether it is finished."""
        with target.boss() as boss:
            batches = boss.batches()
        write_json(batches) if as_json else write(map(batch_line, batches))

    @command("show_task", "show_task 2")
    def show_task(id: TaskId, project: Project = "default", as_json: AsJson = False) -> None:
        """All of one task: state, commands, every attempt, and the end of what it wrote to stdout and stderr."""
        with target.boss() as boss:
            show(boss.task(project, id), task_lines, as_json)

    @command("show_task_status", "show_task_status 2")
    def show_task_status(id: TaskId, project: Project = "default", as_json: AsJson = False) -> None:
        """The task's state, its worker, and how it ended."""
        with target.boss() as boss:
            detail = boss.task(project, id)
        write_json(detail.task) if as_json else write(task_status_lines(detail))

    @command("show_task_dependencies", "show_task_dependencies 4")
    def show_task_dependencies(id: TaskId, project: Project = "default", as_json: AsJson = False) -> None:
        """The ids of the tasks that must succeed before it, on one line."""
        with target.boss() as boss:
            detail = boss.task(project, id)
        write_json(detail.dependencies) if as_json else write([dependency_line(detail)])

    @command("show_task_commands", "show_task_commands 4")
    def show_task_commands(id: TaskId, project: Project = "default", as_json: AsJson = False) -> None:
        """All that a worker does for it: downloads, commands, uploads, cleaning up."""
        with target.boss() as boss:
            show(boss.task_commands(boss.task(project, id).task.number), derived_lines, as_json)

    @command("scaling", "scaling --pool cloud")
    def scaling(
        pool: Annotated[str, typer.Option("--pool", help="Only this one.")] = "",
        as_json: AsJson = False,
    ) -> None:
        """Each pool: how many workers, what was decided last, why not more, why not fewer, what was spent."""
        with target.boss() as boss:
            pools = boss.pools()
        known = [each.name for each in pools]
        if pool and pool not in known:
            stop(ExitCode.BAD_INPUT, f"there is no pool {pool!r} (there are: {', '.join(known) or 'none'})")
        chosen = [each for each in pools if pool in ("", each.name)]
        write_json(chosen) if as_json else write(line for each in chosen for line in pool_lines(each))


def _list(
    target: Target,
    states: tuple[str, ...],
    batch: int,
    project: str,
    limit: int,
    as_json: bool,
    lines_of: Callable[[Iterable[TaskAnswer]], Iterator[str]],
) -> None:
    """Printed page by page: there may be a million."""
    with target.boss() as boss:
        tasks = boss.tasks(*states, batch=batch, project=project, limit=limit)
        if as_json:
            write_json(list(tasks))
        else:
            write(lines_of(tasks))
