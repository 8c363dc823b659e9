"""Study graphs with arrivals and durations. Values only; the same seed makes the same study."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

#: A task with so many dependencies or dependants is a waist.
_MANY = 10


@dataclass
class Study:
    """Tasks are numbered from 0. Seconds everywhere."""

    name: str
    #: How long each takes; no policy sees it before the task has ended.
    seconds: list[float] = field(default_factory=list)
    #: What is said of it before any of its kind has ended.
    expected: list[float] = field(default_factory=list)
    #: Tasks of one kind (command template) take alike.
    kind: list[int] = field(default_factory=list)
    needs: list[tuple[int, ...]] = field(default_factory=list)
    arrives: list[float] = field(default_factory=list)

    def add(
        self, seconds: float, needs: tuple[int, ...] = (), kind: int = 0, at: float = 0.0, expected: float = 30.0
    ) -> int:
        self.seconds.append(seconds)
        self.needs.append(needs)
        self.kind.append(kind)
        self.arrives.append(at)
        self.expected.append(expected)
        return len(self.seconds) - 1

    def min_makespan(self, first: float, capacity: int) -> float:
        """No earlier end is possible with so many slots, if nothing runs before `first`: tasks in a row, and where many
        meet or part, the work before or behind that on all slots.
        """
        dependants: list[list[int]] = [[] for _ in self.seconds]
        ends, tails = [0.0] * len(self.seconds), [0.0] * len(self.seconds)
        for task, needs in enumerate(self.needs):
            begin = max([first, self.arrives[task], *(ends[need] for need in needs)])
            if len(needs) >= _MANY:
                begin = max(begin, first + self._work(task, self.needs) / capacity)
            ends[task] = begin + self.seconds[task]
            for need in needs:
                dependants[need].append(task)
        for task in reversed(range(len(self.seconds))):
            tails[task] = max((tails[each] + self.seconds[each] for each in dependants[task]), default=0.0)
            if len(dependants[task]) >= _MANY:
                tails[task] = max(tails[task], self._work(task, dependants) / capacity)
        rows = max(end + tail for end, tail in zip(ends, tails, strict=True))
        return max(rows, first + sum(self.seconds) / capacity)

    def _work(self, task: int, arrows: Sequence[Sequence[int]]) -> float:
        """Of all that these arrows lead to."""
        found, new = set(), list(arrows[task])
        while new:
            each = new.pop()
            if each not in found:
                found.add(each)
                new += arrows[each]
        return sum(self.seconds[each] for each in found)


def wide(random: random.Random) -> Study:
    """A flat ensemble."""
    study = Study("wide")
    for _ in range(2000):
        study.add(random.uniform(20.0, 40.0))
    return study


def wide_narrow_wide(random: random.Random) -> Study:
    """An ensemble, its evaluation by one task after another, an ensemble about what was found."""
    study = Study("wide-narrow-wide")
    first = [study.add(random.uniform(20.0, 40.0)) for _ in range(800)]
    middle = study.add(60.0, tuple(first), kind=1)
    for _ in range(4):
        middle = study.add(60.0, (middle,), kind=1)
    for _ in range(800):
        study.add(random.uniform(20.0, 40.0), (middle,), kind=2)
    return study


def chain(random: random.Random) -> Study:
    """A calibration: long steps in a row, each with some runs beside it."""
    study = Study("chain with side work")
    link: tuple[int, ...] = ()
    for _ in range(30):
        step = study.add(random.uniform(50.0, 70.0), link, kind=1)
        for _ in range(12):
            study.add(random.uniform(20.0, 40.0), (step,), kind=0)
        link = (step,)
    return study


def day(random: random.Random) -> Study:
    """Small batches over a working day."""
    study = Study("batches over a day")
    at = 0.0
    while at < 8 * 3600.0:
        for _ in range(random.randint(20, 120)):
            study.add(random.uniform(10.0, 60.0), at=at)
        at += random.expovariate(1 / 1200.0)
    return study


def heavy(random: random.Random) -> Study:
    """A few take very much longer than most."""
    study = Study("heavy-tailed")
    for _ in range(1500):
        study.add(min(1500.0, 10.0 * random.paretovariate(1.3)))
    return study


def unknown(random: random.Random) -> Study:
    """What is expected is wrong by an order of magnitude."""
    study = Study("unknown durations")
    for _ in range(600):
        study.add(random.uniform(200.0, 400.0), expected=30.0)
    return study


STUDIES = (wide, wide_narrow_wide, chain, day, heavy, unknown)
