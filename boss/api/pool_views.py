"""Pools and instances as users see them: values made of the settings, of what was learned, and of rows. Pure.

The running boss makes them of its state, in the loop's thread; where none runs they are made of the database.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from boss.api.schema import InstanceAnswer, PlanAnswer, PoolAnswer
from boss.common.units import HOUR
from boss.core.model import InstanceState
from boss.core.policy import PoolPolicy
from boss.core.pools import ENOUGH, PoolState
from boss.core.rows import InstanceRow
from boss.providers.provider import Limits

_STATES = tuple(InstanceState)


def instance_answer(row: InstanceRow) -> InstanceAnswer:
    """The instance as it is answered; times in seconds since 1970."""
    return InstanceAnswer(
        number=row.number,
        worker=row.worker,
        pool=row.pool,
        provider=row.provider,
        state=row.state,
        reference=row.reference,
        address=row.address,
        reason=row.reason,
        keep_alive=row.keep_alive,
        requested_at=row.requested_at,
        since=row.changed_at,
    )


def pool_views(
    policies: Iterable[PoolPolicy],
    learned: Mapping[str, PoolState],
    rows: Iterable[InstanceRow],
    now: float,
    wall: float,
    limits: Mapping[str, Limits],
) -> tuple[PoolAnswer, ...]:
    """Those of the settings, then those that only have instances left. `rows`: of instances that have not ended.

    `now`: seconds of the monotonic clock, as in `learned`; `wall`: seconds since 1970, as in `rows`.
    """
    by_pool: dict[str, list[InstanceRow]] = {}
    for row in rows:
        by_pool.setdefault(row.pool, []).append(row)
    of_settings = [
        _view(policy, learned.get(policy.name) or PoolState(), by_pool.pop(policy.name, []), now, wall, limits)
        for policy in policies
    ]
    return (*of_settings, *(_removed_pool(name, rows) for name, rows in sorted(by_pool.items())))


def _view(
    policy: PoolPolicy,
    known: PoolState,
    rows: list[InstanceRow],
    now: float,
    wall: float,
    limits: Mapping[str, Limits],
) -> PoolAnswer:
    running = [row.requested_at for row in rows]
    limit = limits.get(policy.name)
    grows = policy.grows()
    left = known.left_in_month(policy, wall, running)
    return PoolAnswer(
        name=policy.name,
        provider=policy.provider,
        role=policy.role,
        min=policy.min_workers,
        max=policy.max_workers,
        spare=policy.spare,
        grows=grows,
        in_settings=True,
        plan=_plan(known) if grows else PlanAnswer(reason=f"the settings keep it at {policy.min_workers}"),
        instances=_counts(rows),
        boot_seconds=known.boot(policy),
        boots_measured=len(known.boots) if len(known.boots) >= ENOUGH else 0,
        failures=known.crashes,
        failed=known.failed if known.crashes else "",
        full=known.full,
        retry_at=wall + known.not_before - now if known.not_before > now else 0.0,
        hours_spent=known.spent_in_month(wall, running) / HOUR,
        hours_left=None if left is None else left / HOUR,
        more=limit.more if limit is not None else None,
        limited_by=limit.reason if limit is not None else "",
    )


def _plan(known: PoolState) -> PlanAnswer:
    plan = known.plan
    not_more, not_fewer = plan.why_not_more, plan.why_not_fewer
    return PlanAnswer(
        reason=plan.reason,
        why_not_more=not_more.text if not_more is not None else "",
        why_not_more_kind=not_more.kind.value if not_more is not None else "",
        why_not_fewer=not_fewer.text if not_fewer is not None else "",
        why_not_fewer_kind=not_fewer.kind.value if not_fewer is not None else "",
        numbers={name: number if math.isfinite(number) else None for name, number in plan.numbers.items()},
        decided_at=known.decided_wall,
    )


def _removed_pool(name: str, rows: list[InstanceRow]) -> PoolAnswer:
    """Instances whose pool is no longer in the settings."""
    reason = f"pool {name!r} is no longer in the settings: its workers stop when they hold no task"
    return PoolAnswer(
        name=name,
        provider=rows[0].provider,
        role="workers",
        min=0,
        max=0,
        spare=0,
        grows=False,
        in_settings=False,
        plan=PlanAnswer(reason=reason),
        instances=_counts(rows),
        boot_seconds=0.0,
        boots_measured=0,
    )


def _counts(rows: list[InstanceRow]) -> dict[str, int]:
    """By state, in the order of a life; states that none is in are left out."""
    counts = {state.value: sum(row.state == state.value for row in rows) for state in _STATES}
    return {state: count for state, count in counts.items() if count}
