"""A drain that was asked for just before the agent was restarted holds for the old agent only."""

from __future__ import annotations

from boss.core.check import check
from boss.core.effects import SendToWorker
from boss.core.events import LinkConnected, WorkerDrainAsked, WorkerReported
from boss.core.policy import Policy
from boss.core.rows import Loaded
from boss.core.scheduler import Scheduler
from wire.messages import VERSION, Drain, Place, Resume, WorkerHello, WorkerReports


def started() -> Scheduler:
    scheduler = Scheduler(Policy())
    nothing = Loaded(
        deployment="d", epoch=1, next_task=1, next_batch=1, next_instance=1, batches=[], attempts=[],
        workers=[], instances=[], files=[], records=[], outside={}, crossing=[],
    )  # fmt: skip
    scheduler.restore(nothing, 1.0, 1.0)
    scheduler.handle(LinkConnected(), 1.0)
    return scheduler


def hello(incarnation: str, *, draining: bool = False) -> WorkerReported:
    said = WorkerHello(pool="local", slots=1, place=Place(path="w"), draining=draining)
    message = WorkerReports(
        version=VERSION, deployment="d", worker="w", incarnation=incarnation, number=1, epoch=0, confirms=[],
        reports=[said],
    )  # fmt: skip
    return WorkerReported(worker="w", message=message)


def orders_of(scheduler: Scheduler) -> list[object]:
    scheduler.settle()
    check(scheduler.state)
    _, effects = scheduler.take()
    return [order for effect in effects if isinstance(effect, SendToWorker) for order in effect.orders]


def test_a_new_agent_is_not_ordered_to_drain_because_the_one_before_it_was() -> None:
    scheduler = started()
    scheduler.handle(hello("first"), 1.0)
    scheduler.handle(WorkerDrainAsked(worker="w"), 1.0)
    scheduler.handle(hello("second"), 1.0)
    assert not scheduler.state.workers["w"].draining
    assert not any(isinstance(order, Drain) for order in orders_of(scheduler))


def test_a_worker_that_drains_unasked_is_ordered_to_go_on() -> None:
    scheduler = started()
    scheduler.handle(hello("first", draining=True), 1.0)
    assert any(isinstance(order, Resume) for order in orders_of(scheduler))
