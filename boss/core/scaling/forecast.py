"""What will be runnable, and when: the schedule played forward on the live graph. Pure.

From the tasks that run and those that are ready, task by task, as a list scheduler with so many slots would take them.
What it costs is bounded by `max_tasks`, whatever the graph holds: what is not reached is given as a rest.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

import msgspec

#: Tasks that one forecast plays at most.
MAX_TASKS = 6_000
#: A graph with so many unfinished tasks is small enough to be played for several numbers of workers.
SMALL = 2_000
#: Waves that a forecast gives at most, about: beyond, those that open at nearly one time become one.
_MAX_WAVES = 250


class Wave(NamedTuple):
    """Work that becomes runnable at one time, in seconds from now."""

    at: float
    #: How many slots they take together: a task that takes two counts twice.
    tasks: int
    #: Expected duration of each, on one slot.
    seconds: float


class Forecast(msgspec.Struct):
    """Waves in the order of time; the first ones, at 0, are what is ready or runs now."""

    waves: list[Wave]
    #: When all that can be reached has ended; infinite where it does not end, or the forecast does before.
    end: float = math.inf


class Ready(NamedTuple):
    """Ready tasks of one expected duration, first come first."""

    tasks: Iterable[int]
    size: int
    seconds: float
    #: Slots that each takes in the pool; 0: it cannot run there.
    weight: int = 1


class Graph(NamedTuple):
    """The live graph, as functions of a task's number."""

    dependants: Callable[[int], Iterable[int]]
    #: Dependencies that have not succeeded yet.
    unmet: Callable[[int], int]
    #: Slots that a task takes in the pool that is decided about (0: it cannot run there, and takes its time elsewhere),
    #: and its expected duration.
    cost: Callable[[int], tuple[int, float]]
    #: Slots of the tasks that neither run nor are ready, and their expected seconds together.
    pending: int
    pending_seconds: float


def forecast(
    graph: Graph,
    ready: list[Ready],
    running: list[tuple[int, float]],
    slots: tuple[int, int],
    boot: float,
    max_tasks: int = MAX_TASKS,
) -> Forecast:
    """`running`: (task, seconds that it still takes). `slots`: those of now, and those from `boot` seconds on."""
    play = _Play(graph, slots, boot, max_tasks)
    for group in ready:
        play.wait(group)
    for task, seconds in running:
        play.take(task, seconds, graph.cost(task)[0], wave=True)
    play.run()
    return play.result()


class _Play:
    """The schedule so far: what runs, what waits for a slot, and the waves that follow."""

    def __init__(self, graph: Graph, slots: tuple[int, int], boot: float, max_tasks: int) -> None:
        self.graph = graph
        self.slots = slots
        self.boot = boot
        #: Ends that may still be played.
        self.left = max_tasks
        self.waves: list[Wave] = []
        #: When what runs ends: (time, task, slots that it holds).
        self.ends: list[tuple[float, int, int]] = []
        #: Slots that these hold together.
        self.held = 0
        #: Waiting for a slot.
        self.queue: deque[Ready] = deque()
        #: Task -> dependencies that have not ended yet, of those that one has ended of.
        self.unmet: dict[int, int] = {}
        #: Slots of what became ready, and their seconds together.
        self.opened = 0
        self.opened_seconds = 0.0
        self.now = 0.0

    def wait(self, group: Ready) -> None:
        """They may run from now on."""
        if group.weight:
            self.waves.append(Wave(self.now, group.size * group.weight, group.seconds))
            self.queue.append(group._replace(tasks=iter(group.tasks)))
            return
        for task in islice(group.tasks, self.left):
            self.take(task, group.seconds, 0)

    def take(self, task: int, seconds: float, weight: int, wave: bool = False) -> None:
        """It runs from now on."""
        heapq.heappush(self.ends, (self.now + seconds, task, weight))
        self.held += weight
        if wave and weight:
            self.waves.append(Wave(self.now, weight, seconds))

    def run(self) -> None:
        self._fill()
        while (self.ends or self.queue) and self.left > 0:
            if self.now < self.boot and (not self.ends or self.ends[0][0] > self.boot):
                self.now = self.boot
                self._fill()
            if not self.ends:
                return
            self.now, task, weight = heapq.heappop(self.ends)
            self.held -= weight
            self.left -= 1
            self._open(task)
            if not self.ends or self.ends[0][0] > self.now:
                self._fill()

    def result(self) -> Forecast:
        rest = self.graph.pending - self.opened
        if self.left <= 0 and rest > 0:  # what is left of the graph is the last wave
            seconds = max(0.0, self.graph.pending_seconds - self.opened_seconds) / rest
            self.waves.append(Wave(self.now, rest, seconds))
        waves = _gathered(self.waves)
        end = math.inf if self.ends or self.queue else self.now
        return Forecast(waves if len(waves) <= _MAX_WAVES else _merged(waves, self.boot), end)

    def _open(self, task: int) -> None:
        """It ends: what became runnable by that waits for a slot."""
        unmet = self.unmet
        for dependant in self.graph.dependants(task):
            left = unmet.get(dependant)
            left = (self.graph.unmet(dependant) if left is None else left) - 1
            unmet[dependant] = left
            if left == 0:
                weight, seconds = self.graph.cost(dependant)
                self.opened += weight
                self.opened_seconds += seconds * weight
                self.wait(Ready((dependant,), 1, seconds, weight))

    def _fill(self) -> None:
        """Give free slots to what waits, the first first."""
        slots = self.slots[self.now >= self.boot]
        while self.queue and (free := slots - self.held) > 0:
            group = self.queue[0]
            # One that requires more than there is runs alone: to wait for ever would hide what comes after it.
            fits = min(group.size, free // group.weight or (self.held == 0))
            if not fits:
                return
            taken = 0
            for task in islice(group.tasks, fits):
                self.take(task, group.seconds, group.weight)
                taken += 1
            if group.size > taken == fits:
                self.queue[0] = group._replace(size=group.size - taken)
            else:
                self.queue.popleft()


def _gathered(waves: list[Wave]) -> list[Wave]:
    """Waves of one time and duration as one; in the order of time."""
    found: dict[tuple[float, float], int] = {}
    for wave in waves:
        if wave.tasks:
            key = (wave.at, wave.seconds)
            found[key] = found.get(key, 0) + wave.tasks
    return [Wave(at, tasks, seconds) for (at, seconds), tasks in sorted(found.items())]


def _merged(waves: list[Wave], boot: float) -> list[Wave]:
    """The same work in few waves: those one boot away stand a fourteenth of a boot time apart, later ones further."""
    found: dict[int, Wave] = {}
    for wave in waves:
        key = int(16 * math.log1p(8 * wave.at / max(boot, 1.0)))
        before = found.get(key)
        if before is None:
            found[key] = wave
            continue
        tasks = before.tasks + wave.tasks
        seconds = (before.tasks * before.seconds + wave.tasks * wave.seconds) / tasks
        found[key] = Wave(before.at, tasks, seconds)
    return list(found.values())
