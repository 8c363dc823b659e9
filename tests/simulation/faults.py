"""Which faults a world knows, and each one that strikes by its name, so that a failure can be shown in few of them.

Planned blows and users' acts are drawn when the world begins, chance faults where one may happen; each kind has
a source of chance of its own. So a world that is played again with some of its faults left out is as exact as the
first one, and `shrink` can look for the few that matter.
"""

from __future__ import annotations

import random
from collections.abc import Collection

from tests.simulation.clock import Clock

#: Faults that may strike wherever the code asks for them.
CHANCES = (
    "boss_before_commit",
    "boss_after_commit",
    "boss_in_perform",
    "commit_answer_lost",
    "worker_between_effects",
    "datastore_between_effects",
    "datastore_before_work",
    "datastore_after_work",
    "host_sends_oddly",
    "other_results",
    "cache_forgets",
    "start_fails",
    "attach_fails",
    "attach_answer_lost",
    "start_answer_lost",
    "never_boots",
    "dies_young",
    "boots_twice",
    "stop_lost",
    # Drawn after those above, whose worlds stay as they are where these are left out.
    "cloud_is_full",
    "no_host_yet",
    "turn_refused",
)


class Faults:
    """`strikes` is asked at every place where a chance fault may happen, `happens` for what was planned."""

    def __init__(self, seed: int, clock: Clock, *, calm: bool, only: Collection[str] | None = None) -> None:
        self._clock = clock
        self._only = None if only is None else frozenset(only)
        self.on = True
        self._chances = {kind: random.Random(f"{seed} {kind}") for kind in CHANCES}
        self._count = dict.fromkeys(CHANCES, 0)
        self._weights = {} if calm else _weights(random.Random(f"{seed} weights"))
        #: Name -> when it struck first (seconds of the world).
        self.struck: dict[str, float] = {}

    def strikes(self, kind: str) -> bool:
        weight = self._weights.get(kind, 0.0)
        if not self.on or not weight:
            return False
        self._count[kind] += 1
        return self._chances[kind].random() < weight and self.happens(f"{kind}#{self._count[kind]}")

    def happens(self, name: str) -> bool:
        """False: this one is left out, to see whether the failure needs it."""
        if self._only is not None and name not in self._only:
            return False
        self.struck.setdefault(name, self._clock.seconds)
        return True

    def shown(self) -> str:
        """All that struck, in order of time."""
        lines = [f"  {when:8.3f} s  {name}" for name, when in sorted(self.struck.items(), key=lambda one: one[1])]
        return "\n".join(lines) or "  none"


def _weights(chance: random.Random) -> dict[str, float]:
    """Some worlds have few kinds often, some many kinds seldom."""
    rate = chance.choice([0.0, 0.002, 0.02])
    # Instances and results are few: what may befall them must be likelier to be seen at all.
    rare = {
        "attach_fails",
        "attach_answer_lost",
        "start_fails",
        "start_answer_lost",
        "never_boots",
        "dies_young",
        "boots_twice",
        "stop_lost",
        "no_host_yet",
    }
    rare |= {"host_sends_oddly", "other_results"}
    weights = {kind: rate * (10.0 if kind in rare else 1.0) for kind in CHANCES if chance.random() < 0.5}
    # Of calls that fail: why.
    return weights | {"cloud_is_full": 0.5} if "cloud_is_full" in weights else weights
