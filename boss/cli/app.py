"""How a program of commands is made: what admin.py and push_tasks.py have in common as command lines.

Former names of commands and options work for one release, are in no help, and warn on stderr. A renamed one is a line
in one of the two tables, and one in docs/compatibility.md. Settings have theirs in the tables of settings
(`boss.configuration.values`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from boss.cli.command import ExitCode, Register, guarded, stop, warn
from boss.configuration.values import renamed

#: Former name of a command of admin.py -> its name.
COMMANDS: dict[str, str] = {}
#: Command -> former option of it -> option. `push_tasks` is the one command of push_tasks.py.
OPTIONS: dict[str, dict[str, str]] = {}


class FormerNamesGroup(TyperGroup):
    """Knows its commands by their former names too."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        present = COMMANDS.get(cmd_name)
        if present is not None:
            warn([renamed(cmd_name, present)])
        return super().get_command(ctx, present or cmd_name)


class FormerOptionsCommand(TyperCommand):
    """Knows its options by their former names too."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        return super().parse_args(ctx, present_options(args, OPTIONS.get(self.name or "", {})))


def present_options(words: list[str], former: Mapping[str, str]) -> list[str]:
    """The words of a command line by the names that options have now. Former and present name: ends the program."""
    end = words.index("--") if "--" in words else len(words)
    given = {word.partition("=")[0] for word in words[:end]}
    for name in sorted(given & former.keys()):
        if former[name] in given:
            stop(ExitCode.BAD_INPUT, f"{name} is the former name of {former[name]}: give one of them")
        warn([renamed(name, former[name])])
    return [_present(word, former) for word in words[:end]] + words[end:]


def _present(word: str, former: Mapping[str, str]) -> str:
    name, equals, value = word.partition("=")
    return f"{former.get(name, name)}{equals}{value}"


def new_app(**more: Any) -> typer.Typer:
    """Plain text, -h as well as --help, no completion scripts. `more`: what else typer.Typer takes."""
    return typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        **more,
    )


def registrar(app: typer.Typer, program: str) -> Register:
    """What makes a function a command of `app`: its help ends with an example, its errors are sentences."""

    def command(name: str, example: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
        def register(function: Callable[..., None]) -> Callable[..., None]:
            decorator = app.command(name, cls=FormerOptionsCommand, epilog=f"Example: {program} {example}")
            return decorator(guarded(function))

        return register

    return command
