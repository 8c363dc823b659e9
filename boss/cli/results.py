"""admin.py's commands about results: fetch them, list them, sum up the space that they take.

The steps of fetching are `boss.client.download`'s.
"""

from __future__ import annotations

import sys
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from boss.api.schema import ResultAnswer
from boss.cli.command import AsJson, ExitCode, Register, stop, write, write_json
from boss.cli.format_results import format_fetching, got_line, in_order, not_got_lines, result_lines, usage_lines
from boss.cli.target import Target
from boss.cli.terminal import ProgressLine
from boss.client.client import Client
from boss.client.download import DownloadError, get_results

Project = Annotated[str, typer.Option("--project", help="Name space of the results.")]
Batch = Annotated[int, typer.Option("--batch", help="Only results of this batch.")]
Task = Annotated[str, typer.Option("--task", metavar="ID", help="Only results of this task.")]


def add_result_commands(command: Register, target: Target) -> None:
    @command("get", "get 'runs/*/summary.csv' here")
    def get(
        names: Annotated[
            list[str],
            typer.Argument(
                metavar="RESULTS... DIR", help="Names, folders or patterns; then where to.", show_default=False
            ),
        ],
        batch: Batch = 0,
        task: Task = "",
        project: Project = "default",
        as_json: AsJson = False,
    ) -> None:
        """Fetch results into a directory under their names; existing files are kept, partial ones are continued.

        Patterns: * and ? within a name, ** over folders, [abc]. With --batch or --task the directory alone is enough.
        """
        *patterns, directory = names
        if not patterns and not batch and not task:
            stop(ExitCode.BAD_INPUT, "name results and then a directory, or give --batch or --task; '**' is all")
        _get(target, patterns or [""], Path(directory), batch, task, project, as_json)

    @command("ls", "ls --long 'runs/**'")
    def ls(
        match: Annotated[
            str, typer.Argument(metavar="[NAME]", help="A name, a folder or a pattern.", show_default=False)
        ] = "",
        batch: Batch = 0,
        task: Task = "",
        long: Annotated[bool, typer.Option("--long", "-l", help="Size, time, digest and task as well.")] = False,
        project: Project = "default",
        as_json: AsJson = False,
    ) -> None:
        """Results that tasks have left on the datastore, in order of task."""
        with target.boss() as boss:
            found = in_order(boss.results(project, match, batch, task))
            first = next(found, None)
            if first is None and match:
                stop(ExitCode.BAD_INPUT, _nothing_called(project, match))
            found = chain([] if first is None else [first], found)
            if as_json:
                write_json(list(found))
            else:
                write(result_lines(found, long))

    @command("du", "du runs")
    def du(
        folders: Annotated[
            list[str] | None, typer.Argument(metavar="[FOLDER]...", help="Else all.", show_default=False)
        ] = None,
        project: Project = "default",
        as_json: AsJson = False,
    ) -> None:
        """How much space results take, folder by folder; what pushes sent; what is free on the datastore's disk."""
        with target.boss() as boss:
            usages = [(folder.strip("/"), boss.usage(project, folder)) for folder in folders or [""]]
            empty = next((folder for folder, usage in usages if folder not in ("", ".") and not usage.files), None)
            if empty is not None:
                stop(ExitCode.BAD_INPUT, f"no result of project {project!r} is in a folder {empty!r}; see admin.py ls")
            if as_json:
                write_json({folder or ".": usage for folder, usage in usages})
            else:
                write(usage_lines(usages))


def _get(
    target: Target, patterns: list[str], directory: Path, batch: int, task: str, project: str, as_json: bool
) -> None:
    with target.boss() as boss:
        results = _matching(boss, patterns, batch, task, project)
        total, line = sum(result.size for result in results), ProgressLine(sys.stderr)

        def report(files: int, count: int) -> None:
            words = format_fetching(files, len(results), count, total)
            line.show(count, total, words, last=files == len(results))

        try:
            got = get_results(boss.another, results, directory, report)
        except (DownloadError, OSError) as error:
            line.end()
            stop(ExitCode.TASKS_FAILED, str(error))
        except KeyboardInterrupt:
            line.end()
            sys.stderr.write("\nStopped. The same command continues.\n")
            raise SystemExit(int(ExitCode.INTERRUPTED)) from None
        line.end()
    code = ExitCode.TASKS_FAILED if got.failed else ExitCode.OK
    if as_json:
        write_json({"fetched": got.fetched, "there": got.there, "bytes": got.bytes, "failed": got.failed,
                    "directory": str(directory), "exit_code": int(code)})  # fmt: skip
    else:
        write([got_line(got, directory)])
        sys.stderr.writelines(f"{text}\n" for text in not_got_lines(got))
    raise SystemExit(int(code))


def _matching(boss: Client, patterns: list[str], batch: int, task: str, project: str) -> list[ResultAnswer]:
    found: dict[str, ResultAnswer] = {}
    for pattern in patterns:
        before = len(found)
        some = {result.name: result for result in boss.results(project, pattern, batch, task)}
        found |= some
        if not some and len(found) == before:
            stop(
                ExitCode.BAD_INPUT, _nothing_called(project, pattern) if pattern else "there are no results of that yet"
            )
    return list(found.values())


def _nothing_called(project: str, pattern: str) -> str:
    return f"no result of project {project!r} is called or matches {pattern!r}; see admin.py ls"
