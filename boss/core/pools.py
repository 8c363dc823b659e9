"""What is learned of each pool while the boss lives: boot times, failures in a row, what was spent.

Facts and small sums; what follows from them is decided in `boss.core.scaling.scale`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from boss.core.policy import PoolPolicy
from boss.core.scaling.decide import Decision

#: Boot times that are remembered, and how many make a measurement.
BOOTS, ENOUGH = 50, 3
#: Shares of the remembered boots that were as quick or quicker.
_USUAL, _LATE = 0.8, 0.95
#: A boot that takes so many times a late one, and at least so many seconds, never ends.
_TIMES_LATE, _MIN_TIMEOUT = 3.0, 60.0
DAY = 86_400.0
#: Days of a month's budget.
MONTH_DAYS = 30


@dataclass(slots=True, eq=False)
class PoolState:
    """One pool, beside what is configured of it."""

    #: Seconds from request to hello, the newest last.
    boots: deque[float] = field(default_factory=lambda: deque(maxlen=BOOTS))
    #: Failures in a row, pauses that they made in a row (several that were requested together make one), and until
    #: when (monotonic) nothing new is started.
    crashes: int = 0
    pauses: int = 0
    not_before: float = 0.0
    #: Why the last of them failed, when it did (monotonic), and whether a machine was there that never worked.
    failed: str = ""
    failed_at: float = 0.0
    costly: bool = False
    #: Why the pool cannot grow at present (quota, no address left); empty: it can.
    full: str = ""
    #: Slots of its newest worker; 0: none has said hello yet.
    slots: int = 0
    #: Day (wall seconds // DAY) -> seconds of instances that ended on it.
    spent: dict[int, float] = field(default_factory=dict)
    #: The last decision, and when it was made.
    plan: Decision = field(default_factory=lambda: Decision(reason="nothing was decided yet"))
    decided_wall: float = 0.0

    def learn_boot(self, seconds: float) -> None:
        self.boots.append(max(0.0, seconds))

    def serves(self, asked_at: float, now: float) -> None:
        """One serves that was requested then (monotonic). Nothing is held back any more, if that is a sign about the
        last failure: machines that do boot do, those that were made before the provider refused one do not.
        """
        if self.crashes and not self.costly and asked_at <= self.failed_at:
            return
        self.crashes = self.pauses = 0
        self.full = ""
        self.not_before = min(self.not_before, now)

    def started_one(self, now: float) -> None:
        """The provider made one: if it was full, it no longer is."""
        if self.full:
            self.full = ""
            self.pauses = 0
            self.not_before = min(self.not_before, now)

    def boot(self, policy: PoolPolicy) -> float:
        """Seconds from a request to the hello, as long as most take."""
        return _quantile(self.boots, _USUAL) if len(self.boots) >= ENOUGH else policy.boot

    def boot_timeout(self, policy: PoolPolicy) -> float:
        """Seconds after which a hello is waited for no more: as configured, sooner once boots were measured."""
        if len(self.boots) < ENOUGH:
            return policy.boot_timeout
        return min(policy.boot_timeout, max(_MIN_TIMEOUT, _TIMES_LATE * _quantile(self.boots, _LATE)))

    def ended(self, wall: float, seconds: float) -> None:
        """One of its instances is over after so long."""
        day = int(wall // DAY)
        self.spent[day] = self.spent.get(day, 0.0) + max(0.0, seconds)
        for old in [each for each in self.spent if each <= day - MONTH_DAYS]:
            del self.spent[old]

    def spent_in_month(self, wall: float, running: Iterable[float]) -> float:
        """Seconds of instances in the last 30 days. `running`: since when (wall) those run that are not over."""
        first = int(wall // DAY) - MONTH_DAYS
        over = sum(seconds for day, seconds in self.spent.items() if day > first)
        return over + sum(max(0.0, wall - since) for since in running)

    def left_in_month(self, policy: PoolPolicy, wall: float, running: Iterable[float]) -> float | None:
        """Seconds that the month's budget leaves; None: there is none."""
        if policy.month_budget is None:
            return None
        return max(0.0, policy.month_budget - self.spent_in_month(wall, running))


def _quantile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]
