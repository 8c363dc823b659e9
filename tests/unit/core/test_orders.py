"""Orders on their way: numbered, confirmed, said again with a new number, cut by size."""

from __future__ import annotations

import msgspec

from boss.core.events import CancelAsked, LinkConnected, LinkDisconnected, Selection
from boss.core.policy import Policy
from tests.worlds.scheduler import DIGEST, FakeWorker, World
from wire.messages import HeldAttempt, Kill, Run, SayHello, Stage, StageDone, Welcome


def numbers(worker: FakeWorker) -> list[int]:
    return [message.number for message in worker.received]


def test_numbers_rise_and_messages_name_epoch_receiver_and_deployment(world: World) -> None:
    worker = world.worker()
    world.push({"a": ""})
    first, second = worker.received
    assert (first.number, second.number) == (1, 2)
    assert {(one.epoch, one.receiver, one.deployment) for one in worker.received} == {(1, "w.1", "d")}
    world.ignore()


def test_what_a_turn_says_to_a_worker_is_one_message(world: World) -> None:
    worker = world.worker()
    world.ignore()
    world.push({"a": "", "b": "", "c": ""})
    (message,) = worker.received
    assert [order.task for order in message.orders if isinstance(order, Run)] == [1, 2, 3]
    world.ignore()


def test_a_large_turn_is_cut_into_messages_by_size() -> None:
    world = World(Policy(order_bytes=5_000))
    worker = world.worker(slots=4)
    world.ignore()
    world.push({f"t{n}": "" for n in range(8)}, commands={f"t{n}": "x" * 1_500 for n in range(8)})
    assert [len(message.orders) for message in worker.received] == [2, 2, 2, 2]
    assert numbers(worker) == [2, 3, 4, 5]
    world.ignore()
    world.close()


def test_one_order_above_the_size_goes_alone() -> None:
    world = World(Policy(order_bytes=1_000))
    worker = world.worker()
    world.ignore()
    world.push({"a": "", "b": ""}, commands={"a": "x" * 5_000})
    assert [len(message.orders) for message in worker.received] == [1, 1]
    world.ignore()
    world.close()


def test_an_order_that_is_not_confirmed_is_said_again_with_a_new_number(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    assert numbers(worker) == [1]
    worker.received.clear()  # lost with the broker
    world.wait(world.policy.resend)
    (again,) = worker.received
    assert again.number == 2
    assert [order.task for order in again.orders if isinstance(order, Run)] == [1]
    assert not [order for order in again.orders if isinstance(order, Welcome)]
    world.ignore()
    worker.beats()
    world.wait(3 * world.policy.resend, worker)
    assert not worker.received


def test_an_order_that_does_not_hold_any_more_is_not_said_again(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    worker.began((1, 1))
    worker.received.clear()
    world.wait(2 * world.policy.resend)
    assert not worker.received


def test_a_kill_is_said_again_until_it_is_confirmed(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    worker.began((1, 1))
    world.ignore()
    worker.beats()
    world.ask(CancelAsked(selection=Selection(tasks=[1])))
    worker.received.clear()
    world.wait(world.policy.resend)
    assert [order.task for order in worker.ordered(Kill)] == [1]


def test_a_confirmation_of_another_epoch_confirms_nothing(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    world.ignore()
    world.restart()
    worker.hello(HeldAttempt(task=1, attempt=1, phase="staged"))
    worker.received.clear()
    event = worker.message()
    event.message = msgspec.structs.replace(event.message, epoch=1, confirms=list(range(20)))
    world.ask(CancelAsked(selection=Selection(tasks=[1])))
    worker.received.clear()
    world.turn(event)
    world.wait(2 * world.policy.resend)
    assert worker.ordered(Kill)


def test_what_was_said_while_there_was_no_broker_is_said_again_at_the_connection(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    worker.began((1, 1))
    world.ignore()
    world.turn(LinkDisconnected())
    world.ask(CancelAsked(selection=Selection(tasks=[1])))
    worker.received.clear()
    world.wait(600.0)
    assert not worker.received
    world.turn(LinkConnected())
    assert [type(order) for order in worker.orders()] == [SayHello]
    worker.hello(HeldAttempt(task=1, attempt=1, phase="executing"))
    assert [order.task for order in worker.ordered(Kill)] == [1]
    world.ignore()


def test_a_question_for_hello_that_is_lost_leaves_nothing_unsaid(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    worker.began((1, 1))
    world.ignore()
    world.turn(LinkDisconnected())
    world.ask(CancelAsked(selection=Selection(tasks=[1])))
    worker.received.clear()
    world.wait(60.0)
    world.turn(LinkConnected())
    worker.received.clear()  # this worker was connected all the time, and does not hear that it is to say hello
    for _ in range(4):
        worker.beats()
        world.wait(world.policy.resend)
    assert [order.task for order in worker.ordered(Kill)][:1] == [1]
    world.ignore()


def test_a_worker_known_by_its_incarnation_gets_no_orders_of_the_former_one(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    (message,) = worker.received
    assert message.receiver == "w.1"
    worker.restarted()
    assert {one.receiver for one in worker.received} == {"w.2"}
    assert min(numbers(worker)) > message.number
    world.ignore()


def test_orders_to_the_datastore_are_said_again_too(world: World) -> None:
    world.push({"a": ""}, requirements={"a": "net.inp"})
    worker = world.worker()
    assert len(world.datastore.received) == 1
    world.datastore.received.clear()
    world.wait(world.policy.resend, worker)
    assert [order.task for order in world.datastore.ordered(Stage)] == [1]
    world.datastore.report(StageDone(task=1, attempt=1, inputs=[]))
    assert DIGEST not in str(world.attempt(1).inputs)
    world.ignore()
