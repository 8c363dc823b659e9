"""What one decision costs: the boss's own state with a graph of so many tasks and a pool of machines, by CPU time."""

from __future__ import annotations

import statistics
import time
from array import array

from boss.core.events import Known, Submitted
from boss.core.model import Profile, Submission
from boss.core.policy import Policy, PoolPolicy
from boss.core.scaling.decide import Pool, decide
from boss.core.scaling.demand import forecast_for, supply_of
from boss.core.scheduler import Scheduler
from boss.core.state import State

POOL = PoolPolicy(name="cloud", provider="opennebula", min_workers=0, max_workers=1000, slots=8, cost_weight=0.5)
#: Tasks without dependencies; each other one depends on two of the layer before.
_WIDTH = 1000


def decision_milliseconds(tasks: int, times: int = 15) -> float:
    """CPU time of one decision, the median of some."""
    state = _state(tasks)
    took = []
    for _ in range(times):
        began = time.process_time()
        supply = supply_of(state, POOL, 0)
        seen, ends = forecast_for(state, POOL, supply)
        pool = Pool(slots=POOL.slots, max_workers=POOL.max_workers, boot=POOL.boot, cost_weight=POOL.cost_weight)
        assert decide(seen.waves, pool, supply, ends).start > 0
        took.append(time.process_time() - began)
    return statistics.median(took) * 1e3


def _state(tasks: int) -> State:
    starts, targets = array("I", [0]), array("I")
    for task in range(tasks):
        if task >= _WIDTH:
            targets.extend((task - _WIDTH, task - _WIDTH + 1))
        starts.append(len(targets))
    durations = [5.0 + each for each in range(50)]
    submission = Submission(
        ids=[f"t{task}" for task in range(tasks)],
        executions=[b"{}"] * tasks,
        requirements=[b""] * tasks,
        contents=[task.to_bytes(16) for task in range(tasks)],
        profiles=[Profile(expect=seconds, template=kind + 1) for kind, seconds in enumerate(durations)],
        profile_of=array("I", (task % len(durations) for task in range(tasks))).tobytes(),
        dependency_starts=starts.tobytes(),
        dependency_targets=targets.tobytes(),
    )
    scheduler = Scheduler(Policy(pools=(POOL,)))
    scheduler.handle(Submitted(submission=submission, known=Known()), 1.0)
    scheduler.settle()
    scheduler.take()
    state = scheduler.state
    # As before anything was started: the first decision has the most to choose from.
    state.by_pool.pop(POOL.name, None)
    return state
