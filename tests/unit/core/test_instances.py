"""Instances: demanded, requested and observed; crashes are followed by a new one, after a pause."""

from __future__ import annotations

from boss.core.events import InstanceEnded, InstanceStarted, InstanceStartFailed, StopAsked, TimePassed
from boss.core.policy import Policy, PoolPolicy
from tests.worlds.scheduler import ClearPresence, EndBoss, StartInstance, StopInstance, World
from wire.messages import HeldAttempt

POOL = Policy(pools=(PoolPolicy(name="local", min_workers=2, max_workers=2),))


def world_with_pool(policy: Policy = POOL) -> World:
    return World(policy)


def started(world: World) -> list[tuple[int, str]]:
    return [(effect.instance, effect.worker) for effect in world.take(StartInstance)]


def test_as_many_as_are_wanted_are_asked_for_once() -> None:
    world = world_with_pool()
    assert started(world) == [(1, "local-1"), (2, "local-2")]
    world.turn(TimePassed())
    assert started(world) == []
    assert [row.state for row in world.store.instances.values()] == ["requested", "requested"]
    world.close()


def test_never_more_are_asked_for_than_the_limit() -> None:
    world = world_with_pool(Policy(pools=(PoolPolicy(name="local", min_workers=9, max_workers=3),)))
    assert len(started(world)) == 3
    world.turn(TimePassed())
    assert started(world) == []
    world.close()


def test_an_instance_is_booting_when_it_exists_and_running_when_its_worker_said_hello() -> None:
    world = world_with_pool()
    started(world)
    world.turn(InstanceStarted(instance=1, reference="17 100"))
    row = world.store.instances[1]
    assert (row.state, row.reference) == ("booting", "17 100")
    world.worker("local-1")
    assert world.store.instances[1].state == "running"
    world.ignore()
    world.close()


def test_a_crashed_instance_is_replaced_after_a_second_under_the_same_name() -> None:
    world = world_with_pool()
    started(world)
    world.turn(InstanceStarted(instance=1, reference="17 100"))
    world.turn(InstanceEnded(instance=1, reason="exit code 1"))
    assert started(world) == []
    assert world.store.instances[1].state == "gone"
    world.wait(1.1)
    assert started(world) == [(3, "local-1")]
    world.close()


def test_one_that_crashes_again_and_again_is_replaced_more_and_more_slowly() -> None:
    world = world_with_pool()
    instance = started(world)[0][0]
    waits = []
    for _ in range(7):
        world.turn(InstanceEnded(instance=instance, reason="exit code 1"))
        begun = world.now
        while not (again := started(world)):
            world.wait(0.5)
        waits.append(world.now - begun)
        instance = again[0][0]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    world.close()


def test_a_start_that_failed_is_tried_again() -> None:
    world = world_with_pool()
    started(world)
    world.turn(InstanceStartFailed(instance=1, reason="no such file"))
    row = world.store.instances[1]
    assert (row.state, row.reason) == ("failed", "no such file")
    world.wait(1.1)
    assert started(world) == [(3, "local-1")]
    world.close()


def test_the_worker_of_a_crashed_process_waits_for_its_successor_which_finds_its_home() -> None:
    world = world_with_pool()
    started(world)
    world.push({"a": ""})
    world.turn(InstanceStarted(instance=1, reference="17 100"))
    worker = world.worker("local-1")
    worker.began((1, 1))
    world.ignore()
    world.turn(InstanceEnded(instance=1, reason="signal 9"))
    assert world.states("a") == "running"
    world.wait(1.1)
    assert started(world) == [(3, "local-1")]
    worker.restarted(HeldAttempt(task=1, attempt=1, phase="ended"))
    worker.ended(1, 1)
    assert world.states("a") == "succeeded"
    world.ignore()
    world.close()


def test_the_worker_of_a_machine_that_ended_is_gone_with_what_it_had() -> None:
    world = world_with_pool(
        Policy(pools=(PoolPolicy(name="local", provider="cloud", min_workers=2, max_workers=2, keeps_home=False),))
    )
    started(world)
    world.push({"a": ""})
    world.turn(InstanceStarted(instance=1, reference="17 100"))
    worker = world.worker("local-1")
    worker.began((1, 1))
    world.ignore()
    world.turn(InstanceEnded(instance=1, reason="signal 9"))
    assert world.store.workers["local-1"].state == "gone"
    assert [effect.worker for effect in world.take(ClearPresence)] == ["local-1"]
    world.ignore()
    world.close()


def test_what_is_said_of_an_instance_that_is_over_is_no_news() -> None:
    world = world_with_pool()
    started(world)
    for _ in range(2):
        world.turn(InstanceEnded(instance=1, reason="exit code 1"))
    world.turn(InstanceStarted(instance=1, reference="17 100"), InstanceStartFailed(instance=1, reason="late"))
    world.turn(InstanceEnded(instance=99, reason="whatever"))
    world.wait(1.1)
    assert len(started(world)) == 1
    world.close()


def test_the_boss_ends_when_its_instances_have_ended() -> None:
    world = world_with_pool()
    started(world)
    for number in (1, 2):
        world.turn(InstanceStarted(instance=number, reference=f"{number} 100"))
    world.turn(StopAsked())
    assert [(stop.instance, stop.reference) for stop in world.take(StopInstance)] == [(1, "1 100"), (2, "2 100")]
    world.turn(InstanceEnded(instance=1, reason="exit code 0"))
    assert not world.take(EndBoss)
    world.turn(InstanceEnded(instance=2, reason="exit code 0"))
    assert len(world.take(EndBoss)) == 1
    assert started(world) == []
    world.close()


def test_a_boss_that_ends_alone_leaves_its_workers_alive() -> None:
    world = world_with_pool()
    started(world)
    world.turn(StopAsked(workers=False))
    assert len(world.take(EndBoss)) == 1
    assert not world.take(StopInstance)
    assert [row.state for row in world.store.instances.values()] == ["requested", "requested"]
    world.close()


def test_a_worker_that_said_hello_to_a_boss_that_was_ending_is_up_for_the_next_one() -> None:
    world = world_with_pool()
    (_, name), _ = started(world)
    world.turn(StopAsked(workers=False))
    world.worker(name)
    world.ignore()
    world.restart()
    rows = {row.worker: row for row in world.store.instances.values()}
    assert rows[name].state == "running" and rows[name].hello_at == world.store.workers[name].first_seen_at
    assert {row.state for row in rows.values() if row.worker != name} == {"requested"}
    world.ignore()
    world.close()


def test_a_restarted_boss_adopts_what_lives_and_asks_for_nothing_more() -> None:
    world = world_with_pool()
    started(world)
    for number in (1, 2):
        world.turn(InstanceStarted(instance=number, reference=f"{number} 100"))
    world.restart()
    assert started(world) == []
    world.turn(InstanceEnded(instance=2, reason="not found", unseen=True))
    assert started(world) == [(3, "local-2")], "it ended while no boss looked: at once"
    world.ignore()
    world.close()
