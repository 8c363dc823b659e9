"""What the commands share: options, exit codes, errors as sentences, questions, output."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Annotated, NoReturn, TextIO, TypeVar

import msgspec
import typer

from boss.cli.terminal import harmless
from boss.client.client import ClientError, RequestRefusedError

R = TypeVar("R")
T = TypeVar("T")

#: (name, example) -> what registers a function as the command of that name (`boss.cli.app.registrar`).
Register = Callable[[str, str], Callable[[Callable[..., None]], Callable[..., None]]]

# Options and arguments that several commands have.
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Limit = Annotated[int, typer.Option("--limit", min=0, help="Print at most N; 0 is all.")]

#: Of tasks: the name space of the ids that are given, or a choice among all.
Project = Annotated[str, typer.Option("--project", help="Name space of the task ids.")]
AnyProject = Annotated[str, typer.Option("--project", help="Only tasks of this project.")]
OfBatch = Annotated[int, typer.Option("--batch", help="Only tasks of this batch.")]

TaskId = Annotated[str, typer.Argument(metavar="ID", help="The task's id.", show_default=False)]
TaskIds = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of tasks.", show_default=False)]
Batches = Annotated[list[int] | None, typer.Option("--batch", help="All tasks of this batch; may be repeated.")]
BatchNumber = Annotated[int, typer.Argument(metavar="BATCH", help="The batch's number.", show_default=False)]
WorkerId = Annotated[str, typer.Argument(metavar="WORKER", help="The worker's id.", show_default=False)]
WorkerIds = Annotated[list[str] | None, typer.Argument(metavar="WORKER", help="Ids of workers.", show_default=False)]


class ExitCode(IntEnum):
    #: Everything asked for was done; for a push that was followed: all its tasks succeeded.
    OK = 0
    #: The push was carried out and not all of its tasks succeeded.
    TASKS_FAILED = 1
    #: An invalid task file, option, setting or id; nothing was changed.
    BAD_INPUT = 2
    #: No boss is available, or it refused; what was not accepted left nothing.
    NO_BOSS = 3
    #: Ctrl-C. What was accepted stays; the same command goes on with it.
    INTERRUPTED = 130


#: Statuses that are about what the user gave, not about the state of the boss.
_BAD_INPUT = frozenset({400, 404, 413, 415})


def stop(code: ExitCode, sentence: str, details: list[str] | None = None) -> NoReturn:
    """End the program with an error."""
    sys.stderr.write(f"Error: {harmless(sentence, lines=True)}\n")
    sys.stderr.writelines(f"  {harmless(line)}\n" for line in details or [])
    raise SystemExit(int(code))


def warn(sentences: Iterable[str]) -> None:
    """On stderr, so that what scripts read stays as it is."""
    sys.stderr.writelines(f"Warning: {harmless(sentence)}\n" for sentence in sentences)


def guarded(function: Callable[..., R]) -> Callable[..., R]:
    """Turns what can go wrong on the way to a boss into a sentence and an exit code."""

    @functools.wraps(function)
    def wrapped(*arguments: object, **options: object) -> R:
        try:
            return function(*arguments, **options)
        except RequestRefusedError as error:
            stop(ExitCode.BAD_INPUT if error.status in _BAD_INPUT else ExitCode.NO_BOSS, str(error), error.details)
        except ClientError as error:
            stop(ExitCode.NO_BOSS, str(error))

    return wrapped


def ask_first(question: str, instead: str) -> None:
    """Return if the user confirms; else end the program. Without a terminal it ends with `instead`: what to type."""
    if not sys.stdin.isatty():
        stop(ExitCode.BAD_INPUT, f"{question} There is no terminal to confirm on: {instead}")
    if not typer.confirm(question, err=True):
        stop(ExitCode.BAD_INPUT, "nothing was changed")


def write(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def show(answer: T, lines_of: Callable[[T], Iterable[str]], as_json: bool) -> None:
    """As JSON, or as lines of text."""
    write_json(answer) if as_json else write(lines_of(answer))


def write_json(value: object, out: TextIO | None = None) -> None:
    """`out`: else stdout."""
    (out or sys.stdout).write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
