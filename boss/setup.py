"""What a boss needs of the settings, as values. Knows no file and no default that a setting has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from boss.core.policy import LOCAL, Policy
from boss.embedded.ports import HOST
from boss.providers.provider import PoolSetup
from wire.link import TlsOptions


class Setup(msgspec.Struct, kw_only=True):
    """What the program needs of the settings."""

    state_directory: Path
    tree: Path
    #: The datastore's address, as the settings say; empty: they do not.
    datastore_said: str = ""
    #: The host of the datastore's program, for sentences; empty: the boss starts it itself.
    datastore_host: str = ""
    database: str
    http_host: str = "127.0.0.1"
    http_port: int = 0
    token: str = ""
    broker_host: str = ""
    broker_port: int = 0
    broker_username: str = "boss"
    broker_password: str = ""
    broker_tls: TlsOptions | None = None
    embedded_broker: str | None = None
    #: Where the boss's own broker listens beside loopback.
    broker_listen: str = HOST
    #: What other hosts call this machine; empty: by its host name.
    boss_address: str = ""
    mqtt_prefix: str = "ecloud"
    policy: Policy
    #: What makes the workers of each pool of the policy; the boss's own processes are the pool `local`.
    pools: tuple[PoolSetup, ...] = ()
    slots: int = 1
    spool_limit_bytes: int = 100 * 1024**3
    submit_limit_bytes: int = 4 * 1024**3
    #: How long the journal is kept; 0: for ever.
    journal_days: float = 30.0
    #: Environment of every worker and of the datastore beside what this program sets.
    child_environment: Mapping[str, str] = {}
    #: End when nobody follows any more (a boss that a push started).
    while_followed: bool = False

    def own_workers(self) -> list[str]:
        """Ids of the workers that this boss may start itself."""
        return [
            f"{pool.name}-{number}"
            for pool in self.policy.pools
            if pool.provider == LOCAL
            for number in range(1, pool.most + 1)
        ]
