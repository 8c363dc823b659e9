"""admin.py's commands about the environment: where boss and datastore are, and the settings."""

from __future__ import annotations

from typing import Annotated

import typer

from boss.cli.command import AsJson, Register, show, write, write_json
from boss.cli.format_machines import context_lines, setting_lines
from boss.cli.target import Target


def add_context_commands(command: Register, target: Target) -> None:
    @command("show_context", "show_context")
    def show_context(as_json: AsJson = False) -> None:
        """Where the boss and the datastore are, a line each."""
        with target.boss() as boss:
            show(boss.context(), context_lines, as_json)

    @command("set_datastore", "set_datastore 10.0.0.7")
    def set_datastore(
        address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Host name or address.", show_default=False)],
        as_json: AsJson = False,
    ) -> None:
        """Set where the datastore's program runs; overrides the setting datastore_host."""
        with target.boss() as boss:
            show(boss.set_datastore(address), context_lines, as_json)

    @command("drop_context", "drop_context")
    def drop_context(as_json: AsJson = False) -> None:
        """Forget what set_datastore set: both addresses come from the settings again."""
        with target.boss() as boss:
            show(boss.drop_context(), context_lines, as_json)

    @command("settings", "settings")
    def settings(as_json: AsJson = False) -> None:
        """Each setting with its value and where that came from; secrets are not shown."""
        shown = list(target.settings(target.state_directory()).show())
        if as_json:
            write_json([{"name": each.name, "value": each.value, "origin": each.origin} for each in shown])
        else:
            write(setting_lines(shown))
