"""The pools of the settings as values: what the scheduler needs of each, and what its provider is made from."""

from __future__ import annotations

from typing import Any

from boss.core.policy import LOCAL, PoolPolicy
from boss.providers.provider import PoolSetup

_HOUR = 3600.0
#: Providers whose instances work in a directory that outlives them.
_KEEP_HOME = (LOCAL, "static")


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
        least=workers,
        most=workers,
        boot=2.0,
        orphan_after=values.orphan_after_seconds,
        slots=values.slots,
        cost=0.0,  # this machine is there anyway
    )
    return policy, PoolSetup(name=LOCAL, provider=LOCAL, most=workers)


def _of_settings(values: Any, pool: Any) -> tuple[PoolPolicy, PoolSetup]:
    policy = PoolPolicy(
        name=pool.name,
        provider=pool.provider,
        role=pool.role,
        least=pool.min,
        most=pool.max,
        spare=pool.spare,
        thrift=pool.thrift,
        idle=pool.idle_seconds,
        month_budget=pool.vm_hours_month * _HOUR or None,
        batch_budget=pool.vm_hours_batch * _HOUR or None,
        boot=pool.boot_seconds,
        boot_timeout=pool.boot_timeout_seconds,
        orphan_after=pool.orphan_after_seconds,
        slots=pool.slots,
        labels=pool.labels,
        cost=pool.cost,
        priority=pool.priority,
        keeps_home=pool.provider in _KEEP_HOME,
        init_network=pool.init_network,
    )
    of_the_cloud = {shown.name: getattr(values, shown.name) for shown in values.show() if _is_cloud(shown.name)}
    tables = {"labels": pool.labels, "hosts": pool.hosts, "options": pool.options, "pools": tuple(values.pools)}
    options = {**of_the_cloud, **pool.values, **tables}
    setup = PoolSetup(name=pool.name, provider=pool.provider, role=pool.role, most=pool.max, options=options)
    return policy, setup


def _is_cloud(name: str) -> bool:
    return name.startswith("opennebula_")
