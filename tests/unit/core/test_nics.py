"""NICs for init tasks: there before the first one, gone after the last; and what a batch may cost its workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from boss.core.events import (
    CancelAsked,
    NetworkAttached,
    NetworkAttachFailed,
    NetworkDetached,
    PauseAsked,
    Selection,
)
from boss.core.policy import Policy, PoolPolicy
from tests.worlds.scheduler import AttachNetwork, DetachNetwork, FakeWorker, StartInstance, World
from wire.messages import Outcome, Returned, Run

POOL = PoolPolicy(
    name="cloud",
    provider="x",
    min_workers=1,
    max_workers=1,
    slots=2,
    keeps_home=False,
    init_network="outside",
    batch_budget=100.0,
)


@pytest.fixture
def world() -> Iterator[World]:
    world = World(Policy(pools=(POOL,), init_tries=2))
    yield world
    world.ignore()
    world.close()


def booted(world: World) -> FakeWorker:
    (start,) = world.take(StartInstance)
    worker = world.worker(start.worker, pool="cloud", slots=2)
    world.ignore()
    return worker


def inits(worker: FakeWorker) -> list[tuple[int, int]]:
    return [(order.task, order.attempt) for order in worker.ordered(Run) if order.init]


def test_an_init_task_is_sent_when_its_machine_has_the_nic_and_the_nic_goes_after_it(world: World) -> None:
    worker = booted(world)
    world.push({"a": ""}, inits=["one", "two"])
    (asked,) = world.take(AttachNetwork)
    assert (world.store.instances[asked.instance].worker, asked.network) == (worker.id, "outside")
    assert inits(worker) == []
    world.turn(NetworkAttached(instance=asked.instance, nic="1"))
    first, second = inits(worker)
    assert world.store.instances[asked.instance].nic == "1"
    worker.ended(*first)
    assert not world.take(DetachNetwork), "the second one still runs"
    worker.ended(*second)
    (away,) = world.take(DetachNetwork)
    assert away.nic == "1"
    world.turn(NetworkDetached(instance=asked.instance, nic="1"))
    assert world.store.instances[asked.instance].nic == ""
    world.wait(200.0, worker)
    assert not world.take(AttachNetwork) and not world.take(DetachNetwork)


def test_a_nic_that_is_not_available_is_a_failed_try_and_then_the_worker_is_quarantined(world: World) -> None:
    worker = booted(world)
    world.push({"a": ""}, inits=["one"])
    for _ in range(2):
        (asked,) = world.take(AttachNetwork)
        world.turn(NetworkAttachFailed(instance=asked.instance, reason="no address is left"))
    assert (
        "'one' failed 2 times here" in worker.seen.row.quarantined
        and "no address is left" in worker.seen.row.quarantined
    )
    assert (world.states("a"), world.row("a").failures) == ("queued", 0)


def test_what_is_not_answered_is_asked_again_and_a_restart_asks_for_what_is_open(world: World) -> None:
    worker = booted(world)
    world.push({"a": ""}, inits=["one"])
    assert len(world.take(AttachNetwork)) == 1
    world.wait(31.0, worker)
    assert len(world.take(AttachNetwork)) == 1
    world.turn(NetworkAttached(instance=1, nic="1"))
    ((task, attempt),) = inits(worker)
    worker.ended(task, attempt)
    assert len(world.take(DetachNetwork)) == 1
    world.restart()
    assert [effect.nic for effect in world.take(DetachNetwork)] == ["1"], "the answer died with the boss"
    world.turn(NetworkDetached(instance=1, nic="1"))
    world.restart()
    assert not world.take(DetachNetwork) and not world.take(AttachNetwork)


def test_a_late_answer_to_an_attach_that_is_not_required_any_more_takes_the_nic_away(world: World) -> None:
    worker = booted(world)
    world.push({"a": ""}, inits=["one"])
    (asked,) = world.take(AttachNetwork)
    worker.restarted()
    world.ignore()
    world.turn(NetworkAttached(instance=asked.instance, nic="7"))
    wanted = any(attempt.init for attempt in worker.seen.attempts.values())
    assert bool(world.take(DetachNetwork)) is not wanted


def test_an_init_task_that_comes_while_its_nic_is_being_removed_waits_for_another(world: World) -> None:
    worker = booted(world)
    world.push({"a": ""}, inits=["one"])
    world.turn(NetworkAttached(instance=1, nic="1"))
    ((task, attempt),) = inits(worker)
    worker.ended(task, attempt)
    assert len(world.take(DetachNetwork)) == 1
    world.take(AttachNetwork)
    world.push({"b": ""}, inits=["two"])
    assert inits(worker) == [], "its network interface is being removed"
    assert not world.take(AttachNetwork)
    world.turn(NetworkDetached(instance=1, nic="1"))
    assert len(world.take(AttachNetwork)) == 1 and inits(worker) == []
    world.turn(NetworkAttached(instance=1, nic="2"))
    assert len(inits(worker)) == 1


def test_a_batch_that_has_used_up_its_hours_is_paused_and_gets_as_many_again(world: World) -> None:
    worker = booted(world)
    world.push({f"t{n}": "" for n in range(8)})
    world.ignore()
    for ended in ("succeeded", "failed"):
        worker.ended(*next(iter(worker.seen.attempts)), ended, seconds=100.0)
    row = world.store.batches[1]
    assert row.worker_seconds == 100.0, "of each attempt its share of the worker, whatever its end"
    assert "used up the 0.0277778 worker-hours that pool cloud gives a batch" in row.paused
    assert row.paused_kind == "budget"
    world.turn(PauseAsked(batch=1, reason=""))
    assert world.store.batches[1].paused == ""
    world.restart()
    worker.hello()
    world.ignore()
    assert world.store.batches[1].budget_from == 100.0


def test_a_nic_of_which_no_answer_came_is_looked_for_and_taken_away(world: World) -> None:
    worker = booted(world)
    world.push({"a": ""}, inits=["one"])
    assert len(world.take(AttachNetwork)) == 1
    world.turn(CancelAsked(selection=Selection(batches=[1])))
    world.ignore()
    worker.report(*(Returned(task=task, attempt=attempt) for task, attempt in list(worker.seen.attempts)))
    world.ignore()
    world.restart()
    worker.hello()
    world.ignore()
    world.wait(31.0, worker)
    (asked,) = world.take(AttachNetwork)
    world.turn(NetworkAttached(instance=asked.instance, nic="3"))
    assert [effect.nic for effect in world.take(DetachNetwork)] == ["3"]


def test_only_a_budget_that_is_used_up_is_granted_again_and_a_finished_batch_is_not_paused(world: World) -> None:
    worker = booted(world)
    world.push({"a": "", "b": "", "c": ""})
    world.ignore()
    worker.ended(*next(iter(worker.seen.attempts)), seconds=100.0)
    for reason in ("lunch", "it has used up its time"):
        world.turn(PauseAsked(batch=1, reason=reason))
        assert world.store.batches[1].paused_kind == "operator"
        world.turn(PauseAsked(batch=1, reason=""))
        assert world.store.batches[1].budget_from == 0.0, "whatever the reason says"
    world.ignore()
    keys = list(worker.seen.attempts)
    worker.report(*(Outcome(task=task, attempt=attempt, ended="succeeded", seconds=100.0) for task, attempt in keys))
    assert world.states("a", "b", "c") == "succeeded succeeded succeeded"
    assert world.store.batches[1].paused == ""
