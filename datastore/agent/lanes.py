"""Lanes: who may be served next. Pure, and it knows only keys.

A lane is one worker and one direction. At most one transfer of a lane is under way; what is asked meanwhile waits
and rides with the next (natural batching). Over all lanes at most `limit` transfers run; lanes with waiting work
take turns, each transfer taking what waits in its lane.
"""

from __future__ import annotations

from collections import deque
from typing import Literal, NamedTuple

from wire.messages import AttemptKey

#: Attempts of one transfer, so that one lane's flood does not hold a turn for ever.
MAX_ATTEMPTS = 1_000

Direction = Literal["stage", "collect"]


class Lane(NamedTuple):
    worker: str
    direction: Direction


class Transfer(NamedTuple):
    number: int
    lane: Lane
    keys: list[AttemptKey]


class Lanes:
    def __init__(self, limit: int) -> None:
        self.limit = limit
        #: What waits in each lane, in order of arrival (a dict serves as an ordered set).
        self.waiting: dict[Lane, dict[AttemptKey, None]] = {}
        #: Lanes with waiting work and no transfer, each once, the longest waiting first.
        self.turns: deque[Lane] = deque()
        self.running: dict[int, Transfer] = {}
        self.busy: set[Lane] = set()
        self._last = 0

    def add(self, lane: Lane, key: AttemptKey) -> None:
        waiting = self.waiting.setdefault(lane, {})
        if not waiting and lane not in self.busy:
            self.turns.append(lane)
        waiting[key] = None

    def remove(self, lane: Lane, key: AttemptKey) -> None:
        """Take back what waits."""
        waiting = self.waiting[lane]
        del waiting[key]
        if not waiting:
            del self.waiting[lane]
            if lane not in self.busy:
                self.turns.remove(lane)

    def start_next(self, held: frozenset[Direction] = frozenset()) -> Transfer | None:
        """The next transfer, begun, or None: nothing waits, the limit is reached, or only `held` directions wait."""
        if len(self.running) >= self.limit:
            return None
        for _ in range(len(self.turns)):
            lane = self.turns.popleft()
            if lane.direction not in held:
                return self._start(lane)
            self.turns.append(lane)
        return None

    def _start(self, lane: Lane) -> Transfer:
        waiting = self.waiting.pop(lane)
        keys = list(waiting)
        rest = keys[MAX_ATTEMPTS:]
        if rest:
            self.waiting[lane] = dict.fromkeys(rest)
        self._last += 1
        transfer = Transfer(self._last, lane, keys[:MAX_ATTEMPTS])
        self.running[transfer.number] = transfer
        self.busy.add(lane)
        return transfer

    def end(self, number: int) -> Transfer | None:
        transfer = self.running.pop(number, None)
        if transfer is not None:
            self.busy.discard(transfer.lane)
            if transfer.lane in self.waiting:
                self.turns.append(transfer.lane)
        return transfer
