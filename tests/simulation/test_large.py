"""A thousand machines come, work and go; what that costs the boss is bounded in turns and decisions, not in seconds."""

from __future__ import annotations

import pytest

from boss.core.policy import Policy
from tests.simulation.large import LargeWorld

MACHINES, TASKS = 1_000, 6_000


@pytest.mark.timeout(600)
def test_a_thousand_machines_work_and_go_for_few_turns_and_decisions() -> None:
    world = LargeWorld(1, MACHINES, TASKS)
    world.play()
    assert world.max_alive == MACHINES == len(world.store.instances), "all are used, none is made twice"
    assert world.provider.living == {}, "and none is left"
    boss = world.boss
    assert boss is not None
    # Of each task: sent, began, ended, confirmed; of each machine: made, hello, heartbeats, its end.
    heartbeats = MACHINES * world.clock.seconds / world.policy.heartbeat
    assert boss.turns <= 4 * TASKS + 6 * MACHINES + heartbeats, boss.turns
    assert len(world.decisions) <= world.clock.seconds / Policy().scale_pause + 10, len(world.decisions)
