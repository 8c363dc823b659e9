"""A provider made from a pool's settings: the entry that the boss's registry knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from boss.providers.opennebula.client import ANSWER_SECONDS, CloudClient
from boss.providers.opennebula.provider import MachineOptions, OpenNebulaProvider
from boss.providers.provider import BossServices, ProviderError
from boss.setup import PoolSetup

#: The token that calls are made with, below the state directory.
TOKEN_FILE = Path("opennebula") / "token.json"
#: What a pool's table `options` may say: what others read there (the kind of machine, for bundles), and seconds.
_OTHERS = frozenset({"machine"})
_TIMES = (
    "poll_seconds",
    "start_seconds",
    "longest_call_seconds",
    "pending_seconds",
    "unknown_seconds",
    "room_seconds",
)


def make(pool: PoolSetup, services: BossServices) -> OpenNebulaProvider:
    """Raises ProviderError: the settings do not say which cloud, account or template."""
    settings = pool.options
    client = make_client(settings, services.state_directory)
    return OpenNebulaProvider(client, options_of(pool, services.deployment), services.notify, services.bootstrap_data)


def make_client(settings: Mapping[str, Any], state_directory: Path | None) -> CloudClient:
    """`settings`: those called opennebula_*, by name. Calls use a token that is kept in the state directory; None: none
    is kept. Calls nothing yet. Raises ProviderError: endpoint, user or password is missing.
    """
    missing = [name for name in ("endpoint", "user", "password") if not settings.get(f"opennebula_{name}")]
    if missing:
        names = " and ".join(f"opennebula_{name}" for name in missing)
        raise ProviderError(f"for machines of an OpenNebula cloud the settings must say {names}")
    kept = None if state_directory is None else state_directory / TOKEN_FILE
    return CloudClient(
        settings["opennebula_endpoint"],
        settings["opennebula_user"],
        settings["opennebula_password"],
        ANSWER_SECONDS,
        kept,
    )


def options_of(pool: PoolSetup, deployment: str) -> MachineOptions:
    """How the pool's machines are made, from its settings. Raises ProviderError: an option is unknown or has a wrong
    value, or no template is named.
    """
    settings = pool.options
    given = settings.get("options") or {}
    unknown = sorted(set(given) - set(_TIMES) - _OTHERS)
    if unknown:
        raise ProviderError(
            f"[pools.{pool.name}.options]: {', '.join(unknown)} is nothing that OpenNebula machines read; there are "
            f"{', '.join(_TIMES)}"
        )
    boot_timeout = float(settings.get("boot_timeout_seconds") or 900.0)
    # A machine that no host takes is given up before its worker is missed: the reason is another one.
    times = {"pending_seconds": boot_timeout * 2 / 3, **{name: given[name] for name in _TIMES if name in given}}
    if not settings.get("template") and not _usual(settings, pool.role):
        raise ProviderError(f"pool {pool.name}: name its template in the settings (opennebula_template, or template)")
    try:
        return msgspec.convert(
            {
                "deployment": deployment,
                "pool": pool.name,
                "pools": tuple(settings.get("pools") or ()),
                "template": str(settings.get("template") or _usual(settings, pool.role)),
                "network": str(settings.get("network") or settings.get("opennebula_network") or ""),
                "disk": str(settings.get("opennebula_datastore_disk") or "") if pool.role == "datastore" else "",
                "role": "datastore" if pool.role == "datastore" else "worker",
                "deploy": str(settings.get("opennebula_mark") or ""),
                **times,
            },
            MachineOptions,
            strict=False,
        )
    except msgspec.ValidationError as error:
        raise ProviderError(f"[pools.{pool.name}.options]: {error}") from None


def _usual(settings: Mapping[str, Any], role: str) -> str:
    own = settings.get("opennebula_datastore_template") if role == "datastore" else None
    return str(own or settings.get("opennebula_template") or "")
