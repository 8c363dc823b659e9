"""How long tasks take: a mean and a spread for each kind of command in each pool. Pure.

A kind (`template_of`) is what tasks of one form have in common: their commands without the numbers in them, or the
network of an EPANET run and the size of its table. What ended teaches: the first ones count fully, later each counts a
tenth, so that a mean follows what changes. Before anything has ended, the user's `expect` serves, or what the same
kind took in another pool. Knows nothing of tasks and workers.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

from wire.messages import Execution

#: How long a task without `expect` is taken to run before anything was measured.
UNKNOWN_SECONDS = 30.0
#: An end counts as one of at most so many.
MEMORY = 10
#: Kinds that are remembered; beyond, those that were learned from longest ago are forgotten.
MAX_KINDS = 10_000
#: Before so many ends a spread has no meaning.
_ENOUGH = 5

K = TypeVar("K")

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?", re.IGNORECASE)


@dataclass(slots=True, eq=False)
class _Learned:
    ends: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def learn(self, seconds: float) -> None:
        self.ends += 1
        weight = 1.0 / min(self.ends, MEMORY)
        away = seconds - self.mean
        self.mean += weight * away
        self.variance = (1.0 - weight) * (self.variance + weight * away * away)


class Durations:
    """Asked once for each task that a forecast plays: a question is one access of a dictionary, or two."""

    def __init__(self) -> None:
        self._of: dict[tuple[int, str], _Learned] = {}
        #: In whatever pool.
        self._anywhere: dict[int, _Learned] = {}

    def learn(self, template: int, pool: str, seconds: float) -> None:
        """One has succeeded after so long. Nothing is learned of a task of no kind (0)."""
        if template:
            _taken(self._of, (template, pool)).learn(seconds)
            _taken(self._anywhere, template).learn(seconds)

    def seconds(self, template: int, pool: str, expect: float = 0.0) -> float:
        """`expect`: the user's guess, 0 for none."""
        found = self._of.get((template, pool)) or self._anywhere.get(template)
        return found.mean if found is not None else expect or UNKNOWN_SECONDS

    def remaining(self, template: int, pool: str, elapsed: float, expect: float = 0.0) -> float:
        """Seconds that one still takes which has run for so long."""
        found = self._of.get((template, pool)) or self._anywhere.get(template)
        spread = math.sqrt(found.variance) if found is not None and found.ends >= _ENOUGH else None
        return remaining(self.seconds(template, pool, expect), spread, elapsed)


def remaining(mean: float, spread: float | None, elapsed: float) -> float:
    """Up to the mean what is left of it. What runs longer goes on for about half as long again, as in a heavy tail;
    where all that ended took alike, no longer than they differ. `spread`: None, too few have ended.
    """
    if elapsed < mean:
        return max(1.0, mean - elapsed)
    more = elapsed / 2
    return max(1.0, more if spread is None else min(more, max(spread, 0.1 * mean)))


def template_of(execution: Execution) -> int:
    """The kind of a task, from 1; equal for tasks whose commands differ in numbers only."""
    if execution.epanet is not None:
        run = execution.epanet
        rows = run.rows[1] - run.rows[0] if run.rows else len(run.scenarios) if isinstance(run.scenarios, list) else 0
        text = f"epanet {run.inp} {max(rows, 0).bit_length()}"
    else:
        words = [each if isinstance(each, str) else "\0".join(each) for each in execution.commands]
        text = _NUMBER.sub("#", "\n".join(words))
    return int.from_bytes(blake2b(text.encode(errors="replace"), digest_size=4).digest()) or 1


def _taken(table: dict[K, _Learned], key: K) -> _Learned:
    """Moved to the end, which is forgotten last."""
    found = table.pop(key, None) or _Learned()
    if len(table) >= MAX_KINDS:
        del table[next(iter(table))]
    table[key] = found
    return found
