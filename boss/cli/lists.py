"""admin.py's commands that list: status, workers, tasks, batches, pools, and one task in full."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from boss.cli.command import ExitCode, Register, stop, write, write_json
from boss.cli.options import AnyProject, AsJson, Limit, OfBatch, Project, TaskId
from boss.cli.target import Target

if TYPE_CHECKING:
    from boss.api.schema import TaskAnswer


def add_list_commands(command: Register, target: Target) -> None:
    @command("status", "status --json")
    def status(as_json: AsJson = False) -> None:
        """How many workers and tasks there are, and why work waits."""
        from boss.cli.format_tasks import status_lines

        with target.boss() as boss:
            answer = boss.status()
        write_json(answer) if as_json else write(status_lines(answer))

    @command("show_workers", "show_workers")
    def show_workers(as_json: AsJson = False) -> None:
        """Each worker, and each that is starting: id, address, what it runs, whether it is kept when idle."""
        from boss.cli.format_workers import worker_line

        with target.boss() as boss:
            answer = boss.worker_list()
        workers = [*answer.workers, *answer.without_worker]
        write_json(workers) if as_json else write(map(worker_line, workers))

    @command("show_queued", "show_queued --limit 20")
    def show_queued(batch: OfBatch = 0, project: AnyProject = "", limit: Limit = 0, as_json: AsJson = False) -> None:
        """Tasks that wait, with their commands."""
        from boss.cli.format_tasks import queued_lines

        _list(target, ("queued", "pending"), batch, project, limit, as_json, queued_lines)

    @command("show_in_progress", "show_in_progress")
    def show_in_progress(
        batch: OfBatch = 0, project: AnyProject = "", limit: Limit = 0, as_json: AsJson = False
    ) -> None:
        """Tasks that run: by which worker, with which commands."""
        from boss.cli.format_tasks import in_progress_lines

        _list(target, ("running",), batch, project, limit, as_json, in_progress_lines)

    @command("show_succeeded", "show_succeeded --project leaks")
    def show_succeeded(batch: OfBatch = 0, project: AnyProject = "", limit: Limit = 0, as_json: AsJson = False) -> None:
        """Tasks that succeeded: worker, exit code, commands."""
        from boss.cli.format_tasks import ended_lines

        _list(target, ("succeeded",), batch, project, limit, as_json, ended_lines)

    @command("show_failed", "show_failed --batch 3")
    def show_failed(batch: OfBatch = 0, project: AnyProject = "", limit: Limit = 0, as_json: AsJson = False) -> None:
        """Tasks that failed, or did not run because a dependency failed: worker, exit code, reason, commands."""
        from boss.cli.format_tasks import ended_lines

        _list(target, ("failed", "blocked"), batch, project, limit, as_json, ended_lines)

    @command("show_batches", "show_batches")
    def show_batches(as_json: AsJson = False) -> None:
        """Every push: its counts, and whether it is finished."""
        from boss.cli.format_tasks import batch_line

        with target.boss() as boss:
            batches = boss.batches()
        write_json(batches) if as_json else write(map(batch_line, batches))

    @command("show_task", "show_task 2")
    def show_task(id: TaskId, project: Project = "default", as_json: AsJson = False) -> None:
        """All of one task: state, commands, every attempt, and the end of what it wrote to stdout and stderr."""
        from boss.cli.format_tasks import task_lines

        with target.boss() as boss:
            detail = boss.task(project, id)
        write_json(detail) if as_json else write(task_lines(detail))

    @command("show_task_status", "show_task_status 2")
    def show_task_status(id: TaskId, project: Project = "default", as_json: AsJson = False) -> None:
        """The task's state, its worker, and how it ended."""
        from boss.cli.format_tasks import task_status_lines

        with target.boss() as boss:
            detail = boss.task(project, id)
        write_json(detail.task) if as_json else write(task_status_lines(detail))

    @command("show_task_dependencies", "show_task_dependencies 4")
    def show_task_dependencies(id: TaskId, project: Project = "default", as_json: AsJson = False) -> None:
        """The ids of the tasks that must succeed before it, on one line."""
        from boss.cli.format_tasks import dependency_line

        with target.boss() as boss:
            detail = boss.task(project, id)
        write_json(detail.dependencies) if as_json else write([dependency_line(detail)])

    @command("show_task_commands", "show_task_commands 4")
    def show_task_commands(id: TaskId, project: Project = "default", as_json: AsJson = False) -> None:
        """All that a worker does for it: downloads, commands, uploads, cleaning up."""
        from boss.cli.format_tasks import derived_lines

        with target.boss() as boss:
            commands = boss.task_commands(boss.task(project, id).task.number)
        write_json(commands) if as_json else write(derived_lines(commands))

    @command("scaling", "scaling --pool cloud")
    def scaling(
        pool: Annotated[str, typer.Option("--pool", help="Only this one.")] = "",
        as_json: AsJson = False,
    ) -> None:
        """Each pool: how many workers, what was decided last, why not more, why not fewer, what was spent."""
        from boss.cli.format_pools import pool_lines

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
            return
        for line in lines_of(tasks):
            sys.stdout.write(f"{line}\n")
