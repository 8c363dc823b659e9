"""admin.py's commands about the context: where boss and datastore are. Registered by `admin.py`."""

from __future__ import annotations

from typing import Annotated

import typer

from boss.api.schema import ContextAnswer
from boss.cli.command import AsJson, Boss, Command, write, write_json
from boss.cli.terminal import harmless


def add_context_commands(command: Command, boss: Boss) -> None:
    @command("show_context", "show_context")
    def show_context(as_json: AsJson = False) -> None:
        """Where the boss and the datastore are, a line each."""
        with boss() as asked:
            _tell(asked.context(), as_json)

    @command("set_datastore", "set_datastore 10.0.0.7")
    def set_datastore(
        address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Host name or address.", show_default=False)],
        as_json: AsJson = False,
    ) -> None:
        """Say where the datastore's program runs; wins over the setting datastore_host."""
        with boss() as asked:
            _tell(asked.set_datastore(address), as_json)

    @command("drop_context", "drop_context")
    def drop_context(as_json: AsJson = False) -> None:
        """Forget what was said: both addresses are looked up again."""
        with boss() as asked:
            _tell(asked.drop_context(), as_json)


def _tell(answer: ContextAnswer, as_json: bool) -> None:
    if as_json:
        write_json(answer)
        return
    write(
        [
            f"boss_address: {harmless(answer.boss_address)}",
            f"datastore_address: {harmless(answer.datastore_address)}",
            *(f"Note: {harmless(note)}." for note in answer.notes),
        ]
    )
