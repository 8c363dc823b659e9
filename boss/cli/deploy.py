"""admin.py's commands about a deployment at a cloud: deploy, tear down, templates. None requires a boss."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boss.cli.command import AsJson, ExitCode, Register, show, stop, write, write_json
from boss.cli.format_machines import deployed_lines, difference_lines, plan_lines, torn_down_lines
from boss.cli.target import LoadedSettings, Target
from boss.cli.terminal import harmless

if TYPE_CHECKING:  # paramiko, pyone and jinja2 take their time, which every other command would wait for
    from boss.deploy.deploying import Deployed
    from boss.providers.opennebula.client import CloudClient


class Action(StrEnum):
    render = "render"
    register = "register"
    diff = "diff"


def add_deploy_commands(command: Register, target: Target) -> None:
    @command("deploy", "deploy")
    def deploy(
        another: Annotated[
            bool, typer.Option("--another", help="Even if this account has a boss of another state directory.")
        ] = False,
        password_goes_along: Annotated[
            bool,
            typer.Option(
                "--password_goes_along", help="Where the cloud gives no login tokens, give the boss the password."
            ),
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Create the boss's machine at the configured cloud, or go on with it. Safe to repeat: never makes a second."""
        with _at_the_cloud(target) as (home, values):
            answer = _deploy(home, values, another, password_goes_along)
        show(answer, deployed_lines, as_json)

    @command("teardown", "teardown --yes")
    def teardown(
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
        datastore_disk: Annotated[
            str, typer.Option("--datastore_disk", metavar="NAME", help="Remove this disk of the datastore as well.")
        ] = "",
        mark: Annotated[str, typer.Option("--mark", help="Of a deployment that another state directory made.")] = "",
        as_json: AsJson = False,
    ) -> None:
        """Show what deploy and its boss have made at the cloud, ask, and remove all of it; the disk only if named."""
        with _at_the_cloud(target) as (home, values):
            _teardown(home, values, mark, datastore_disk, as_json, lambda: yes or _agreed())

    @command("templates", "templates render worker")
    def templates(
        action: Annotated[Action, typer.Argument(metavar="render|register|diff", show_default=False)],
        names: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="NAME", help="worker, boss, datastore; to render: mosquitto.conf, mosquitto.acl too."
            ),
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Templates for the cloud's admin: print them filled in, register them, or print what differs there."""
        with _at_the_cloud(target) as (home, values):
            _templates(action, names or [], values, home, as_json)


# --- deploy ------------------------------------------------------------------------------------------


def _deploy(home: Path, values: LoadedSettings, another: bool, password_goes_along: bool) -> Deployed:
    from boss.bootstrap.bundle import BundleError, Bundles
    from boss.deploy.deploying import Deploy
    from boss.deploy.errors import DeployError
    from boss.deploy.record import opened

    if not (values.opennebula_boss_template or values.opennebula_template):
        raise DeployError("name the template of the machines in the settings: opennebula_template (admin.py templates)")
    bundles = Bundles(home)

    def bundle_for(python: str, machine: str) -> tuple[Path, str]:
        try:
            made = bundles.build("boss", python, machine)
        except BundleError as error:
            raise DeployError(str(error)) from None
        return made.path, made.digest

    with opened(home, values.opennebula_endpoint, values.opennebula_user, make=True) as kept:
        assert kept is not None
        work = Deploy(kept, _cloud_client(values, home), values, bundle_for, _print)
        return work.run(home, another=another, password_goes_along=password_goes_along)


# --- teardown ----------------------------------------------------------------------------------------


def _teardown(
    home: Path, values: LoadedSettings, mark: str, disk: str, as_json: bool, agreed: Callable[[], bool]
) -> None:
    from boss.deploy import teardown
    from boss.deploy.deploying import DEPLOYED_FILE
    from boss.deploy.errors import DeployError
    from boss.deploy.record import opened

    with opened(home, values.opennebula_endpoint, values.opennebula_user, make=False) as kept:
        if kept is not None and mark in ("", kept.record.mark):
            mark, own = kept.record.mark, kept
        elif mark:
            own = None
        else:
            raise DeployError(
                "nothing was deployed from this state directory; --mark names a deployment of another one"
            )
        client = _cloud_client(values, home)
        wanted = teardown.plan(client, mark, disk)
        if not as_json:
            write(plan_lines(wanted))
            sys.stdout.flush()  # the question and the progress are on stderr
        if (wanted.machines or wanted.disk) and not agreed():
            stop(ExitCode.BAD_INPUT, "nothing was removed")
        teardown.remove(client, own, wanted, _print)
        if own is not None:
            (home / DEPLOYED_FILE).unlink(missing_ok=True)
        if own is not None or kept is None:  # else what was deployed from here is still there
            _end_login(client)
    write_json(wanted) if as_json else write(torn_down_lines(wanted))


def _agreed() -> bool:
    sys.stderr.write("Remove this? Type yes: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() == "yes"


# --- templates ---------------------------------------------------------------------------------------


def _templates(action: Action, names: list[str], values: LoadedSettings, home: Path, as_json: bool) -> None:
    from boss.deploy import templates

    wanted = names or list(templates.OF_THE_CLOUD)
    if action is Action.render:
        texts = {name: templates.render(name, values) for name in wanted}
        write_json(texts) if as_json else sys.stdout.write("\n".join(texts.values()))
        return
    if others := [name for name in wanted if name in templates.FILES]:
        stop(ExitCode.BAD_INPUT, f"{', '.join(others)}: a file of the broker's machine; it is only rendered")
    client = _cloud_client(values, home)
    if action is Action.register:
        lines = []
        for line in templates.register(client, values, wanted):
            lines.append(line)
            if not as_json:
                write([harmless(line)])
        if as_json:
            write_json(lines)
        return
    found = templates.diff(client, values, wanted)
    show(found, difference_lines, as_json)
    if any(found.values()):
        raise SystemExit(int(ExitCode.TASKS_FAILED))


# --- parts -------------------------------------------------------------------------------------------


def _cloud_client(values: LoadedSettings, home: Path) -> CloudClient:
    """The account of the settings. Raises DeployError."""
    from boss.deploy.errors import DeployError
    from boss.providers.opennebula.make import make_client
    from boss.providers.provider import ProviderError

    try:
        options = {
            shown.name: getattr(values, shown.name) for shown in values.show() if shown.name.startswith("opennebula_")
        }
        client = make_client(options, home)
    except ProviderError as error:
        raise DeployError(str(error)) from None
    client.keep_login()
    return client


def _end_login(client: CloudClient) -> None:
    """Of a command after which no other is to be expected: an account has few tokens."""
    from boss.deploy.teardown import TOKENS
    from boss.providers.opennebula.errors import CloudError

    try:
        client.end_login()
    except CloudError as error:
        _print(f"The login token of this state directory stays until it expires ({error}). {TOKENS}")


@contextmanager
def _at_the_cloud(target: Target) -> Iterator[tuple[Path, LoadedSettings]]:
    """The state directory and its settings. What fails at the cloud ends the program with a sentence."""
    from boss.bootstrap.ssh_keys import KeyFileError
    from boss.deploy.errors import DeployError
    from boss.providers.opennebula.errors import CloudError

    home = target.made_state_directory()
    values = target.settings(home)
    try:
        yield home, values
    except CloudError as error:
        later = "; the same command goes on where this one stopped" if error.kind in ("away", "unclear") else ""
        stop(ExitCode.NO_BOSS, f"{error}{later}")
    except (DeployError, KeyFileError) as error:
        stop(ExitCode.NO_BOSS, str(error))
    except OSError as error:
        stop(ExitCode.NO_BOSS, f"{error.filename or 'the state directory'}: {error.strerror or error}")


def _print(line: str) -> None:
    sys.stderr.write(f"{harmless(line)}\n")
    sys.stderr.flush()
