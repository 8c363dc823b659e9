"""From settings to a boss that answers: the steps of `admin.py deploy`, in order, each safe to repeat.

Killed between any two of them, the same command finds what is there and goes on; it never makes a second boss.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from boss.client.client import Client, ClientError, RequestRefusedError
from boss.common.private_files import write_private
from boss.deploy import settings_text
from boss.deploy.errors import DeployError
from boss.deploy.install import BundleFor, install, log_tail
from boss.deploy.made import Clock, Maker
from boss.deploy.record import Kept
from boss.deploy.remote import BossHost, log_in
from boss.providers.opennebula.client import CloudClient
from boss.providers.opennebula.errors import CloudError
from boss.providers.opennebula.machines import DEPLOY, owner_and_name

#: Of the boss's login token at the cloud; a deploy in its second half makes a new one. The boss renews its own.
TOKEN_SECONDS = 30 * 86400
#: How long the machine may take to run, to let us in, and its boss to answer.
RUNNING_SECONDS, LOGIN_SECONDS, ANSWER_SECONDS = 900.0, 600.0, 180.0
#: Where the boss is, for the user's commands: read before settings.toml of the state directory.
DEPLOYED_FILE = "deployed.toml"


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """What the user learns of the boss that runs now."""

    machine: int
    address: str
    url: str
    token: str
    host_key: str
    #: Image of the datastore's disk; empty: the settings name a datastore of their own.
    disk: str


class Deploy:
    """One run. `say` gets progress, a line each; `bundle_for` makes the boss's program."""

    def __init__(
        self,
        kept: Kept,
        client: CloudClient,
        values: Any,
        bundle_for: BundleFor,
        say: Callable[[str], None],
        clock: Clock | None = None,
    ) -> None:
        """`values`: the user's settings."""
        self._kept = kept
        self._client = client
        self._values = values
        self._bundle_for = bundle_for
        self._say = say
        self._clock = clock or Clock()

    def run(self, state_directory: Path, *, another: bool = False, password_goes_along: bool = False) -> Deployed:
        """Raises DeployError, CloudError."""
        values, record = self._values, self._kept.record
        secret = self._cloud_secret(password_goes_along)
        if not values.datastore_host:
            self._ensure_disk()
        name = values.opennebula_boss_template or values.opennebula_template
        maker = Maker(self._kept, self._client, self._say, self._clock)
        maker.ensure(name, values.opennebula_network, RUNNING_SECONDS, another=another)
        text = settings_text.boss_settings(values, record.address, record.mark)
        files = {
            settings_text.HTTP_TOKEN: record.http_token + "\n",
            settings_text.CLOUD_TOKEN: secret + "\n",
            f"{settings_text.FOLDER}/settings.toml": text,
        }
        url = f"http://{record.address}:{values.http_port or settings_text.HTTP_PORT}"
        with log_in(self._kept, LOGIN_SECONDS, self._say, self._clock) as remote:
            install(remote, files, self._bundle_for, self._say)
            self._wait_for_answer(url, remote)
        _write_for_clients(state_directory / DEPLOYED_FILE, url, record.http_token)
        return Deployed(
            machine=record.machine or 0,
            address=record.address,
            url=url,
            token=record.http_token,
            host_key=record.host_key,
            disk=record.disk,
        )

    # --- what the boss needs of the cloud ----------------------------------------------------------------

    def _cloud_secret(self, password_goes_along: bool) -> str:
        """A token, so that no password gets to a machine of the cloud."""
        record, now = self._kept.record, self._clock.wall()
        former = record.cloud_token
        if former and not self._client.accepts(former):  # an administrator may have removed it
            former = ""
        if former and record.cloud_token_until - now > TOKEN_SECONDS / 2:
            return former
        try:
            made = self._client.make_token(TOKEN_SECONDS)
        except CloudError as error:
            if error.kind in ("login", "away", "unclear"):
                raise
            if password_goes_along:
                return str(self._values.opennebula_password)
            raise DeployError(
                f"the cloud gives no login token for the boss ({error}). An account has at most ten: those that are "
                "not needed any more are removed by `oneuser token-delete TOKEN`, or in Sunstone under Settings, Auth. "
                "Where opennebula_password is a token already, or may lie on the boss's machine, use "
                "--password_goes_along"
            ) from None
        record.cloud_token, record.cloud_token_until = made, now + TOKEN_SECONDS
        self._kept.save()
        if former:
            try:
                self._client.drop_token(former)
            except CloudError:
                pass  # it expires
        return made

    def _ensure_disk(self) -> None:
        values, record = self._values, self._kept.record
        owner, name = owner_and_name(values.opennebula_datastore_disk)
        if not owner and not any(name == image.NAME for image in self._client.images()):
            megabytes = -(-values.opennebula_datastore_disk_bytes // 1_000_000)
            self._say(f"Making the datastore's disk {name} ({megabytes / 1000:g} GB) ...")
            text = (
                f'NAME = "{name}"\nTYPE = "DATABLOCK"\nPERSISTENT = "YES"\nSIZE = "{megabytes}"\n'
                f'{DEPLOY} = "{record.mark}"\nDESCRIPTION = "Results of ecloud. Never deleted but by name."\n'
            )
            self._client.make_image(text)
        if record.disk != values.opennebula_datastore_disk:
            record.disk = values.opennebula_datastore_disk
            self._kept.save()

    # --- the answer --------------------------------------------------------------------------------------

    def _wait_for_answer(self, url: str, remote: BossHost) -> None:
        until = self._clock.wall() + ANSWER_SECONDS
        self._say(f"Waiting for {url} ...")
        boss = Client(url, self._kept.record.http_token)
        try:
            while True:
                try:
                    boss.status()
                    return
                except RequestRefusedError as error:
                    raise DeployError(f"the boss at {url} refuses: {error}") from None
                except ClientError as error:
                    if self._clock.wall() >= until:
                        raise DeployError(
                            f"the boss at {url} does not answer ({error}). The end of its log:\n{log_tail(remote)}"
                        ) from None
                self._clock.sleep(1.0)
        finally:
            boss.close()


def _write_for_clients(path: Path, url: str, token: str) -> None:
    write_private(
        path,
        "# Written by admin.py deploy: the boss that it made. admin.py teardown takes it away; settings.toml beside\n"
        f'# it wins over it.\nboss_url = "{url}"\ntoken = "{token}"\n',
    )
