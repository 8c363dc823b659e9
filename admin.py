#!/usr/bin/env python3
"""Inspect and control ecloud: `admin.py --help` lists the commands.

Thin: registers the groups of commands, a file of `boss.cli` each, and hands them the loader of settings. A new command
goes into the file of its group: `lists`, `tasks`, `journal`, `workers`, `results`, `context`, `machines`, `deploy`.
Which boss answers, `boss.cli.target` finds out; its answers come from `boss.client.client`, their text from the
`format_*.py` of `boss.cli`. Where no boss runs the same HTTP application answers inside this process, over the state
directory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from boss.client.require_packages import require_packages

require_packages(Path(__file__).resolve().parent)

import typer  # noqa: E402  # after the check that it is installed

import settings  # noqa: E402
from boss.cli.app import FormerNamesGroup, new_app, registrar  # noqa: E402
from boss.cli.context import add_context_commands  # noqa: E402
from boss.cli.deploy import add_deploy_commands  # noqa: E402
from boss.cli.journal import add_journal_commands  # noqa: E402
from boss.cli.lists import add_list_commands  # noqa: E402
from boss.cli.machines import add_machine_commands  # noqa: E402
from boss.cli.output import run  # noqa: E402
from boss.cli.results import add_result_commands  # noqa: E402
from boss.cli.target import Target  # noqa: E402
from boss.cli.tasks import add_task_commands  # noqa: E402
from boss.cli.workers import add_worker_commands  # noqa: E402

app = new_app(
    cls=FormerNamesGroup,
    no_args_is_help=True,
    help="Inspect and control ecloud. Each command has --help with an example.",
)
target = Target(settings.load)


@app.callback()
def main(
    state_dir: Annotated[
        Path | None, typer.Option("--state_dir", help="State directory; else .ecloud here or above, or $ECLOUD_HOME.")
    ] = None,
) -> None:
    """Options of all commands."""
    target.chosen = state_dir


command = registrar(app, "admin.py")
add_list_commands(command, target)
add_task_commands(command, target)
add_journal_commands(command, target)
add_worker_commands(command, target)
add_result_commands(command, target)
add_context_commands(command, target)
add_machine_commands(command, target)
add_deploy_commands(command, target)


if __name__ == "__main__":
    run(app)
