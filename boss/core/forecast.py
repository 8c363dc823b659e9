"""What will be runnable, and when: the schedule played forward on the live graph. Pure.

From the tasks that run and those that are ready, task by task, as a list scheduler with so many slots would take them.
What it costs is bounded by `most` tasks, whatever the graph holds: what is not reached is told as a rest.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

#: Tasks that one forecast plays at most.
MOST = 20_000


class Wave(NamedTuple):
    """Work that becomes runnable at one time, in seconds from now."""

    at: float
    tasks: int
    #: Expected duration of each, on one slot.
    seconds: float


class Forecast(msgspec.Struct):
    """Waves in the order of time; the first ones, at 0, are what is ready or runs now."""

    waves: list[Wave]
    #: True: the graph goes on behind the last wave; what is left of it is that wave.
    cut: bool = False


class Ready(NamedTuple):
    """Ready tasks of one expected duration, first come first."""

    tasks: Iterable[int]
    size: int
    seconds: float


class Graph(NamedTuple):
    """The live graph, as functions of a task's number."""

    dependants: Callable[[int], Iterable[int]]
    #: Dependencies that have not succeeded yet.
    unmet: Callable[[int], int]
    seconds: Callable[[int], float]
    #: Tasks that neither run nor are ready, and their expected seconds together.
    pending: int
    pending_seconds: float


def forecast(
    graph: Graph,
    ready: list[Ready],
    running: list[tuple[int, float]],
    slots: tuple[int, int],
    boot: float,
    most: int = MOST,
) -> Forecast:
    """`running`: (task, seconds that it still takes). `slots`: those of now, and those from `boot` seconds on."""
    play = _Play(graph, slots, boot, most)
    for group in ready:
        play.queue.append((iter(group.tasks), group.size, group.seconds))
        play.waves.append(Wave(0.0, group.size, group.seconds))
    for task, seconds in running:
        play.waves.append(Wave(0.0, 1, seconds))
        heapq.heappush(play.ends, (seconds, task))
    play.run()
    return play.result()


class _Play:
    def __init__(self, graph: Graph, slots: tuple[int, int], boot: float, most: int) -> None:
        self.graph = graph
        self.slots = slots
        self.boot = boot
        self.left = most
        self.waves: list[Wave] = []
        #: When what runs ends.
        self.ends: list[tuple[float, int]] = []
        #: Waiting for a slot: tasks, how many of them, seconds of each.
        self.queue: deque[tuple[Iterable[int], int, float]] = deque()
        self.unmet: dict[int, int] = {}
        self.opened = 0
        self.opened_seconds = 0.0
        self.now = 0.0

    def run(self) -> None:
        self._fill()
        while (self.ends or self.queue) and self.left > 0:
            if self.now < self.boot and (not self.ends or self.ends[0][0] > self.boot):
                self.now = self.boot
                self._fill()
                if not self.ends:
                    return
                continue
            self.now, task = heapq.heappop(self.ends)
            self.left -= 1
            self._open(task)
            if not self.ends or self.ends[0][0] > self.now:
                self._fill()

    def result(self) -> Forecast:
        rest = self.graph.pending - self.opened
        cut = self.left <= 0 and rest > 0
        if cut:
            seconds = max(0.0, self.graph.pending_seconds - self.opened_seconds) / rest
            self.waves.append(Wave(self.now, rest, seconds))
        return Forecast(_gathered(self.waves), cut)

    def _open(self, task: int) -> None:
        """It ends: what became runnable by that waits for a slot."""
        unmet = self.unmet
        for dependant in self.graph.dependants(task):
            left = unmet.get(dependant)
            left = (self.graph.unmet(dependant) if left is None else left) - 1
            unmet[dependant] = left
            if left == 0:
                seconds = self.graph.seconds(dependant)
                self.opened += 1
                self.opened_seconds += seconds
                self.waves.append(Wave(self.now, 1, seconds))
                self.queue.append((iter((dependant,)), 1, seconds))

    def _fill(self) -> None:
        """Give free slots to what waits."""
        free = self.slots[self.now >= self.boot] - len(self.ends)
        while free > 0 and self.queue:
            tasks, count, seconds = self.queue.popleft()
            taken = 0
            for task in tasks:
                heapq.heappush(self.ends, (self.now + seconds, task))
                taken += 1
                if taken == free:
                    break
            free -= taken
            if count > taken > 0:
                self.queue.appendleft((tasks, count - taken, seconds))


def _gathered(waves: list[Wave]) -> list[Wave]:
    """Waves of one time and duration as one; in the order of time."""
    found: dict[tuple[float, float], int] = {}
    for wave in waves:
        if wave.tasks:
            key = (wave.at, wave.seconds)
            found[key] = found.get(key, 0) + wave.tasks
    return [Wave(at, tasks, seconds) for (at, seconds), tasks in sorted(found.items())]
