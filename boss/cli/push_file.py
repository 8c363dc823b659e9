"""A task file on the command line: checked by the settings that hold, then planned and pushed (`boss.cli.push`)."""

from __future__ import annotations

import gc
import getpass
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from msgspec import structs

from boss.api.schema import SubmitAnswer
from boss.cli.command import ExitCode, stop, warn, write, write_json
from boss.cli.format_push import checked_json, checked_lines
from boss.cli.graph_picture import PictureError, draw
from boss.cli.push import PushPlan, push, unless_ending
from boss.cli.target import LoadedSettings, Target
from boss.cli.terminal import harmless
from boss.client.client import ClientError
from boss.client.find import configured_boss
from boss.common.plural import plural
from boss.intake import reader, stream
from boss.intake.errors import InputRejectedError
from boss.intake.reader import PushOptions, TaskFile
from boss.state_directory import find

F = TypeVar("F", bound=TaskFile)


def check_file(path: Path, options: PushOptions, target: Target, picture: Path | None, as_json: bool) -> None:
    """Only that: no boss is needed, and no state directory that could be used. `picture`: where its graph is drawn."""
    try:
        directory = find.find()
    except find.StateDirectoryError:
        directory = None
    options = _limited(options, target.settings(directory))
    file = _read(reader.check, path, options, as_json)
    if picture is not None:
        try:
            draw(file.graph, picture)
        except PictureError as error:
            stop(ExitCode.BAD_INPUT, str(error))
    if as_json:
        write_json(checked_json(file))
    else:
        warn(file.warnings)
        write(checked_lines(file))


def push_file(path: Path, options: PushOptions, target: Target, root: Path, detach: bool, as_json: bool) -> ExitCode:
    """Push it and, unless detached, follow it to its end. Raises ClientError. `root`: the checkout."""
    directory = target.state_directory()
    values = target.settings(directory)
    options = structs.replace(options, submitter=_user())
    file = _read(reader.read_file, path, _limited(options, values), as_json)
    command = f"push_tasks.py {shlex.join(sys.argv[1:])}"
    if options.dry_run:
        answer = None
        if directory is not None or values.boss_url:  # else there is nothing yet that it could meet
            answer = unless_ending(lambda: _asked(file, target), retry_lost=not values.boss_url)
        return _say_only(file, answer, as_json)
    try:
        configured = configured_boss(values.boss_url, values.token, directory) if values.boss_url else None
        if configured is None:
            directory = target.made_state_directory()
        plan = PushPlan(
            task_file=file,
            command=command,
            state_directory=directory,
            configured=configured,
            root=root,
            results=None if configured else _results(values, directory, file.header.project),
            detach=detach,
            as_json=as_json,
        )
        return push(plan)
    except OSError as error:
        raise ClientError(f"{error.filename or 'the state directory'}: {error.strerror}") from None
    except KeyboardInterrupt:
        sys.stderr.write(f"\nStopped following. What was accepted stays; go on with the same command: {command}\n")
        return ExitCode.INTERRUPTED


def _say_only(file: TaskFile, answer: SubmitAnswer | None, as_json: bool) -> ExitCode:
    """What a push would do."""
    plan, warnings, numbers = [f"{plural(file.tasks, 'task')}: {file.tasks:,} new"], file.warnings, {}
    if answer is not None:
        plan, warnings, numbers = answer.plan, answer.warnings, answer.done.get("plan", {})
    if as_json:
        write_json({"dry_run": True, "plan": plan, "numbers": numbers, "warnings": warnings, "exit_code": 0})
    else:
        warn(warnings)
        write([*map(harmless, plan), "Nothing was changed (--dry_run)."])
    return ExitCode.OK


def _asked(file: TaskFile, target: Target) -> SubmitAnswer:
    with target.boss() as boss:
        return boss.submit(reader.encode_stream(file))


def _user() -> str:
    """Who pushes, as the boss records it: pushes of two users are never versions of one batch."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as containers have
        return f"user {os.getuid()}"


def _limited(options: PushOptions, values: LoadedSettings) -> PushOptions:
    """With the longest description of a task. A boss elsewhere checks it again by settings of its own."""
    elsewhere = values.boss_url and not values.is_set("max_task_bytes")
    return structs.replace(options, task_bytes=stream.MAX_TASK_BYTES if elsewhere else values.max_task_bytes)


def _read(read: Callable[[Path, PushOptions], F], path: Path, options: PushOptions, as_json: bool) -> F:
    gc.set_threshold(10_000, 20, 20)  # a large file makes millions of objects, none of them in cycles
    try:
        return read(path, options)
    except InputRejectedError as errors:
        lines = str(errors).splitlines()
        if as_json:
            write_json({"valid": False, "errors": lines, "exit_code": int(ExitCode.BAD_INPUT)})
            raise SystemExit(int(ExitCode.BAD_INPUT)) from None
        stop(
            ExitCode.BAD_INPUT,
            f"{path} has {plural(len(errors.rejections) + errors.more, 'problem')}; nothing was sent:",
            lines,
        )


def _results(values: LoadedSettings, directory: Path | None, project: str) -> Path | None:
    """Where the results of the project come to lie, if that is on this machine."""
    if directory is None or values.datastore_host:
        return None
    tree: Path = values.datastore_tree or find.tree_beside(directory)
    return tree if project == "default" else tree / "projects" / project
