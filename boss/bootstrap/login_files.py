"""What a program on another host needs to take part, as the few files that are copied there.

Text only: settings in `<program>.env` (a systemd EnvironmentFile, or read by a shell with `set -a`), each secret in a
file of its own. Nothing here makes a login or writes a file.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from boss.embedded.environments import at_broker

#: Where the files are on the other host, unless said otherwise.
FOLDER = "/etc/ecloud"
_STATE = "/var/lib/ecloud"
_AUTHORITY = "broker-ca.pem"


@dataclass(frozen=True)
class Surroundings:
    """Where everything is, as other hosts see it."""

    broker_host: str
    broker_port: int
    mqtt_prefix: str
    deployment: str
    boss_url: str
    #: Certificates (PEM) that the broker's own is checked against; empty: no TLS.
    authority: str = ""


def worker_files(name: str, password: str, around: Surroundings, folder: str = FOLDER) -> dict[str, str]:
    """File name -> content."""
    variables = {
        "ECLOUD_WORKER_ID": name,
        **_broker(around),
        "ECLOUD_WORKER_PASSWORD_FILE": f"{folder}/worker.password",
        "ECLOUD_WORKER_HOME": f"{_STATE}/worker",
        "ECLOUD_WORKER_PLACE": "ssh",
    }
    options = ["ECLOUD_WORKER_ADDRESS=", "ECLOUD_WORKER_SSH_PORT=22", "ECLOUD_WORKER_SSH_USER=", "ECLOUD_SLOTS=0"]
    variables |= _authority(around, folder)
    text = _environment(f"python -m worker, worker {name}", variables, options)
    return {"worker.env": text, "worker.password": password + "\n", **_authority_file(around)}


def datastore_files(
    login: str, password: str, token: str, ssh_key: str, around: Surroundings, folder: str = FOLDER
) -> dict[str, str]:
    """File name -> content. `token`: of the boss's HTTP, good for files only; `ssh_key`: text of the private key."""
    variables = {
        **_broker(around),
        "ECLOUD_DATASTORE_USERNAME": login,
        "ECLOUD_DATASTORE_PASSWORD_FILE": f"{folder}/datastore.password",
        "ECLOUD_DATASTORE_SSH_KEY": f"{folder}/datastore.key",
        "ECLOUD_DATASTORE_HTTP_TOKEN_FILE": f"{folder}/datastore.token",
        "ECLOUD_BOSS_URL": around.boss_url,
        "ECLOUD_DATASTORE_TREE": f"{_STATE}/data",
    }
    variables |= _authority(around, folder)
    text = _environment("python -m datastore", variables, ["ECLOUD_TRANSFERS_AT_ONCE=16"])
    return {
        "datastore.env": text,
        "datastore.password": password + "\n",
        "datastore.key": ssh_key,
        "datastore.token": token + "\n",
        **_authority_file(around),
    }


def _broker(around: Surroundings) -> dict[str, str]:
    return at_broker(around.broker_host, around.broker_port, around.mqtt_prefix, around.deployment)


def _authority(around: Surroundings, folder: str) -> dict[str, str]:
    return {"ECLOUD_BROKER_TLS_CA": f"{folder}/{_AUTHORITY}"} if around.authority else {}


def _authority_file(around: Surroundings) -> dict[str, str]:
    return {_AUTHORITY: around.authority} if around.authority else {}


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
