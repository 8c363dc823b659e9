"""What a program on another host needs to log in, as the few files that are copied there.

Text only: settings in `<program>.env` (a systemd EnvironmentFile, or read by a shell with `set -a`), each secret in a
file of its own. Nothing here writes a file on that host.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from boss.api.schema import LOGIN_FOLDER
from boss.bootstrap.addresses import Addresses
from boss.bootstrap.ssh_keys import DATASTORE as DATASTORE_KEY
from boss.bootstrap.ssh_keys import key_path
from boss.core.policy import Grant
from boss.embedded.broker_logins import BrokerLogins
from boss.embedded.environments import at_broker
from boss.embedded.passwords import DATASTORE, DATASTORE_LOGIN
from boss.state_directory.tokens import DATASTORE_TOKEN_FILE, ensure_token

_STATE = "/var/lib/ecloud"
_CERTIFICATES = "broker-ca.pem"


class LoginFiles:
    """Those of this deployment. All calls are safe from any thread."""

    def __init__(self, state_directory: Path, addresses: Addresses, logins: BrokerLogins) -> None:
        self._state_directory = state_directory
        self._addresses = addresses
        self._logins = logins

    def of(self, name: str, folder: str = LOGIN_FOLDER, grant: Grant | None = None) -> dict[str, str]:
        """File name -> content, for a worker or `datastore`; `folder`: where they will be on the other host. `grant`:
        what the worker is to state.

        Its password is made if there is none; the broker learns nothing by this. Raises HttpError, OSError.
        """
        folder = folder.rstrip("/") or "/"
        certificates = self._addresses.broker_certificates()
        if name != DATASTORE:
            login = self._logins.login(name, "worker")
            return worker_files(login.username, login.password, self._addresses, certificates, folder, grant)
        login = self._logins.login(DATASTORE_LOGIN, "datastore")
        token = ensure_token(self._state_directory, DATASTORE_TOKEN_FILE)
        key = key_path(self._state_directory, DATASTORE_KEY).read_text(encoding="ascii")
        return datastore_files(login.username, login.password, token, key, self._addresses, certificates, folder)


def worker_files(
    name: str,
    password: str,
    addresses: Addresses,
    certificates: str = "",
    folder: str = LOGIN_FOLDER,
    grant: Grant | None = None,
) -> dict[str, str]:
    """File name -> content. `certificates`: PEM that the broker's own is checked against; empty: none of its own.
    `grant`: what the worker is to state."""
    variables = {
        "ECLOUD_WORKER_ID": name,
        **_broker(addresses),
        "ECLOUD_WORKER_PASSWORD_FILE": f"{folder}/worker.password",
        "ECLOUD_WORKER_HOME": f"{_STATE}/worker",
        "ECLOUD_WORKER_PLACE": "ssh",
        **_granted(grant or Grant()),
    }
    options = ["ECLOUD_WORKER_ADDRESS=", "ECLOUD_WORKER_SSH_PORT=22", "ECLOUD_WORKER_SSH_USER=", "ECLOUD_SLOTS=0"]
    variables |= _certificates(certificates, folder)
    text = _environment(f"python -m worker, worker {name}", variables, options)
    return {"worker.env": text, "worker.password": password + "\n", **_certificates_file(certificates)}


def datastore_files(
    login: str,
    password: str,
    token: str,
    ssh_key: str,
    addresses: Addresses,
    certificates: str = "",
    folder: str = LOGIN_FOLDER,
) -> dict[str, str]:
    """File name -> content. `token`: of the boss's HTTP, good for files only; `ssh_key`: text of the private key."""
    variables = {
        **_broker(addresses),
        "ECLOUD_DATASTORE_USERNAME": login,
        "ECLOUD_DATASTORE_PASSWORD_FILE": f"{folder}/datastore.password",
        "ECLOUD_DATASTORE_SSH_KEY": f"{folder}/datastore.key",
        "ECLOUD_DATASTORE_HTTP_TOKEN_FILE": f"{folder}/datastore.token",
        "ECLOUD_BOSS_URL": addresses.boss_url,
        "ECLOUD_DATASTORE_TREE": f"{_STATE}/data",
    }
    variables |= _certificates(certificates, folder)
    text = _environment("python -m datastore", variables, ["ECLOUD_TRANSFERS_AT_ONCE=16"])
    return {
        "datastore.env": text,
        "datastore.password": password + "\n",
        "datastore.key": ssh_key,
        "datastore.token": token + "\n",
        **_certificates_file(certificates),
    }


def _granted(grant: Grant) -> dict[str, str]:
    variables = {"ECLOUD_POOL": grant.pool} if grant.pool else {}
    if grant.labels:
        variables["ECLOUD_LABELS"] = json.dumps(grant.labels, sort_keys=True)
    return variables


def _broker(addresses: Addresses) -> dict[str, str]:
    return at_broker(addresses.broker_host, addresses.broker_port, addresses.mqtt_prefix, addresses.deployment)


def _certificates(certificates: str, folder: str) -> dict[str, str]:
    return {"ECLOUD_BROKER_TLS_CA": f"{folder}/{_CERTIFICATES}"} if certificates else {}


def _certificates_file(certificates: str) -> dict[str, str]:
    return {_CERTIFICATES: certificates} if certificates else {}


def _environment(what: str, variables: Mapping[str, str], options: list[str]) -> str:
    """Values are quoted where they need it, as both a shell and systemd read them."""
    return "\n".join(
        [
            f'# For {what}: made by admin.py login, see docs/operating.md, "Several machines".',
            *(f"{name}={shlex.quote(value)}" for name, value in variables.items()),
            "# What may be set besides:",
            *(f"#{option}" for option in options),
            "",
        ]
    )
