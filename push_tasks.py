#!/usr/bin/env python3
"""Push a task file and follow it to its end: `push_tasks.py TASKS.json`.

Thin: options, settings, and which boss to use; the steps are `boss.cli.push`'s. Exit codes stand in
`boss.cli.command`.
"""

from __future__ import annotations

import gc
import os
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from boss.client.packages import require_packages

ROOT = Path(__file__).resolve().parent
require_packages(ROOT)

import typer  # noqa: E402  # only now is it known to be there

from boss.cli.command import (  # noqa: E402
    ExitCode,
    guarded,
    stop,
    warn,
    write_json,
)
from boss.cli.former import Command  # noqa: E402

if TYPE_CHECKING:
    from boss.client.client import Client
    from boss.intake.reader import PushOptions, TaskFile
    from settings import Settings

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_EPILOG = """Examples: push_tasks.py tasks.json; push_tasks.py --check tasks.json; push_tasks.py --detach tasks.json.
Exit codes: 0 all tasks succeeded, 1 some did not, 2 bad input, 3 no boss or refused, 130 Ctrl-C."""


class MergeOption(StrEnum):
    """What happens to tasks whose ids are there already."""

    REPLACE = "replace"
    KEEP_SUCCEEDED = "keep_succeeded"


@app.command("push_tasks", cls=Command, epilog=_EPILOG)
@guarded
def push_tasks(
    tasks_json: Annotated[Path, typer.Argument(metavar="TASKS.json", help="The task file.", show_default=False)],
    check: Annotated[bool, typer.Option("--check", help="Only check the file; no boss is needed.")] = False,
    project: Annotated[str, typer.Option("--project", help="Name space of the task ids.")] = "default",
    name: Annotated[str, typer.Option("--name", help="What the batch is called; else as the file says.")] = "",
    detach: Annotated[bool, typer.Option("--detach", help="Return once it is accepted; the boss works on.")] = False,
    merge_strategy: Annotated[
        MergeOption | None, typer.Option("--merge_strategy", help="For tasks that are there already: run them anew.")
    ] = None,
    allow_shared_results: Annotated[
        bool, typer.Option("--allow_shared_results", help="Two tasks that write one path: a warning, no error.")
    ] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip_existing", help="A task whose results all exist succeeds without running.")
    ] = False,
    create_ids: Annotated[
        bool, typer.Option("--create_ids", help="Ids from contents; the file needs none, or they name within it only.")
    ] = False,
    state_dir: Annotated[
        Path | None, typer.Option("--state_dir", help="State directory; else .ecloud here or above, or $ECLOUD_HOME.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, for programs.")] = False,
) -> None:
    """Push a task file: check it, send it with its files to the boss, and follow it to its end.

    Where no boss runs and none is configured, one is started, which ends when nobody follows any more.
    Ctrl-C ends the following only; the same command goes on.
    """
    from boss.intake.reader import PushOptions

    if state_dir is not None:
        os.environ["ECLOUD_HOME"] = str(state_dir.absolute())
    directory = _state_directory(check)
    values = _settings(directory)
    options = PushOptions(
        project=project,
        name=name,
        merge_strategy=merge_strategy.value if merge_strategy else "",
        allow_shared_results=allow_shared_results,
        skip_existing=skip_existing,
        create_ids=create_ids,
        task_bytes=_task_bytes(values),
    )
    task_file = _read(tasks_json, options, check, as_json)
    if check:
        _tell_checked(task_file, as_json)
        return
    raise SystemExit(int(_push(task_file, directory, values, detach, as_json)))


def _state_directory(check: bool) -> Path | None:
    """The one whose settings hold here. A check does without one that may not be used."""
    from boss.state_directory import find

    try:
        return find.find()
    except find.StateDirectoryError as error:
        if check:
            return None
        stop(ExitCode.NO_BOSS, str(error))


def _settings(directory: Path | None) -> Settings:
    import settings

    try:
        values = settings.load(directory)
    except settings.SettingsError as error:
        stop(ExitCode.BAD_INPUT, "the settings cannot be used:", error.faults)
    warn(values.warnings)
    return values


def _task_bytes(values: Settings) -> int:
    """The longest description of a task. A boss elsewhere has settings of its own, and checks it again by those."""
    from boss.intake.stream import MOST_TASK_BYTES

    return MOST_TASK_BYTES if values.boss_url and not values.is_set("max_task_bytes") else values.max_task_bytes


def _read(path: Path, options: PushOptions, check: bool, as_json: bool) -> TaskFile:
    from boss.intake import reader
    from boss.intake.errors import InputRejectedError

    gc.set_threshold(10_000, 20, 20)  # a large file makes millions of objects, none of them in cycles
    try:
        return reader.check(path, options) if check else reader.read_file(path, options)
    except InputRejectedError as errors:
        lines = str(errors).splitlines()
        if as_json:
            write_json({"valid": False, "errors": lines, "exit_code": int(ExitCode.BAD_INPUT)})
            raise SystemExit(int(ExitCode.BAD_INPUT)) from None
        count = len(errors.rejections) + errors.more
        stop(ExitCode.BAD_INPUT, f"{path} has {count:,} fault{'' if count == 1 else 's'}; nothing was sent:", lines)


def _tell_checked(task_file: TaskFile, as_json: bool) -> None:
    from boss.cli.terminal import harmless, plural

    if as_json:
        write_json({"valid": True, "tasks": task_file.tasks, "inits": task_file.inits, "warnings": task_file.warnings})
        return
    warn(task_file.warnings)
    words = plural(task_file.tasks, "task")
    init = f" and {plural(task_file.inits, 'init task')}" if task_file.inits else ""
    files = f"; {plural(len(task_file.files), 'file')} would be sent along" if task_file.files else ""
    sys.stdout.write(f"{harmless(task_file.path)} is right: {words}{init}{files}.\n")


def _push(task_file: TaskFile, directory: Path | None, values: Settings, detach: bool, as_json: bool) -> ExitCode:
    from boss.cli.push import PushPlan, push
    from boss.client.client import ClientError
    from boss.state_directory import find

    again = f"push_tasks.py {shlex.join(sys.argv[1:])}"
    try:
        configured = _configured(values, directory)
        if configured is None:
            directory = find.find_or_make()
        results = _results(values, directory, task_file.header.project) if configured is None else None
        plan = PushPlan(
            task_file=task_file,
            command=again,
            state_directory=directory,
            configured=configured,
            root=ROOT,
            results=results,
            detach=detach,
            as_json=as_json,
        )
        return push(plan)
    except find.StateDirectoryError as error:
        stop(ExitCode.NO_BOSS, str(error))
    except OSError as error:
        raise ClientError(f"{error.filename or 'the state directory'}: {error.strerror}") from None
    except KeyboardInterrupt:
        sys.stderr.write(f"\nStopped following. What was accepted stays; go on with the same command: {again}\n")
        return ExitCode.INTERRUPTED


def _configured(values: Settings, directory: Path | None) -> Client | None:
    from boss.client.find import configured_boss

    return configured_boss(values.boss_url, values.token, directory) if values.boss_url else None


def _results(values: Settings, directory: Path | None, project: str) -> Path | None:
    from boss.state_directory import find

    if directory is None or values.datastore_host:
        return None
    tree: Path = values.datastore_tree or find.tree_beside(directory)
    return tree if project == "default" else tree / "projects" / project


if __name__ == "__main__":
    app()
