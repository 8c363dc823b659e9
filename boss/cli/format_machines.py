"""Where programs are and how they get there, as lines of text: the context and the settings in effect; keys, logins,
and how programs on other hosts are started with them; a deployment at a cloud, and how templates differ. Pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from boss.api.schema import ContextAnswer, LoginAnswer
from boss.bootstrap.ssh_keys import DATASTORE, SshKey
from boss.cli.terminal import harmless
from boss.configuration.values import ShownSetting

if TYPE_CHECKING:  # they import what every other command would wait for
    from boss.deploy.deploying import Deployed
    from boss.deploy.teardown import TeardownPlan


def context_lines(answer: ContextAnswer) -> Iterator[str]:
    yield f"boss_address: {harmless(answer.boss_address)}"
    yield f"datastore_address: {harmless(answer.datastore_address)}"
    yield from (f"Note: {harmless(note)}." for note in answer.notes)


def setting_lines(shown: Sequence[ShownSetting]) -> Iterator[str]:
    """Name, value and where that came from, in columns."""
    width = max(len(each.name) for each in shown)
    return (f"{each.name:{width}}  {harmless(each.value)}  ({harmless(each.origin)})" for each in shown)


# --- keys and logins ---------------------------------------------------------------------------------


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


# --- a deployment at a cloud -------------------------------------------------------------------------


def deployed_lines(answer: Deployed) -> Iterator[str]:
    yield f"The boss runs on machine {answer.machine}, {harmless(answer.address)}"
    yield f"Address:  {answer.url}"
    yield f"Token:    {answer.token}"
    yield f"Host key: {answer.host_key}"
    if answer.disk:
        yield f"Datastore's disk: {harmless(answer.disk)}"
    yield "Address and token are kept in the state directory: push_tasks.py and admin.py use this boss from now on."


def plan_lines(plan: TeardownPlan) -> Iterator[str]:
    """What will be removed, before the question."""
    if not plan.machines:
        yield f"Deployment {harmless(plan.mark)} has no machines."
    else:
        yield f"Deployment {harmless(plan.mark)}; machines to be terminated, with all that is on them:"
        yield from (f"  {harmless(line)}" for line in plan.machines)
    disk, stays = harmless(plan.disk), harmless(plan.disk_stays)
    if disk:
        yield f"  the disk {disk}, WITH ALL RESULTS ON IT"
    if stays:
        yield f"The disk {stays} stays (--datastore_disk {stays} removes it)."


def torn_down_lines(plan: TeardownPlan) -> Iterator[str]:
    """Once it is removed."""
    yield "All of it is removed."
    if plan.disk_stays:
        yield (
            f"Remove the disk later, with all results on it: admin.py teardown --mark {harmless(plan.mark)} "
            f"--datastore_disk {harmless(plan.disk_stays.split(',')[0])}"
        )


def difference_lines(found: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Template -> what differs in the cloud."""
    for name, differences in found.items():
        yield f"{name}: {'differs' if differences else 'up to date'}"
        yield from (f"  {harmless(line)}" for line in differences)
