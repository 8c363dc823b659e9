"""How many workers a pool should have: one decision, a value with its reason and its numbers. Pure.

More workers end a study sooner and cost a boot each. With n runnable tasks and c slots the work is taken for a fluid
that min(n, c) slots drain; a number k of new workers then has an end F(k) and a cost k x boot. The k with the smallest

    k x boot + price x F(k)

is started, where `price` says how many worker-seconds a second of waiting is worth: it comes from
`cost_weight` (0 as fast as the limit allows, 1 as cheap as can be). For a flat ensemble of W slot-seconds on workers of
s slots this is k = sqrt(price x W / (s x boot)). Nothing is started before its work is a boot away, and what has none
within the time that stopping and booting it again would take is stopped.

A fluid does not see that a stage of 13 tasks on 12 slots takes twice as long as on 16. So for small graphs the schedule
itself is played for the numbers that the fluid finds cheapest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from boss.core.reasons import NotFewer, NotFewerKind, NotMore, NotMoreKind
from boss.core.scaling.forecast import Wave

#: Numbers of new workers that are compared.
_CANDIDATES = 40
#: A wave counts as near if it opens within so much more than one boot time: until the next decision.
_MARGIN = 0.25
#: Numbers of new workers for which a schedule is played at most.
_PLAYS = 4

#: Number of new workers -> when all would be done.
Ends = Callable[[int], float]


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """What is configured and measured of a pool. Seconds."""

    slots: int
    min_workers: int = 0
    max_workers: int
    #: Kept ready beyond the demand.
    spare: int = 0
    #: How long a worker takes from the request to its first task.
    boot: float
    #: How long a worker without work is kept where nothing is known to come.
    idle: float = 60.0
    #: 0: as fast as the limit allows; 1: as cheap as can be.
    cost_weight: float = 0.25
    #: Worker-seconds that may still be spent; None: no limit.
    budget: float | None = None
    #: Why the pool cannot grow at present (quota, no address left); empty: it can.
    full: str = ""
    #: How many may be requested now, and why not more than these; None: as many as the limit allows.
    at_once: int | None = None
    why_at_once: NotMore | None = None
    #: How users know `max_workers`; empty: as it is here.
    limit: str = ""


class Supply(msgspec.Struct, frozen=True, kw_only=True):
    """The workers that there are."""

    #: Serving, and at work.
    busy: int = 0
    #: Serving, without work: (worker, seconds since), longest first.
    idle: list[tuple[str, float]] = msgspec.field(default_factory=list)
    #: Seconds until each of those that boot will serve.
    booting: list[float] = msgspec.field(default_factory=list)

    @property
    def size(self) -> int:
        return self.busy + len(self.idle) + len(self.booting)


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision."""

    start: int = 0
    stop: list[str] = msgspec.field(default_factory=list)
    reason: str
    #: None: nothing is against it.
    why_not_more: NotMore | None = None
    why_not_fewer: NotFewer | None = None
    numbers: dict[str, float] = msgspec.field(default_factory=dict)


def decide(waves: list[Wave], pool: Pool, supply: Supply, ends: Ends | None = None) -> Decision:
    """`waves`: what is and becomes runnable, in the order of time (`forecast`). `ends`: by the schedule
    itself, where the graph is small enough to be played so often; else the fluid serves.
    """
    now = _course(waves, pool, supply, 0)
    required = _required(waves, pool, supply, now, ends)
    start = max(required, pool.min_workers + _spare(pool, now) - supply.size, 0)
    limited, why_not_more = _limited(start, required, pool, supply, now)
    numbers = {
        "runnable_slots": now.peak(0.0, 0.0),
        "needed_after_boot": now.peak(pool.boot, pool.boot * (1 + _MARGIN)),
        "boot_seconds": pool.boot,
        "end_seconds": now.end,
        "workers": float(supply.size),
    }
    if limited > 0:
        numbers["end_seconds_with_start"] = _course(waves, pool, supply, limited).end
        return Decision(
            start=limited,
            reason=f"{limited} more end the work {_in(numbers['end_seconds_with_start'])} instead of {_in(now.end)}",
            why_not_more=why_not_more,
            why_not_fewer=NotFewer(NotFewerKind.WORTH_IT, f"each of them is worth its {pool.boot:.0f} s of boot"),
            numbers=numbers,
        )
    stop, why_not_fewer = _to_stop(pool, supply, now)
    if stop:
        reason = f"{len(stop)} have no work within {_keep(pool):.0f} s"
    else:
        reason = (
            f"{start} more are required, none can be requested now" if start else "the pool has as many as it requires"
        )
    return Decision(stop=stop, reason=reason, why_not_more=why_not_more, why_not_fewer=why_not_fewer, numbers=numbers)


def _in(seconds: float) -> str:
    return f"in {seconds:.0f} s" if seconds < math.inf else "never"


# --- how the work goes with so many workers --------------------------------------------------------


class _Piece(NamedTuple):
    """From `at` on so many slots are demanded."""

    at: float
    slots: float


class _Course(NamedTuple):
    """How the workers work off the waves."""

    pieces: list[_Piece]
    #: When the work that belongs together is done: up to a pause that is longer than stopping and booting again.
    end: float

    def peak(self, first: float, last: float) -> float:
        """The most slots that are demanded at once between these times."""
        highest = 0.0
        for index, piece in enumerate(self.pieces):
            until = self.pieces[index + 1].at if index + 1 < len(self.pieces) else math.inf
            if piece.at <= last and until > first:
                highest = max(highest, piece.slots)
        return highest


def _course(waves: list[Wave], pool: Pool, supply: Supply, more: int) -> _Course:
    """The fluid: work drains through as many slots as there are, but no faster than there are tasks."""
    serving = (supply.busy + len(supply.idle)) * pool.slots
    grows = sorted([*supply.booting, *[pool.boot] * more])
    left = tasks = now = end = 0.0
    pieces: list[_Piece] = []
    position = 0
    while True:
        while position < len(waves) and waves[position].at <= now + 1e-9:
            wave = waves[position]
            position += 1
            left += wave.tasks * wave.seconds
            tasks += wave.tasks
        while grows and grows[0] <= now + 1e-9:
            grows.pop(0)
            serving += pool.slots
        pieces.append(_Piece(now, tasks))
        next_time = min(waves[position].at if position < len(waves) else math.inf, grows[0] if grows else math.inf)
        if tasks <= 1e-9:
            if position == len(waves) or waves[position].at - now > _keep(pool):
                return _Course(pieces, end)
            now = waves[position].at
            continue
        if serving <= 0:
            if next_time == math.inf:
                return _Course(pieces, math.inf)
            now = next_time
            continue
        now, tasks, left = _drained(now, tasks, left, serving, next_time)
        end = now


def _drained(now: float, tasks: float, left: float, serving: int, next_time: float) -> tuple[float, float, float]:
    """The next time at which the rate changes, at the latest `next_time`; tasks, and their seconds, that are left then.

    Above the slots the queue shrinks; below them all run, and end within one task's time.
    """
    mean = left / tasks
    until = now + ((tasks - serving) * mean / serving if tasks > serving else mean)
    until = max(until, now + 1e-6)
    step = min(until, next_time) - now
    done = min(left, min(tasks, serving) * step)
    left -= done
    if tasks > serving:
        tasks = max(float(serving), tasks - done / mean) if until <= next_time else tasks - done / mean
    elif until <= next_time:
        left = tasks = 0.0
    return now + step, tasks, left


# --- how many ---------------------------------------------------------------------------------------


def _required(waves: list[Wave], pool: Pool, supply: Supply, now: _Course, ends: Ends | None) -> int:
    """New workers that pay for themselves."""
    near = now.peak(pool.boot, pool.boot * (1 + _MARGIN))
    useful = min(math.ceil(near / pool.slots - 1e-9), pool.max_workers) - supply.size
    if useful <= 0:
        return 0
    price = price_of(pool.cost_weight, pool.max_workers)

    def cost(more: int, end: float) -> float:
        return more * pool.boot + (price * end if price else (0.0 if end < math.inf else math.inf))

    guesses = sorted((cost(more, _course(waves, pool, supply, more).end), more) for more in _candidates(useful))
    played = _cheapest_played(guesses, lambda more: cost(more, ends(more))) if ends is not None else None
    return guesses[0][1] if played is None else played


def _cheapest_played(guesses: list[tuple[float, int]], cost: Callable[[int], float]) -> int | None:
    """The fluid is hardly ever slower than the schedule: what is dearer by it than the cheapest is not played."""
    best, cheapest = None, math.inf
    for guess, more in guesses[:_PLAYS]:
        if guess >= cheapest:
            break
        found = cost(more)
        if found < cheapest:
            best, cheapest = more, found
    return best


def price_of(cost_weight: float, max_workers: int) -> float:
    """Worker-seconds that a second is worth. 0 -> practically any number, 0.5 -> as many as there may be, 1 -> none."""
    weight = min(1.0, max(0.0, cost_weight))
    if weight >= 1.0:
        return 0.0
    return max_workers * min(1e6, ((1.0 - weight) / max(weight, 1e-6)) ** 2)


def _candidates(useful: int) -> list[int]:
    if useful <= _CANDIDATES:
        return list(range(useful + 1))
    return sorted({round(useful * part / _CANDIDATES) for part in range(_CANDIDATES + 1)} | set(range(5)))


def _spare(pool: Pool, now: _Course) -> int:
    """Warm spares beyond the demand."""
    if not pool.spare:
        return 0
    needed = math.ceil(now.peak(0.0, pool.boot) / pool.slots)
    return max(0, min(pool.max_workers, needed + pool.spare) - pool.min_workers)


def _limited(start: int, required: int, pool: Pool, supply: Supply, now: _Course) -> tuple[int, NotMore | None]:
    """What limits leave of it, and why it is not more."""
    free = max(0, pool.max_workers - supply.size)
    limit = NotMore(NotMoreKind.LIMIT, f"the pool has its limit of {pool.limit or pool.max_workers}")
    caps: list[tuple[int, NotMore | None]] = [(free, limit)]
    if pool.full:
        caps.insert(0, (0, NotMore(NotMoreKind.CANNOT_GROW, f"the pool cannot grow at present: {pool.full}")))
    if pool.budget is not None:
        affordable = max(0, int(pool.budget // max(pool.boot, 1e-9)))
        caps.append(
            (affordable, NotMore(NotMoreKind.BUDGET, f"the budget leaves {pool.budget / 3600:.2f} worker-hours"))
        )
    if pool.at_once is not None:
        caps.append((pool.at_once, pool.why_at_once))
    allowed, why = min(caps, key=lambda cap: cap[0])
    if start > allowed:
        return allowed, why
    if start >= free:
        return free, limit if now.peak(0.0, 0.0) > 0 or start > 0 else None
    if required > 0:
        return start, NotMore(
            NotMoreKind.NOT_WORTH_IT, f"one more would save less than its {pool.boot:.0f} s of boot cost"
        )
    near = now.peak(pool.boot, pool.boot * (1 + _MARGIN))
    boot = f"in one boot time ({pool.boot:.0f} s)"
    if near:
        return start, NotMore(NotMoreKind.ENOUGH, f"{boot} {near:.0f} slots will be required, and those are there")
    return start, NotMore(NotMoreKind.NO_WORK, f"{boot} there will be no work")


def _keep(pool: Pool) -> float:
    """A worker whose next work is this far away is kept."""
    return pool.boot + pool.idle


def _to_stop(pool: Pool, supply: Supply, now: _Course) -> tuple[list[str], NotFewer | None]:
    """Idle ones that no work will require in time, longest idle first. Never one at work."""
    soon = math.ceil(now.peak(0.0, _keep(pool)) / pool.slots - 1e-9)
    kept = max(soon + pool.spare, pool.min_workers)
    ripe = [worker for worker, seconds in supply.idle if seconds >= pool.idle]
    stop = ripe[: max(0, supply.size - kept)]
    if len(stop) == supply.size:
        return stop, None
    if supply.size - len(stop) <= kept:
        if soon:
            return stop, NotFewer(NotFewerKind.WANTED_SOON, f"{soon} will be required within {_keep(pool):.0f} s")
        return stop, NotFewer(NotFewerKind.MINIMUM, f"the pool keeps {kept}")
    if len(supply.idle) > len(ripe):
        return stop, NotFewer(
            NotFewerKind.JUST_IDLE, f"the others have been without work for less than {pool.idle:.0f} s"
        )
    return stop, NotFewer(NotFewerKind.BUSY, "the others work")
