"""What a boss reads of the settings, as values. Knows no file and no default that a setting has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from boss.common.units import HOUR
from boss.core.policy import LOCAL, Policy, PoolPolicy
from boss.embedded.ports import HOST
from wire.tls import TlsOptions

#: Providers whose instances work in a directory that outlives them.
_KEEP_HOME = (LOCAL, "static")


class PoolSetup(msgspec.Struct, frozen=True, kw_only=True):
    """One pool, as the settings describe it."""

    name: str
    provider: str
    role: Literal["workers", "datastore"] = "workers"
    #: Never more instances than this.
    max: int
    #: Settings of the pool and of its provider, by name (`configuration.pools`; for a cloud its address and login).
    options: Mapping[str, Any] = {}


class Setup(msgspec.Struct, kw_only=True):
    """What the program reads of the settings."""

    state_directory: Path
    tree: Path
    #: The configured address of the datastore; empty: none, or an operator has set another one.
    configured_datastore: str = ""
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
    #: Of the description of one task in it.
    task_limit_bytes: int = 1024**2
    #: How long the journal is kept; 0: for ever.
    journal_days: float = 30.0
    #: Environment of every worker and of the datastore beside what this program sets.
    child_environment: Mapping[str, str] = {}
    #: Stop when no client follows any more (a boss that a push started).
    while_followed: bool = False

    def own_workers(self) -> list[str]:
        """Ids of the workers that this boss may start itself."""
        return [
            f"{pool.name}-{number}"
            for pool in self.policy.pools
            if pool.provider == LOCAL
            for number in range(1, pool.max_workers + 1)
        ]


def make_pools(values: Any) -> list[tuple[PoolPolicy, PoolSetup]]:
    """`values`: the settings."""
    made = [_of_settings(values, pool) for pool in values.pools.values()]
    if values.local_workers:
        made.insert(0, _local(values))
    return made


def _local(values: Any) -> tuple[PoolPolicy, PoolSetup]:
    workers = values.local_workers
    policy = PoolPolicy(
        name=LOCAL,
        provider=LOCAL,
        min_workers=workers,
        max_workers=workers,
        boot=2.0,
        orphan_after=values.orphan_after_seconds,
        slots=values.slots,
        cost=0.0,  # this machine runs anyway
    )
    return policy, PoolSetup(name=LOCAL, provider=LOCAL, max=workers)


def _of_settings(values: Any, pool: Any) -> tuple[PoolPolicy, PoolSetup]:
    policy = PoolPolicy(
        name=pool.name,
        provider=pool.provider,
        role=pool.role,
        min_workers=pool.min,
        max_workers=pool.max,
        spare=pool.spare,
        cost_weight=pool.cost_weight,
        idle=pool.idle_seconds,
        month_budget=pool.vm_hours_month * HOUR or None,
        batch_budget=pool.vm_hours_batch * HOUR or None,
        boot=pool.boot_seconds,
        boot_timeout=pool.boot_timeout_seconds,
        orphan_after=pool.orphan_after_seconds,
        slots=pool.slots,
        max_slots=_max_slots(pool),
        labels=pool.labels,
        cost=pool.cost,
        priority=pool.priority,
        keeps_home=pool.provider in _KEEP_HOME,
        init_network=pool.init_network,
    )
    of_the_cloud = {shown.name: getattr(values, shown.name) for shown in values.show() if _is_cloud(shown.name)}
    tables = {"labels": pool.labels, "hosts": pool.hosts, "options": pool.options, "pools": tuple(values.pools)}
    options = {**of_the_cloud, **pool.values, **tables}
    return policy, PoolSetup(name=pool.name, provider=pool.provider, role=pool.role, max=pool.max, options=options)


def _max_slots(pool: Any) -> int:
    """Of the pool's workers, where all of them are known: hosts may state their own. 0: as the policy says."""
    own = [host.get("slots", 0) if isinstance(host, dict) else 0 for host in pool.hosts]
    slots = [each or pool.slots for each in own if isinstance(each, int)] or [pool.slots]
    return max(slots) if all(slots) else 0


def _is_cloud(name: str) -> bool:
    return name.startswith("opennebula_")
