"""A simulated pool: workers that boot, tasks that run on their slots, a policy that is asked every few seconds."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.elastic.studies import Study

#: Seconds between two questions to the policy.
ASKED_EVERY = 5.0


@dataclass(frozen=True)
class Site:
    """The pool's limits, and how its workers boot."""

    slots: int = 4
    max_workers: int = 25
    boot: float = 60.0
    #: Each boot takes between (1 - spread) and (1 + spread) times as long.
    spread: float = 0.25


@dataclass
class Worker:
    name: str
    requested: float
    ready: float
    free: int
    idle_since: float = 0.0
    stopped: float | None = None


@dataclass
class View:
    """What a policy may know."""

    now: float
    site: Site
    #: Ready tasks in their order.
    ready: deque[int]
    #: Running: task -> when it began.
    running: dict[int, float]
    serving: list[Worker]
    booting: list[Worker]
    study: Study
    #: Kind -> mean duration so far.
    learned: dict[int, float]
    unmet: list[int]
    dependants: list[list[int]]
    arrived: int
    done: int
    pending: int

    def seconds(self, task: int) -> float:
        """What is known of how long it takes."""
        return self.learned.get(self.study.kind[task], self.study.expected[task])

    def idle(self) -> list[Worker]:
        found = [each for each in self.serving if each.free == self.site.slots]
        return sorted(found, key=lambda each: each.idle_since)


#: How many to start, and which idle ones to stop.
Answer = tuple[int, list[str]]
Policy = Callable[[View], Answer]


@dataclass
class Outcome:
    makespan: float
    worker_seconds: float
    started: int
    decisions: int = 0
    trace: list[tuple[float, int]] = field(default_factory=list)


def play(study: Study, policy: Policy, site: Site, seed: int) -> Outcome:
    """One study under one policy, to its end and the last worker's."""
    return _Cloud(study, policy, site, random.Random(seed)).run()


class _Cloud:
    def __init__(self, study: Study, policy: Policy, site: Site, draw: random.Random) -> None:
        self.study, self.policy, self.site, self.draw = study, policy, site, draw
        count = len(study.seconds)
        self.unmet = [len(needs) for needs in study.needs]
        self.dependants: list[list[int]] = [[] for _ in range(count)]
        for task, needs in enumerate(study.needs):
            for need in needs:
                self.dependants[need].append(task)
        self.ready: deque[int] = deque()
        self.running: dict[int, float] = {}
        self.on: dict[int, Worker] = {}
        self.ends: list[tuple[float, int]] = []
        self.arrivals = deque(sorted(range(count), key=study.arrives.__getitem__))
        self.workers: list[Worker] = []
        self.learned: dict[int, float] = {}
        self.done = self.arrived = self.decisions = 0
        self.now = 0.0
        self.last_end = 0.0

    def run(self) -> Outcome:
        count = len(self.study.seconds)
        asked = 0.0
        while True:
            self._arrive()
            self._boot()
            self._finish()
            self._assign()
            if self.now >= asked:
                self._ask()
                asked = self.now + ASKED_EVERY
                self._assign()
            alive = [each for each in self.workers if each.stopped is None]
            if self.done == count and not alive:
                break
            times = [asked]
            if self.ends:
                times.append(self.ends[0][0])
            times += [each.ready for each in alive if each.ready > self.now]
            if self.arrivals:
                times.append(self.study.arrives[self.arrivals[0]])
            self.now = max(self.now, min(times))
            if self.now > 10 * 86400:
                raise RuntimeError(f"{self.study.name}: no end in ten days")
        used = sum((each.stopped or 0.0) - each.requested for each in self.workers)
        return Outcome(self.last_end, used, len(self.workers), self.decisions)

    def _arrive(self) -> None:
        while self.arrivals and self.study.arrives[self.arrivals[0]] <= self.now:
            task = self.arrivals.popleft()
            self.arrived += 1
            if self.unmet[task] == 0:
                self.ready.append(task)

    def _boot(self) -> None:
        for worker in self.workers:
            if worker.stopped is None and worker.idle_since < 0 and worker.ready <= self.now:
                worker.idle_since = self.now

    def _finish(self) -> None:
        while self.ends and self.ends[0][0] <= self.now:
            _, task = heapq.heappop(self.ends)
            began = self.running.pop(task)
            worker = self.on.pop(task)
            worker.free += 1
            if worker.free == self.site.slots:
                worker.idle_since = self.now
            self.done += 1
            self.last_end = self.now
            kind, took = self.study.kind[task], self.now - began
            mean = self.learned.get(kind)
            self.learned[kind] = took if mean is None else mean + 0.1 * (took - mean)
            for dependant in self.dependants[task]:
                self.unmet[dependant] -= 1
                if self.unmet[dependant] == 0 and self.study.arrives[dependant] <= self.now:
                    self.ready.append(dependant)

    def _assign(self) -> None:
        """Onto the fullest worker that has a free slot, so that others become idle as a whole."""
        if not self.ready:
            return
        free = sorted((each for each in self._serving() if each.free), key=lambda each: (each.free, each.name))
        for worker in free:
            while worker.free and self.ready:
                task = self.ready.popleft()
                worker.free -= 1
                self.running[task] = self.now
                self.on[task] = worker
                heapq.heappush(self.ends, (self.now + self.study.seconds[task], task))

    def _serving(self) -> list[Worker]:
        return [each for each in self.workers if each.stopped is None and each.ready <= self.now]

    def _ask(self) -> None:
        self.decisions += 1
        booting = [each for each in self.workers if each.stopped is None and each.ready > self.now]
        view = View(
            self.now, self.site, self.ready, self.running, self._serving(), booting, self.study, self.learned,
            self.unmet, self.dependants, self.arrived, self.done,
            self.arrived - self.done - len(self.running) - len(self.ready),
        )  # fmt: skip
        start, stop = self.policy(view)
        alive = len(view.serving) + len(booting)
        for _ in range(min(start, self.site.max_workers - alive)):
            boot = self.site.boot * self.draw.uniform(1 - self.site.spread, 1 + self.site.spread)
            name = f"w{len(self.workers) + 1:04d}"
            self.workers.append(Worker(name, self.now, self.now + boot, self.site.slots, idle_since=-1.0))
        for worker in view.serving:
            if worker.name in stop and worker.free == self.site.slots:
                worker.stopped = self.now
