"""admin.py's commands about machines: keys and logins for programs on other hosts, and checks of a worker's host.

`init` requires no boss; the others do.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from boss.api.schema import LOGIN_FOLDER, LoginAnswer
from boss.bootstrap.ssh_keys import DATASTORE, KeyFileError, ensure_keys
from boss.cli.command import AsJson, AsJsonLines, ExitCode, Register, WorkerId, stop, write, write_json
from boss.cli.format_machines import init_lines, login_lines, start_lines
from boss.cli.target import Target
from boss.cli.terminal import harmless
from boss.common.private_files import private_folder, write_private
from boss.embedded.passwords import DATASTORE_LOGIN, Passwords
from boss.state_directory.tokens import TOKEN_FILE, ensure_token

WriteInto = Annotated[
    Path | None, typer.Option("--write", help="Write the files into this directory, readable by you only.")
]
OfPool = Annotated[str | None, typer.Option("--pool", metavar="POOL", help="The pool that this worker belongs to.")]
WithLabels = Annotated[
    list[str] | None,
    typer.Option(
        "--label", metavar="NAME=VALUE", help="A label that this worker may offer; again for each further one."
    ),
]
WithSlots = Annotated[
    int | None, typer.Option("--slots", metavar="N", help="The most tasks at once that this worker is believed to run.")
]
InstalledIn = Annotated[str, typer.Option("--installed_in", help="Where the files will be on the other host.")]


def add_machine_commands(command: Register, target: Target) -> None:
    @command("init", "init")
    def init(as_json: AsJson = False) -> None:
        """Create SSH keys and logins for a boss with workers on other hosts. Safe to repeat; replaces nothing."""
        home = target.made_state_directory()
        _init(home, target.settings(home).broker_username, as_json)

    @command("login", "login w1 --write w1-files")
    def login(
        name: Annotated[str, typer.Argument(metavar="NAME", help="A worker's id, or `datastore`.", show_default=False)],
        folder: WriteInto = None,
        there: InstalledIn = LOGIN_FOLDER,
        pool: OfPool = None,
        label: WithLabels = None,
        slots: WithSlots = None,
        remove: Annotated[
            bool, typer.Option("--remove", help="Remove the login: the broker refuses it from now on.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Print or write what a worker or the datastore on another host requires: its broker login and its settings."""
        with target.boss() as boss:
            if remove:
                boss.remove_login(name)
                write_json({"name": name, "removed": True}) if as_json else write([f"The login {name!r} is removed."])
                return
            answer = boss.login(name, there, pool=pool, labels=_labels(label), slots=slots)
        _give(answer, folder, there, as_json)

    @command("add_worker", "add_worker w1 --write w1-files")
    def add_worker(
        name: Annotated[str, typer.Argument(metavar="NAME", help="The new worker's id.", show_default=False)],
        folder: WriteInto = None,
        there: InstalledIn = LOGIN_FOLDER,
        pool: OfPool = None,
        label: WithLabels = None,
        slots: WithSlots = None,
        as_json: AsJson = False,
    ) -> None:
        """Add a worker on a host of your own, started manually: its login and settings, and how to start it."""
        if name == DATASTORE:
            stop(ExitCode.BAD_INPUT, "the datastore is no worker; give it a login with: admin.py login datastore")
        with target.boss() as boss:
            there_already = [worker.state for worker in boss.workers() if worker.id == name]
            answer = boss.login(name, there, pool=pool, labels=_labels(label), slots=slots)
        if there_already:
            answer.notes.append(f"worker {name} exists already ({there_already[0]}): a second one would take its place")
        _give(answer, folder, there, as_json)
        if not as_json:
            write(start_lines(there))

    @command("debug_worker", "debug_worker w1")
    def debug_worker(worker: WorkerId, as_json: AsJsonLines = False) -> None:
        """Check a worker's host from the boss: is it reachable, is it the right one, what is missing and what to do."""
        failed = ["the boss's answer"]
        with target.boss() as boss:
            for line in boss.debug(worker):
                failed = line.failed if line.ended else failed
                text = msgspec.json.encode(line).decode() if as_json else harmless(line.text, lines=True)
                if as_json or not line.ended:
                    sys.stdout.write(f"{text}\n")
                    sys.stdout.flush()
        if failed:
            stop(ExitCode.NO_BOSS, f"checks of worker {worker} failed: {', '.join(failed)}")


# --- init --------------------------------------------------------------------------------------------


def _init(state_directory: Path, username: str, as_json: bool) -> None:
    try:
        keys = ensure_keys(state_directory)
        ensure_token(state_directory)
        logins = Passwords(state_directory)
        passwords = [logins.ensure(name) for name in (username, DATASTORE_LOGIN)]
    except KeyFileError as error:
        stop(ExitCode.NO_BOSS, str(error))
    except OSError as error:
        stop(ExitCode.NO_BOSS, f"{error.filename or state_directory}: {error.strerror or error}")
    if as_json:
        write_json(
            {
                "state_directory": str(state_directory),
                "keys": {key.name: {"path": str(key.path), "public": key.public, "made": key.made} for key in keys},
                "authorized_keys": [key.authorized_keys_line for key in keys],
                "logins": [str(path) for path in passwords],
                "http_token": str(state_directory / TOKEN_FILE),
            }
        )
        return
    write(init_lines(state_directory, keys))


# --- login -------------------------------------------------------------------------------------------


def _labels(given: list[str] | None) -> dict[str, str] | None:
    """None: none was given, and those of before stay."""
    if not given:
        return None
    for text in given:
        if not text.partition("=")[0] or "=" not in text:
            stop(ExitCode.BAD_INPUT, f"--label {text!r} must be NAME=VALUE, such as engine=2.3")
    return dict(text.split("=", 1) for text in given)


def _write_files(folder: Path, files: dict[str, str]) -> None:
    """Each readable by its owner only, from the first byte on."""
    try:
        private_folder(folder)
        for name, content in files.items():
            write_private(folder / os.path.basename(name), content, durable=True)
    except OSError as error:
        stop(ExitCode.BAD_INPUT, f"{error.filename or folder} cannot be written: {error.strerror or error}")


def _give(answer: LoginAnswer, folder: Path | None, there: str, as_json: bool) -> None:
    if folder is not None:
        _write_files(folder, answer.files)
    if as_json:
        write_json(answer)
    else:
        write(login_lines(answer, folder, there))
