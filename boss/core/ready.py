"""The ready queue: tasks that may run and have no attempt, by what they demand of a worker.

Tasks of equal demand wait together; inside a demand the higher priority goes first, then the older batch,
then the file's order. Taking one costs the logarithm of its lane. Entries are not searched for when a
task stops being ready: the READY flag of the task says whether an entry still counts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from heapq import heapify, heappop, heappush

import msgspec

from boss.core.graph import READY, Batch
from boss.core.model import Profile


class Demand(msgspec.Struct, frozen=True):
    """What a worker must have to run a task."""

    pool: str
    labels: tuple[tuple[str, str], ...]
    slots: int
    memory: int

    @classmethod
    def of(cls, profile: Profile) -> Demand:
        return cls(profile.pool, tuple(sorted(profile.labels.items())), profile.slots, profile.memory)

    def fits(self, kind: Kind) -> bool:
        return (
            self.slots <= kind.slots
            and (not self.pool or self.pool == kind.pool)
            and (not kind.memory or self.memory <= kind.memory)
            and all(kind.label(name) == value for name, value in self.labels)
        )


class Kind(msgspec.Struct, frozen=True):
    """What a worker has; workers of one kind serve the same demands."""

    pool: str
    labels: tuple[tuple[str, str], ...]
    slots: int
    memory: int

    def label(self, name: str) -> str | None:
        for own, value in self.labels:
            if own == name:
                return value
        return None


class Waiting:
    """The tasks of one demand."""

    __slots__ = ("count", "demand", "lanes", "order", "seconds")

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        #: Tasks that count (the lanes may hold stale entries beside them).
        self.count = 0
        #: (-priority, batch number) -> heap of indexes.
        self.lanes: dict[tuple[int, int], list[int]] = {}
        #: The lanes' keys, sorted; made anew when a lane comes or goes.
        self.order: list[tuple[int, int]] = []
        #: Moving mean of how long such a task executes; None until one has.
        self.seconds: float | None = None

    def put(self, batch: Batch, index: int, priority: int) -> None:
        if batch.flags[index] & READY:
            return
        batch.flags[index] |= READY
        self.count += 1
        key = (-priority, batch.number)
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = []
            self.order = sorted(self.lanes)
        heappush(lane, index)

    def drop(self, batch: Batch, index: int) -> None:
        """It is not ready any more; its entry goes stale."""
        if batch.flags[index] & READY:
            batch.flags[index] &= ~READY
            self.count -= 1

    def take(self, batches: dict[int, Batch]) -> tuple[Batch, int] | None:
        """The next one, no longer ready; None if all that wait are held."""
        for key in self.order:
            batch = batches.get(key[1])
            if batch is not None and batch.held():
                continue
            lane = self.lanes[key]
            while lane:
                index = heappop(lane)
                if batch is not None and batch.flags[index] & READY:
                    batch.flags[index] &= ~READY
                    self.count -= 1
                    return batch, index
            del self.lanes[key]
            self.order = sorted(self.lanes)
            return self.take(batches)
        return None

    def learn(self, seconds: float) -> None:
        """One of them took so long."""
        self.seconds = seconds if self.seconds is None else self.seconds + 0.1 * (seconds - self.seconds)


class ReadyQueue:
    """All demands."""

    def __init__(self) -> None:
        self.by_demand: dict[Demand, Waiting] = {}
        self._of_profile: dict[int, tuple[Profile, Waiting]] = {}

    def of(self, profile: Profile) -> Waiting:
        """Where tasks of this profile wait. Profiles are few and live long, so their identity serves as key."""
        found = self._of_profile.get(id(profile))
        if found is not None and found[0] is profile:
            return found[1]
        demand = Demand.of(profile)
        waiting = self.by_demand.get(demand)
        if waiting is None:
            waiting = self.by_demand[demand] = Waiting(demand)
        if len(self._of_profile) > 10_000:
            self._of_profile.clear()
        self._of_profile[id(profile)] = (profile, waiting)
        return waiting

    def put(self, batch: Batch, index: int) -> None:
        profile = batch.profile(index)
        self.of(profile).put(batch, index, profile.priority)

    def drop(self, batch: Batch, index: int) -> None:
        if batch.flags[index] & READY:
            self.of(batch.profile(index)).drop(batch, index)

    def forget(self, batch: Batch) -> None:
        """The batch leaves the memory: its lanes go."""
        for waiting in self.by_demand.values():
            keys = [key for key in waiting.lanes if key[1] == batch.number]
            for key in keys:
                del waiting.lanes[key]
            if keys:
                waiting.order = sorted(waiting.lanes)

    def purge(self, batch: Batch, indexes: Collection[int]) -> None:
        """These are not ready and may come back with another profile: no entry of theirs, stale or not, may stay."""
        for waiting in self.by_demand.values():
            for key, lane in waiting.lanes.items():
                if key[1] == batch.number:
                    lane[:] = [index for index in lane if index not in indexes]
                    heapify(lane)

    def count(self, fits: Callable[[Demand], bool] | None = None) -> int:
        return sum(w.count for w in self.by_demand.values() if fits is None or fits(w.demand))
