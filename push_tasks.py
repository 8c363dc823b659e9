#!/usr/bin/env python3
"""Push a task file and follow it to its end: `push_tasks.py TASKS.json`.

Thin: the options, and the loader of settings. The steps are `boss.cli.push_file`'s and `boss.cli.push`'s; exit codes
stand in `boss.cli.command`.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from boss.client.require_packages import require_packages

ROOT = Path(__file__).resolve().parent
require_packages(ROOT)

import typer  # noqa: E402  # after the check that it is installed

import settings  # noqa: E402
from boss.cli.app import FormerOptionsCommand, new_app  # noqa: E402
from boss.cli.command import ExitCode, guarded, stop  # noqa: E402
from boss.cli.output import run  # noqa: E402
from boss.cli.target import Target  # noqa: E402

app = new_app()

_EPILOG = """Examples: push_tasks.py tasks.json; push_tasks.py --check tasks.json; push_tasks.py --detach tasks.json.
Exit codes: 0 all tasks succeeded, 1 some did not, 2 bad input, 3 no boss or refused, 130 Ctrl-C."""


class MergeOption(StrEnum):
    """What happens to tasks whose ids exist already."""

    REPLACE = "replace"
    KEEP_SUCCEEDED = "keep_succeeded"


@app.command("push_tasks", cls=FormerOptionsCommand, epilog=_EPILOG)
@guarded
def push_tasks(
    tasks_json: Annotated[Path, typer.Argument(metavar="TASKS.json", help="The task file.", show_default=False)],
    check: Annotated[bool, typer.Option("--check", help="Only check the file; no boss is needed.")] = False,
    project: Annotated[str, typer.Option("--project", help="Name space of the task ids.")] = "default",
    name: Annotated[str, typer.Option("--name", help="Name of the batch; default: as in the file.")] = "",
    detach: Annotated[bool, typer.Option("--detach", help="Return once it is accepted; the boss works on.")] = False,
    merge_strategy: Annotated[
        MergeOption | None,
        typer.Option("--merge_strategy", help="What becomes of tasks that exist, also in other batches."),
    ] = None,
    allow_shared_results: Annotated[
        bool, typer.Option("--allow_shared_results", help="Two tasks that write one path are a warning, no error.")
    ] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip_existing", help="A task whose results all exist succeeds without running.")
    ] = False,
    create_ids: Annotated[
        bool,
        typer.Option(
            "--create_ids", help="Ids from contents; the file may have none, or they are names within it only."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry_run", help="Only say what the push would do; nothing changes.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Drop tasks of earlier versions that are no longer in the file.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before changed tasks that run now are ended and begin again.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE", help="With --check: draw the graph (svg, png or pdf).")
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option("--state_dir", help="State directory; else .ecloud here or above, or $ECLOUD_HOME.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, for programs.")] = False,
) -> None:
    """Push a task file: check it, send it with its files to the boss, and follow it to its end.

    Where no boss runs and none is configured, this starts one, which stops when no client follows any more.
    Ctrl-C stops the following only; the same command follows again. The next version of a file runs what is new, failed
    or changed and what depends on it, keeps the rest, and says so first.
    """
    from boss.cli.push_file import check_file, push_file
    from boss.intake.reader import PushOptions

    if state_dir is not None:
        os.environ["ECLOUD_HOME"] = str(state_dir.absolute())
    options = PushOptions(
        project=project,
        name=name,
        merge_strategy=merge_strategy.value if merge_strategy else "",
        allow_shared_results=allow_shared_results,
        skip_existing=skip_existing,
        create_ids=create_ids,
        dry_run=dry_run,
        prune=prune,
        confirmed=yes,
    )
    target = Target(settings.load)
    if check:
        check_file(tasks_json, options, target, picture, as_json)
    elif picture is not None:
        stop(ExitCode.BAD_INPUT, "--picture goes with --check: it draws a file that is not pushed")
    else:
        raise SystemExit(int(push_file(tasks_json, options, target, ROOT, detach, as_json)))


if __name__ == "__main__":
    run(app)
