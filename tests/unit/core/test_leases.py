"""Leases: what silence means, and when it does not count."""

from __future__ import annotations

from boss.core.events import LinkConnected, LinkDisconnected, TimePassed, WorkerDrainAsked
from boss.core.reasons import Rejection, RejectionKind
from tests.worlds.scheduler import FakeWorker, World
from wire.messages import Drain, Heartbeat, HeldAttempt, Leaving, Resume, Run, SayHello


def busy(world: World) -> FakeWorker:
    world.push({"a": ""})
    worker = world.worker()
    worker.began((1, 1))
    world.ignore()
    return worker


def test_a_worker_that_says_heartbeats_keeps_its_attempts(world: World) -> None:
    worker = busy(world)
    world.wait(300.0, worker)
    assert worker.seen.state == "online"
    assert world.states("a") == "running"


def test_a_worker_silent_past_its_lease_is_lost_with_what_it_has(world: World) -> None:
    worker = busy(world)
    world.wait(world.policy.lease - 1)
    assert worker.seen.state == "online"
    world.wait(2.0)
    assert worker.seen.state == "lost"
    assert world.states("a") == "queued"
    assert (world.row("a").failures, world.row("a").deaths) == (0, 0)
    assert world.attempt(1).ended == "lost"


def test_leases_stand_still_while_the_boss_has_no_broker(world: World) -> None:
    worker = busy(world)
    world.turn(LinkDisconnected())
    world.wait(3_600.0)
    assert world.states("a") == "running"
    world.turn(LinkConnected())
    assert isinstance(worker.orders()[0], SayHello)
    world.wait(world.policy.lease - 1)
    assert worker.seen.state == "online", "the lease started again with the connection"
    world.wait(2.0)
    assert worker.seen.state == "lost"
    world.ignore()


def test_leases_start_again_after_a_gap_in_the_bosss_own_time(world: World) -> None:
    worker = busy(world)
    world.wait(1.0, worker)
    world.now += 3_600.0
    world.turn(TimePassed())
    assert worker.seen.state == "online"
    world.wait(world.policy.lease - 1)
    assert worker.seen.state == "online"
    world.wait(2.0)
    assert worker.seen.state == "lost"


def test_reports_that_wait_are_handled_before_deadlines(world: World) -> None:
    worker = busy(world)
    world.now += world.policy.lease + 1.0
    world.turn(worker.message(Heartbeat()))
    assert worker.seen.state == "online"


def test_offline_presence_keeps_new_work_away_and_takes_nothing_back(world: World) -> None:
    worker = busy(world)
    worker.presence(online=False)
    world.push({"b": ""})
    assert not worker.orders()
    assert world.states("a", "b") == "running queued"
    worker.beats()
    assert [order.task for order in worker.ordered(Run)] == [2]


def test_presence_of_a_former_incarnation_is_no_news(world: World) -> None:
    worker = busy(world)
    incarnation, worker.incarnation = worker.incarnation, "w.0"
    worker.presence(online=False)
    worker.incarnation = incarnation
    assert worker.seen.connected


def test_presence_of_another_deployment_is_no_news_but_a_will_may_know_of_none_yet(world: World) -> None:
    worker = busy(world)
    worker.presence(online=False, deployment="another")
    assert worker.seen.connected
    worker.presence(online=False, deployment="")
    assert not worker.seen.connected


def test_a_lost_worker_is_sent_nothing_until_it_says_hello(world: World) -> None:
    worker = busy(world)
    world.wait(60.0)
    worker.beats()
    assert [type(order) for order in worker.orders()] == [SayHello]
    worker.hello()
    assert [(order.task, order.attempt) for order in worker.ordered(Run)] == [(1, 2)]


def test_a_drained_worker_finishes_and_gets_nothing_new(world: World) -> None:
    worker = busy(world)
    world.ask(WorkerDrainAsked(worker="w"))
    assert [type(order) for order in worker.orders()] == [Drain]
    world.push({"b": ""})
    worker.ended(1, 1)
    assert not worker.ordered(Run)
    assert (worker.seen.state, world.states("a", "b")) == ("draining", "succeeded queued")
    world.ask(WorkerDrainAsked(worker="w", drain=False))
    orders = worker.orders()
    assert isinstance(orders[0], Resume)
    assert [order.task for order in orders if isinstance(order, Run)] == [2]


def test_a_drained_worker_that_was_lost_comes_back_draining(world: World) -> None:
    worker = busy(world)
    world.ask(WorkerDrainAsked(worker="w"))
    world.wait(60.0)
    assert worker.seen.state == "lost"
    worker.hello(HeldAttempt(task=1, attempt=1, phase="executing"))
    assert worker.seen.state == "draining"
    world.ignore()


def test_a_leaving_worker_gives_back_what_has_not_begun(world: World) -> None:
    worker = busy(world)
    world.push({"b": ""})
    world.ignore()
    worker.report(Leaving(reason="asked to stop"))
    worker.returned((2, 1))
    assert worker.seen.state == "draining"
    assert world.states("a", "b") == "running queued"
    assert world.attempt(2).ended == "returned"
    world.ignore()


def test_a_worker_that_is_not_there_cannot_be_drained(world: World) -> None:
    answer = world.ask(WorkerDrainAsked(worker="unknown"))
    assert answer.rejections == [Rejection(RejectionKind.UNKNOWN_WORKER, "worker 'unknown' is not there")]
