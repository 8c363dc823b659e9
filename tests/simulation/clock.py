"""Virtual time: a heap of things to happen, and one source of chance per world."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

#: Where virtual time begins: not at nought, so that nothing rests on that.
START = 1000.0


class Clock:
    """`at` plans, `step` lets the next thing happen. Everything that is random comes from `random`."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = START
        self.steps = 0
        self._order = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (self.now + max(0.0, seconds), self._order, call))

    def step(self) -> bool:
        """False: nothing is planned any more."""
        if not self._heap:
            return False
        when, _, call = heapq.heappop(self._heap)
        self.now = max(self.now, when)
        self.steps += 1
        call()
        return True

    @property
    def seconds(self) -> float:
        """Since the world began."""
        return self.now - START

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def between(self, low: float, high: float) -> float:
        return self.random.uniform(low, high)


class Alarm:
    """One machine's next deadline: planned again whenever it moves earlier."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._set_for: float | None = None

    def set(self, when: float | None) -> None:
        if when is None or (self._set_for is not None and self._set_for <= when):
            return
        self._set_for = when
        # A little late, never early: clocks with offsets round, and an alarm before its time rings for ever.
        self._clock.after(max(0.0, when - self._clock.now) + 1e-6, lambda: self._due(when))

    def _due(self, when: float) -> None:
        if self._set_for == when:
            self._set_for = None
            self._ring()
