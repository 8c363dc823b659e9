"""Keys, logins and how programs on other hosts are started with them, as lines of text. Pure."""

from __future__ import annotations

import shlex
from pathlib import Path

from boss.api.schema import LoginAnswer
from boss.bootstrap.ssh_keys import DATASTORE, SshKey
from boss.cli.terminal import harmless


def init_lines(state_directory: Path, keys: list[SshKey]) -> list[str]:
    made = [key.name for key in keys if key.made]
    return [
        f"State directory: {harmless(str(state_directory))}",
        *(f"{'Created' if key.made else 'Exists already'}: {harmless(str(key.path))} and its .pub" for key in keys),
        f"Logins of HTTP and MQTT: {harmless(str(state_directory / 'logins'))}",
        "",
        "On each host of a worker, put these two lines into ~/.ssh/authorized_keys of the worker's user:",
        *(harmless(key.authorized_keys_line) for key in keys),
        "",
        "Next: set broker_listen (and datastore_host, http_host, if the datastore has a host of its own), start the",
        'boss, then `admin.py login NAME --write DIRECTORY` for each worker. docs/operating.md, "Several machines".',
        *(["Workers' hosts refuse a new key until these lines are there."] if made else []),
    ]


def login_lines(answer: LoginAnswer, folder: Path | None, there: str) -> list[str]:
    state = "created" if answer.made else "exists already"
    lines = [f"Login {harmless(answer.username)} at the broker: {state}."]
    if folder is None:
        for name, content in answer.files.items():
            if not name.endswith(".key"):  # a private key is not copied from a terminal
                lines += ["", f"# {name}", *(harmless(line) for line in content.splitlines())]
        lines += ["", "--write DIRECTORY writes these as files to copy to that host."]
    else:
        program = "datastore" if answer.name == DATASTORE else "worker"
        lines += [f"Written: {harmless(str(folder / name))}" for name in answer.files]
        lines.append(
            f"Copy them to {harmless(there)} on that host, owned by the user of the program, and start it: "
            f"templates/ecloud-{program}.service, or manually (docs/operating.md)."
        )
    return [*lines, *(f"Note: {harmless(note)}." for note in answer.notes)]


def start_lines(there: str) -> list[str]:
    """Of a worker whose files are in `there`."""
    environment = f"{there.rstrip('/')}/worker.env"
    return [
        "",
        "To start it on its host, as the user it runs as, in the directory of ecloud:",
        f"\tset -a; . {harmless(shlex.quote(environment))}; set +a",
        "\t.venv/bin/python -m worker",
        "It says hello within seconds, and `admin.py show_workers` lists it; if not, ./debug.sh there prints why.",
    ]
