"""How a program of commands is made: what admin.py and push_tasks.py have in common as command lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from boss.cli.command import Register, guarded
from boss.cli.former import FormerOptionsCommand


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
