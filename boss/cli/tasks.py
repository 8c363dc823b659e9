"""admin.py's commands that change tasks and batches: retry, redo, cancel, drop, pause."""

from __future__ import annotations

from typing import Annotated

import typer

from boss.api.schema import BY_OPERATOR, DropTasksRequest, SelectionRequest
from boss.cli.command import (
    AnyProject,
    AsJson,
    Batches,
    BatchNumber,
    ExitCode,
    Project,
    Register,
    TaskIds,
    Yes,
    ask_first,
    show,
    stop,
    write,
    write_json,
)
from boss.cli.format_tasks import change_lines, pause_lines
from boss.cli.target import Target
from boss.cli.terminal import harmless
from boss.common.plural import plural
from boss.core.model import TERMINAL, TaskState

#: What the legacy command took: 0 QUEUED, 1 IN_PROGRESS, 2 FINISHED.
_LEGACY = {"0": (TaskState.PENDING, TaskState.QUEUED), "1": (TaskState.RUNNING,), "2": tuple(sorted(TERMINAL))}
_WORDS = [state.word for state in TaskState]


def add_task_commands(command: Register, target: Target) -> None:
    @command("retry_failed", "retry_failed")
    def retry_failed(
        ids: TaskIds = None, batch: Batches = None, project: AnyProject = "", as_json: AsJson = False
    ) -> None:
        """Run failed tasks again (all of them, or those named); tasks that they blocked follow automatically."""
        if ids or batch:
            selection = SelectionRequest(tasks=ids or [], batches=batch or [], project=project or "default")
        else:
            selection = SelectionRequest(all=True, project=project)
        with target.boss() as boss:
            show(boss.retry(selection), change_lines, as_json)

    @command("redo_task", "redo_task 4")
    def redo_task(
        ids: Annotated[list[str], typer.Argument(metavar="ID", help="Ids of tasks.", show_default=False)],
        project: Project = "default",
        as_json: AsJson = False,
    ) -> None:
        """Run ended tasks again, succeeded ones too; tasks that depend on them are left as they are."""
        with target.boss() as boss:
            show(boss.redo(SelectionRequest(tasks=ids, project=project)), change_lines, as_json)

    @command("cancel", "cancel 4 5")
    def cancel(
        ids: TaskIds = None,
        batch: Batches = None,
        everything: Annotated[bool, typer.Option("--all", help="Every task that has not ended.")] = False,
        project: AnyProject = "",
        as_json: AsJson = False,
    ) -> None:
        """Cancel tasks that have not ended; running ones are stopped within seconds."""
        if not ids and not batch and not everything:
            stop(ExitCode.BAD_INPUT, "name tasks, --batch N or --all")
        if everything and (ids or batch):
            stop(ExitCode.BAD_INPUT, "name tasks and batches, or give --all; not both")
        name = project if everything else project or "default"
        selection = SelectionRequest(tasks=ids or [], batches=batch or [], all=everything, project=name)
        with target.boss() as boss:
            show(boss.cancel(selection), change_lines, as_json)

    @command("drop_tasks", "drop_tasks failed blocked")
    def drop_tasks(
        states: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="STATE", help="Only tasks in these states; 0, 1, 2 are legacy names.", show_default=False
            ),
        ] = None,
        task: Annotated[list[str] | None, typer.Option("--task", help="The task of this id; may be repeated.")] = None,
        batch: Annotated[list[int] | None, typer.Option("--batch", help="Of this batch; may be repeated.")] = None,
        project: AnyProject = "",
        yes: Yes = False,
        as_json: AsJson = False,
    ) -> None:
        """Forget tasks, all or those named: their ids are free again; running ones are stopped. Result files stay."""
        named = bool(task or batch)
        request = DropTasksRequest(
            tasks=task or [],
            batches=batch or [],
            all=not named,
            project=project or ("default" if named else ""),
            states=_chosen(states or []),
        )
        with target.boss() as boss:
            if not (named or states or project or yes):
                ask_first(
                    f"Drop all tasks of all projects ({plural(boss.status().counts.total, 'task')})?",
                    "give --yes, or name states, --task, --batch or --project",
                )
            show(boss.drop_tasks(request), change_lines, as_json)

    @command("pause_batch", 'pause_batch 3 "the network is needed"')
    def pause_batch(
        batch: BatchNumber,
        reason: Annotated[str, typer.Argument(metavar="REASON", help="Shown with the batch.")] = BY_OPERATOR,
        as_json: AsJson = False,
    ) -> None:
        """Hold the queued tasks of a batch back; running ones go on."""
        with target.boss() as boss:
            answer = boss.pause_batch(batch, reason)
        write_json(answer) if as_json else write(pause_lines(batch, answer, paused=True))

    @command("resume_batch", "resume_batch 3")
    def resume_batch(batch: BatchNumber, as_json: AsJson = False) -> None:
        """Resume a paused batch."""
        with target.boss() as boss:
            answer = boss.resume_batch(batch)
        write_json(answer) if as_json else write(pause_lines(batch, answer, paused=False))


def _chosen(words: list[str]) -> list[str]:
    chosen: list[str] = []
    for word in words:
        if word not in _LEGACY and word not in _WORDS:
            stop(ExitCode.BAD_INPUT, f"{harmless(word)!r} is no state of a task; there are {', '.join(_WORDS)}")
        chosen += [state.word for state in _LEGACY[word]] if word in _LEGACY else [word]
    return chosen
