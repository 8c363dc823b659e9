"""The settings of the boss on its machine, as the text of its settings.toml: what the user's own settings say, and
where it is. Pure; knows no secret but the database's and the broker's, which the user put into the settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boss.deploy.listed import DATASTORE

HTTP_PORT, BROKER_PORT = 8080, 1883
#: Where the secrets are, there.
FOLDER = "/etc/ecloud"
HTTP_TOKEN, CLOUD_TOKEN = f"{FOLDER}/http.token", f"{FOLDER}/opennebula.token"
#: The boss's state directory (templates/ecloud-boss-machine.service).
STATE = "/var/lib/ecloud/.ecloud"
#: About the user's own machine, or set below.
_NOT_PASSED_ON = frozenset(
    "boss_url token http_host http_port boss_address broker_listen broker_port opennebula_password opennebula_mark "
    "local_workers".split()
)


def boss_settings(values: Any, address: str, mark: str) -> str:
    """`values`: the user's settings."""
    said = {shown.name: getattr(values, shown.name) for shown in values.show() if _passed_on(values, shown.name)}
    said |= {
        "boss_address": address,
        "http_host": "0.0.0.0",
        "http_port": values.http_port or HTTP_PORT,
        "token_file": HTTP_TOKEN,
        "opennebula_password_file": CLOUD_TOKEN,
        "opennebula_mark": mark,
        "local_workers": 0,
    }
    if not values.broker_host:
        said |= {"broker_listen": "0.0.0.0", "broker_port": values.broker_port or BROKER_PORT}
    lines = ["# Written by admin.py deploy from the settings of who deployed; the next deploy writes it again."]
    lines += [f"{name} = {_toml(value)}" for name, value in sorted(said.items())]
    for pool in values.pools.values():
        lines += ["", f"[pools.{pool.name}]", *_pool_lines(pool)]
    if not values.datastore_host and not any(pool.role == DATASTORE for pool in values.pools.values()):
        lines += ["", f"[pools.{DATASTORE}]", f'role = "{DATASTORE}"']
    return "\n".join([*lines, ""])


def _passed_on(values: Any, name: str) -> bool:
    if name in _NOT_PASSED_ON or name.startswith("pools.") or values.origin(name) == "default":
        return False
    return not isinstance(getattr(values, name), Path)  # of the user's machine


def _pool_lines(pool: Any) -> list[str]:
    said = {name: pool.values[name] for name in pool.values if name in pool.origins}
    tables = {name: getattr(pool, name) for name in ("labels", "hosts", "options") if name in pool.origins}
    return [
        f"{name} = {_toml(value)}" for name, value in sorted({**said, **tables}.items()) if not isinstance(value, Path)
    ]


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(str(key))} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
