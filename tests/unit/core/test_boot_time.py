"""Instances that never speak: ended when their boot time is over, replaced, and never more than the limit."""

from __future__ import annotations

from boss.core.events import InstanceEnded, InstanceStarted, TimePassed
from boss.core.policy import Policy, PoolPolicy
from tests.worlds.scheduler import StartInstance, StopInstance, World

POOL = Policy(ask_again=30.0, pools=(PoolPolicy(name="local", min_workers=1, max_workers=1, boot_timeout=60.0),))


def silent_instance() -> World:
    world = World(POOL)
    assert len(world.take(StartInstance)) == 1
    world.turn(InstanceStarted(instance=1, reference="p1"))
    return world


def test_an_instance_without_a_hello_is_ended_and_then_replaced() -> None:
    world = silent_instance()
    world.wait(65.0)
    assert [effect.reference for effect in world.take(StopInstance)] == ["p1"]
    assert not world.take(StartInstance), "what is being ended still counts against the limit"
    world.turn(InstanceEnded(instance=1, reason="gone"))
    world.wait(5.0)
    assert [effect.instance for effect in world.take(StartInstance)] == [2]
    world.ignore()
    world.close()


def test_an_end_that_does_not_come_is_asked_for_again() -> None:
    world = silent_instance()
    world.wait(65.0)
    world.take(StopInstance)
    world.wait(31.0)
    world.turn(TimePassed())
    assert world.take(StopInstance)
    world.ignore()
    world.close()


def test_an_instance_whose_worker_spoke_in_time_is_left_alone() -> None:
    world = silent_instance()
    worker = world.worker("local-1")
    world.wait(200.0, worker)
    assert not world.take(StopInstance)
    world.ignore()
    world.close()
