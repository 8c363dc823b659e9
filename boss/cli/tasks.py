"""admin.py's command that forgets tasks. Registered by `admin.py`, which knows which boss to ask."""

from __future__ import annotations

from typing import Annotated

import typer

from boss.api.schema import DropTasksRequest
from boss.cli.command import AsJson, Boss, Command, ExitCode, ask_first, stop, write, write_json
from boss.cli.format_tasks import change_lines
from boss.cli.terminal import harmless, plural
from boss.core.model import TERMINAL, TaskState

#: What the historic command took: 0 QUEUED, 1 IN_PROGRESS, 2 FINISHED.
_HISTORIC = {"0": (TaskState.PENDING, TaskState.QUEUED), "1": (TaskState.RUNNING,), "2": tuple(sorted(TERMINAL))}
_WORDS = [state.word for state in TaskState]


def add_task_commands(command: Command, boss: Boss) -> None:
    @command("drop_tasks", "drop_tasks failed blocked")
    def drop_tasks(
        states: Annotated[
            list[str] | None,
            typer.Argument(metavar="STATE", help="Only tasks in these states; 0, 1, 2 as of old.", show_default=False),
        ] = None,
        task: Annotated[list[str] | None, typer.Option("--task", help="The task of this id; may be repeated.")] = None,
        batch: Annotated[list[int] | None, typer.Option("--batch", help="Of this batch; may be repeated.")] = None,
        project: Annotated[str, typer.Option("--project", help="Only tasks of this project.")] = "",
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Forget tasks, all or those named: their ids are free again; what runs is ended. Files of results stay."""
        named = bool(task or batch)
        request = DropTasksRequest(
            tasks=task or [],
            batches=batch or [],
            all=not named,
            project=project or ("default" if named else ""),
            states=_chosen(states or []),
        )
        with boss() as asked:
            if not (named or states or project or yes):
                ask_first(
                    f"Drop all {plural(asked.status().counts.total, 'task')}, of all projects?",
                    "say --yes, or name states, --task, --batch or --project",
                )
            answer = asked.drop_tasks(request)
        write_json(answer) if as_json else write(list(change_lines(answer)))


def _chosen(words: list[str]) -> list[str]:
    chosen: list[str] = []
    for word in words:
        if word not in _HISTORIC and word not in _WORDS:
            stop(ExitCode.BAD_INPUT, f"{harmless(word)!r} is no state of a task; there are {', '.join(_WORDS)}")
        chosen += [state.word for state in _HISTORIC[word]] if word in _HISTORIC else [word]
    return chosen
