"""What the two commands share: errors as sentences with an exit code, JSON output. No settings, no options."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

import msgspec
import typer

from boss.cli.exit_codes import Exit
from boss.cli.terminal import harmless
from boss.client.client import ClientError, Refused

R = TypeVar("R")

#: Answers of the boss that are about what the user gave, not about how things stand.
_BAD_INPUT = frozenset({400, 404, 413, 415})


def stop(code: Exit, sentence: str, details: list[str] | None = None) -> NoReturn:
    """End the program with an error."""
    sys.stderr.write(f"Error: {harmless(sentence, lines=True)}\n")
    sys.stderr.writelines(f"  {harmless(line)}\n" for line in details or [])
    raise SystemExit(int(code))


def guarded(function: Callable[..., R]) -> Callable[..., R]:
    """Turns what can go wrong on the way to a boss into a sentence and an exit code."""

    @functools.wraps(function)
    def wrapped(*arguments: object, **options: object) -> R:
        try:
            return function(*arguments, **options)
        except Refused as error:
            stop(Exit.BAD_INPUT if error.status in _BAD_INPUT else Exit.NO_BOSS, str(error), error.details)
        except ClientError as error:
            stop(Exit.NO_BOSS, str(error))

    return wrapped


def ask_first(question: str, instead: str) -> None:
    """Go on if a person says yes. Nobody to ask: the program ends with `instead`, what may be said beforehand."""
    if not sys.stdin.isatty():
        stop(Exit.BAD_INPUT, f"{question} Nobody is there to answer: {instead}")
    if not typer.confirm(question, err=True):
        stop(Exit.BAD_INPUT, "nothing was changed")


def write(lines: list[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def write_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
