"""admin.py's commands about machines: keys and logins for programs on other hosts, and looking at a worker's host.

Registered by `admin.py`, which knows the settings and which boss to ask. `init` needs no boss; the others do.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from boss.api.schema import LoginAnswer
from boss.bootstrap.login_files import FOLDER
from boss.bootstrap.ssh_keys import DATASTORE, KeyFileError, SshKey, ensure_keys
from boss.cli.command import AsJson, Boss, Command, ExitCode, stop, write, write_json
from boss.cli.terminal import harmless
from boss.embedded.passwords import DATASTORE_LOGIN, LoginFiles
from boss.state_directory.tokens import TOKEN_FILE, ensure_token

WriteInto = Annotated[
    Path | None, typer.Option("--write", help="Write the files into this directory, readable by you only.")
]
InstalledIn = Annotated[str, typer.Option("--installed_in", help="Where the files will be on the other host.")]


def add_machine_commands(
    command: Command, boss: Boss, state_directory: Callable[[], Path], username: Callable[[], str]
) -> None:
    """`state_directory` makes one where there is none; `username`: the boss's own at the broker."""

    @command("init", "init")
    def init(as_json: AsJson = False) -> None:
        """Make what a boss with workers on other hosts needs: SSH keys, logins. Safe to repeat; replaces nothing."""
        _init(state_directory(), username(), as_json)

    @command("login", "login w1 --write w1-files")
    def login(
        name: Annotated[str, typer.Argument(metavar="NAME", help="A worker's id, or `datastore`.", show_default=False)],
        folder: WriteInto = None,
        there: InstalledIn = FOLDER,
        remove: Annotated[bool, typer.Option("--remove", help="The broker is to refuse it from now on.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """What a worker or the datastore on another host needs: its login at the broker, and its settings."""
        with boss() as asked:
            if remove:
                asked.remove_login(name)
                write_json({"name": name, "removed": True}) if as_json else write([f"The login {name!r} is removed."])
                return
            answer = asked.login(name, there)
        _give(answer, folder, there, as_json)

    @command("add_worker", "add_worker w1 --write w1-files")
    def add_worker(
        name: Annotated[str, typer.Argument(metavar="NAME", help="The id that it shall have.", show_default=False)],
        folder: WriteInto = None,
        there: InstalledIn = FOLDER,
        as_json: AsJson = False,
    ) -> None:
        """A worker on a host of your own, started by hand: its login and settings, and how to start it."""
        if name == DATASTORE:
            stop(ExitCode.BAD_INPUT, "the datastore is no worker; `admin.py login datastore` gives what it needs")
        with boss() as asked:
            there_already = [worker.state for worker in asked.workers() if worker.id == name]
            answer = asked.login(name, there)
        if there_already:
            answer.notes.append(
                f"a worker {name} is there already ({there_already[0]}): a second one would take its place"
            )
        _give(answer, folder, there, as_json)
        if not as_json:
            write(_start_lines(there))

    @command("debug_worker", "debug_worker w1")
    def debug_worker(
        worker: Annotated[str, typer.Argument(metavar="WORKER", help="The worker's id.", show_default=False)],
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
    ) -> None:
        """Look at a worker's host from the boss: is it reached, is it the one, what is missing there and what to do."""
        failed = ["the boss's answer"]
        with boss() as asked:
            for line in asked.debug(worker):
                failed = line.failed if line.ended else failed
                text = msgspec.json.encode(line).decode() if as_json else harmless(line.text, lines=True)
                if as_json or not line.ended:
                    sys.stdout.write(f"{text}\n")
                    sys.stdout.flush()
        if failed:
            stop(ExitCode.NO_BOSS, f"worker {worker} is not well: {', '.join(failed)}")


# --- init --------------------------------------------------------------------------------------------


def _init(state_directory: Path, username: str, as_json: bool) -> None:
    try:
        keys = ensure_keys(state_directory)
        ensure_token(state_directory)
        logins = LoginFiles(state_directory)
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
    write(_init_lines(state_directory, keys))


def _init_lines(state_directory: Path, keys: list[SshKey]) -> list[str]:
    made = [key.name for key in keys if key.made]
    return [
        f"State directory: {harmless(str(state_directory))}",
        *(f"{'Made' if key.made else 'There already'}: {harmless(str(key.path))} and its .pub" for key in keys),
        f"Logins of HTTP and MQTT: {harmless(str(state_directory / 'logins'))}",
        "",
        "On each host of a worker, put these two lines into ~/.ssh/authorized_keys of the worker's user:",
        *(harmless(key.authorized_keys_line) for key in keys),
        "",
        "Next: set broker_listen (and datastore_host, http_host, if the datastore has a host of its own), start the",
        'boss, then `admin.py login NAME --write DIRECTORY` for each worker. docs/operating.md, "Several machines".',
        *(["A key that is new is refused by workers' hosts until it is put there."] if made else []),
    ]


# --- login -------------------------------------------------------------------------------------------


def _write_files(folder: Path, files: dict[str, str]) -> None:
    """Each readable by its owner only, from the first byte on."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in files.items():
            path = folder / os.path.basename(name)
            temporary = path.with_name(f".{path.name}.new")
            temporary.unlink(missing_ok=True)
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(content)
            temporary.replace(path)
    except OSError as error:
        stop(ExitCode.BAD_INPUT, f"{error.filename or folder} cannot be written: {error.strerror or error}")


def _give(answer: LoginAnswer, folder: Path | None, there: str, as_json: bool) -> None:
    if folder is not None:
        _write_files(folder, answer.files)
    if as_json:
        write_json(answer)
    else:
        write(list(_login_lines(answer, folder, there)))


def _start_lines(there: str) -> list[str]:
    """Of a worker whose files are in `there`."""
    environment = f"{there.rstrip('/')}/worker.env"
    return [
        "",
        "To start it on its host, as the user it shall run as, in the directory where ecloud is:",
        f"\tset -a; . {harmless(shlex.quote(environment))}; set +a",
        "\t.venv/bin/python -m worker",
        "It says hello within seconds and is listed by `admin.py show_workers`; if not, ./debug.sh there says why.",
    ]


def _login_lines(answer: LoginAnswer, folder: Path | None, there: str) -> list[str]:
    state = "made" if answer.made else "there already"
    lines = [f"Login {harmless(answer.username)} at the broker: {state}."]
    if folder is None:
        for name, content in answer.files.items():
            if not name.endswith(".key"):  # nobody copies a private key from a terminal
                lines += ["", f"# {name}", *(harmless(line) for line in content.splitlines())]
        lines += ["", "With --write DIRECTORY these become files to copy to that host."]
    else:
        program = "datastore" if answer.name == DATASTORE else "worker"
        lines += [f"Written: {harmless(str(folder / name))}" for name in answer.files]
        lines.append(
            f"Copy them to {harmless(there)} on that host, owned by the user of the program, and start it: "
            f"templates/ecloud-{program}.service, or by hand as docs/operating.md says."
        )
    return [*lines, *(f"Note: {harmless(note)}." for note in answer.notes)]
