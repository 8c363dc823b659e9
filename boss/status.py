"""What keeps pools from being as large as the work wants: a sentence each, for people. Reads the state."""

from __future__ import annotations

import time

from boss.core.ready import Demand
from boss.core.scaling.demand import kind_of
from boss.core.state import State


def pool_hindrances(state: State) -> dict[str, str]:
    """What it is about -> the sentence, whose numbers may change while it lasts."""
    found = {}
    waiting = [each for each in state.ready.by_demand.values() if each.count]
    for name, known in state.pools.items():
        paused = known.not_before > state.now
        if not (known.full or known.crashes > 1) or not (paused or waiting):
            continue  # a single failure is tried again within seconds
        again = f"it is tried again {_when(state, known.not_before)}" if paused else "it is tried again by itself"
        if known.full:
            found[f"pool {name}"] = f"pool {name} cannot grow, work goes on with what is there: {known.full}; {again}"
        else:
            found[f"pool {name}"] = f"pool {name}: {known.crashes} starts in a row failed: {known.failed}; {again}"
    for name in sorted(state.by_pool.keys() - state.pools.keys()):
        left = len(state.by_pool[name])
        if left:
            found[f"pool {name}"] = (
                f"the settings have no pool {name!r} any more: {_workers(left)} of it "
                f"{'ends' if left == 1 else 'end'} when nothing is in hand there"
            )
    there = {worker.kind.pool for worker in state.workers.values() if worker.serves()}
    for name in sorted({each.demand.pool for each in waiting} - there - state.pools.keys() - {""}):
        count = sum(each.count for each in waiting if each.demand.pool == name)
        known_names = ", ".join(state.pools) or "none"
        found[f"no pool {name}"] = (
            f"{count} queued tasks want the pool {name!r}: the settings have no such pool (there are: {known_names}), "
            "and no worker says that it is of it"
        )
    return found


def suits_a_pool(state: State, demand: Demand) -> bool:
    """A pool that grows would start workers that can run it."""
    return any(pool.grows() and pool.most and demand.fits(kind_of(state, pool)) for pool in state.policy.pools)


def _when(state: State, moment: float) -> str:
    left = moment - state.now
    return f"at {time.strftime('%H:%M:%S', time.localtime(state.wall + left))} (in {left:.0f} s)"


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"
