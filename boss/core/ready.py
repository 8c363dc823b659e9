"""The ready queue: tasks that may run and have no attempt, by what they demand of a worker.

Tasks of equal demand wait together; inside a demand the higher priority goes first, then the older batch,
then the file's order among those that share the same inputs; between such sets, and for tasks whose last input a
worker has just made, the worker that takes may choose. Taking one costs the logarithm of its lane. Entries are
not searched for when a task stops being ready: the READY flag of the task states whether an entry still counts.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

import msgspec

from boss.core.graph import READY, Batch
from boss.core.model import Profile


class _Traits(msgspec.Struct, frozen=True):
    pool: str
    labels: tuple[tuple[str, str], ...]
    slots: int
    memory: int


class Demand(_Traits, frozen=True):
    """What a worker must have to run a task."""

    def __str__(self) -> str:
        """The same for equal demands only: `slots=1 memory=0 pool= gpu=yes`."""
        labels = (f"{name}={value}" for name, value in self.labels)
        return " ".join([f"slots={self.slots}", f"memory={self.memory}", f"pool={self.pool}", *labels])

    @classmethod
    def of(cls, profile: Profile) -> Demand:
        return cls(profile.pool, tuple(sorted(profile.labels.items())), profile.slots, profile.memory)

    def fits(self, kind: Kind) -> bool:
        return (
            self.slots <= kind.slots
            and (not self.pool or self.pool == kind.pool)
            and (not kind.memory or self.memory <= kind.memory)
            and all(label in kind.labels for label in self.labels)
        )


class Kind(_Traits, frozen=True):
    """What a worker has; workers of one kind serve the same demands."""


#: (-priority, batch number, number of the set of shared inputs): lanes that differ in the last only are equally urgent.
Lane = tuple[int, int, int]
#: Digest and size of each.
Inputs = tuple[tuple[str, int], ...]
#: Given the equally urgent lanes from a position of `Waiting.order` on, the one to take from.
Choose = Callable[["Waiting", int], Lane]

#: Tasks that are remembered for one worker as being near to their inputs.
_NEAR = 4096


@dataclass(slots=True, eq=False)
class Waiting:
    """The tasks of one demand."""

    demand: Demand
    #: Tasks that count (the lanes may hold stale entries beside them).
    count: int = 0
    #: Heaps of indexes.
    lanes: dict[Lane, list[int]] = field(default_factory=dict)
    #: The lanes' keys, sorted.
    order: list[Lane] = field(default_factory=list)
    #: What the tasks of a lane share with others, where they share anything.
    inputs: dict[Lane, Inputs] = field(default_factory=dict)
    #: Worker id -> heap of tasks whose last input was made there: (-priority, batch number, index), stale ones too.
    near: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)

    def put(self, batch: Batch, index: int, priority: int, number: int = 0, inputs: Inputs = ()) -> None:
        if batch.flags[index] & READY:
            return
        batch.flags[index] |= READY
        self.count += 1
        key = (-priority, batch.number, number)
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = []
            insort(self.order, key)
            if inputs:
                self.inputs[key] = inputs
        heappush(lane, index)

    def drop(self, batch: Batch, index: int) -> None:
        """It is not ready any more; its entry goes stale."""
        if batch.flags[index] & READY:
            batch.flags[index] &= ~READY
            self.count -= 1

    def take(self, batches: dict[int, Batch], choose: Choose | None = None) -> tuple[Batch, int] | None:
        """The next one, no longer ready; None if all that wait are held."""
        while (at := self.first(batches)) is not None:
            key = self.order[at]
            if choose is not None and at + 1 < len(self.order) and self.order[at + 1][:2] == key[:2]:
                key = choose(self, at)
            lane, batch = self.lanes[key], batches.get(key[1])
            while lane:
                index = heappop(lane)
                if batch is not None and batch.flags[index] & READY:
                    self.drop(batch, index)
                    return batch, index
            self.close(key)
        return None

    def take_near(self, worker: str, batches: dict[int, Batch]) -> tuple[Batch, int] | None:
        """One whose last input this worker has made, if nothing is more urgent."""
        near = self.near.get(worker)
        at = self.first(batches) if near else None
        while near and at is not None:
            urgency, number, index = near[0]
            batch = batches.get(number)
            if batch is not None and batch.flags[index] & READY:
                if (urgency, number) > self.order[at][:2] or batch.held():
                    return None
                heappop(near)
                self.drop(batch, index)
                return batch, index
            heappop(near)
        self.near.pop(worker, None)
        return None

    def first(self, batches: dict[int, Batch]) -> int | None:
        """Position of the first lane that is not held."""
        at = 0
        while at < len(self.order):
            key = self.order[at]
            batch = batches.get(key[1])
            if batch is None or not batch.held():
                return at
            at = bisect_left(self.order, (key[0], key[1] + 1, 0))  # past all that it has of this urgency
        return None

    def close(self, key: Lane) -> None:
        del self.lanes[key]
        del self.order[bisect_left(self.order, key)]
        self.inputs.pop(key, None)


class ReadyQueue:
    """All demands."""

    def __init__(self) -> None:
        self.by_demand: dict[Demand, Waiting] = {}
        #: How often a task became ready: whether anything has, is seen by that.
        self.puts = 0
        #: Worker on which the last input of what becomes ready at present was made; empty: of no matter.
        self.made_on = ""
        #: Number of a set of shared inputs -> workers that were last sent a task with it.
        self.holders: dict[int, int] = {}
        self._of_profile: dict[int, tuple[Profile, Waiting, int]] = {}
        self._numbers: dict[Inputs, int] = {}
        self._last_number = 0

    def of(self, profile: Profile) -> Waiting:
        """Where tasks of this profile wait."""
        return self._known(profile)[1]

    def number_of(self, profile: Profile) -> int:
        """The number of its set of shared inputs; 0: it has none."""
        return self._known(profile)[2]

    def _known(self, profile: Profile) -> tuple[Profile, Waiting, int]:
        """Profiles are few and live long, so their identity serves as key."""
        found = self._of_profile.get(id(profile))
        if found is not None and found[0] is profile:
            return found
        demand = Demand.of(profile)
        waiting = self.by_demand.get(demand)
        if waiting is None:
            waiting = self.by_demand[demand] = Waiting(demand)
        if len(self._of_profile) > 10_000:
            self._of_profile.clear()
            self._numbers.clear()
        found = self._of_profile[id(profile)] = (profile, waiting, self._number(profile.inputs))
        return found

    def _number(self, inputs: Inputs) -> int:
        if not inputs:
            return 0
        number = self._numbers.get(inputs)
        if number is None:
            self._last_number += 1
            number = self._numbers[inputs] = self._last_number
        return number

    def put(self, batch: Batch, index: int) -> None:
        self.puts += 1
        profile, waiting, number = self._known(batch.profile(index))
        waiting.put(batch, index, profile.priority, number, profile.inputs)
        if self.made_on and profile.staging:
            near = waiting.near.setdefault(self.made_on, [])
            if len(near) < _NEAR:
                heappush(near, (-profile.priority, batch.number, index))

    def drop(self, batch: Batch, index: int) -> None:
        if batch.flags[index] & READY:
            self.of(batch.profile(index)).drop(batch, index)

    def forget(self, batch: Batch) -> None:
        """The batch leaves the memory: its lanes go."""
        for waiting in self.by_demand.values():
            for key in [key for key in waiting.lanes if key[1] == batch.number]:
                waiting.close(key)

    def hold(self, before: int, after: int) -> None:
        """A worker is sent tasks with other shared inputs than before; 0: with none."""
        left = self.holders.pop(before, 0) - 1
        if left > 0:
            self.holders[before] = left
        if after:
            self.holders[after] = self.holders.get(after, 0) + 1

    def forget_worker(self, worker: str, inputs: int) -> None:
        """It is gone; `inputs`: the number of what it was sent last."""
        self.hold(inputs, 0)
        for waiting in self.by_demand.values():
            waiting.near.pop(worker, None)

    def purge(self, batch: Batch, indexes: Collection[int]) -> None:
        """These are not ready and may come back with another profile: no entry of theirs, stale or not, may stay."""
        for waiting in self.by_demand.values():
            for key, lane in waiting.lanes.items():
                if key[1] == batch.number:
                    lane[:] = [index for index in lane if index not in indexes]
                    heapify(lane)
            for near in waiting.near.values():
                near[:] = [one for one in near if one[1] != batch.number or one[2] not in indexes]
                heapify(near)
