"""From effects to messages: what only the database holds is filled in, in bulk."""

from __future__ import annotations

from boss.core.effects import LookUpOrder, RunOrder, SendToDatastore, SendToWorker, StageOrder, StoreOrder
from boss.core.events import InputsCached, OrdersLeftOut
from boss.core.rows import FileRow
from boss.dispatch import Dispatcher
from tests.worlds.lookups import PLACE, Lookups
from tests.worlds.scheduler import DIGEST
from wire.codec import decode, encode
from wire.messages import (
    Acknowledge,
    DatastoreOrders,
    Execution,
    Input,
    LookUp,
    Run,
    Stage,
    Store,
    WorkerOrders,
)


def run(task: int) -> RunOrder:
    return RunOrder(task=task, attempt=1, batch=7, staging=True, inits=(9,))


def to_worker(*orders: object, number: int = 1) -> SendToWorker:
    return SendToWorker(worker="w", incarnation="w.1", number=number, orders=list(orders))  # type: ignore[arg-type]


def to_datastore(*orders: object) -> SendToDatastore:
    return SendToDatastore(incarnation="store.1", number=4, orders=list(orders))  # type: ignore[arg-type]


def test_a_run_gets_its_execution_as_it_is_stored() -> None:
    ((worker, message),) = Dispatcher(Lookups(), "d", 3).to_workers([to_worker(run(1))])
    decoded = decode(encode(message), WorkerOrders)
    assert worker == "w"
    assert (decoded.deployment, decoded.receiver, decoded.epoch, decoded.number) == ("d", "w.1", 3, 1)
    assert decoded.orders == [
        Run(
            task=1,
            attempt=1,
            batch=7,
            project="net",
            id="id 1",
            execution=Execution(commands=["true"]),
            staging=True,
            inits=[9],
        )
    ]


def test_all_messages_of_a_turn_cost_one_question() -> None:
    lookups = Lookups()
    messages = Dispatcher(lookups, "d", 3).to_workers([to_worker(run(1)), to_worker(run(2), run(1), number=2)])
    assert lookups.asked == [("executions", [1, 2])]
    assert [len(message.orders) for _, message in messages] == [1, 2]


def test_orders_without_a_task_cost_no_question() -> None:
    lookups = Lookups()
    ((_, message),) = Dispatcher(lookups, "d", 3).to_workers([to_worker(Acknowledge(attempts=[(1, 1)]))])
    assert message.orders == [Acknowledge(attempts=[(1, 1)])]
    assert lookups.asked == []


def test_a_task_whose_row_is_gone_is_left_out() -> None:
    ((_, message),) = Dispatcher(Lookups(), "d", 3).to_workers([to_worker(run(5), run(1))])
    assert [order.task for order in message.orders if isinstance(order, Run)] == [1]


def test_orders_to_the_datastore_get_inputs_names_and_sources() -> None:
    lookups = Lookups()
    effect = to_datastore(
        StageOrder(task=1, attempt=2, worker="w", place=PLACE),
        LookUpOrder(task=2),
        StoreOrder(file=FileRow("net.inp", DIGEST, 10, False, batch=1)),
        StageOrder(task=5, attempt=1, worker="w", place=PLACE),
    )
    (message,) = Dispatcher(lookups, "d", 3).to_datastore([effect])
    decoded = decode(encode(message), DatastoreOrders)
    assert decoded.orders == [
        Stage(task=1, attempt=2, worker="w", place=PLACE, inputs=[Input(name="net.inp", path="net.inp")]),
        LookUp(task=2, names=["a.out"]),
        Store(name="net.inp", digest=DIGEST, size=10, source="spool/" + DIGEST),
    ]
    assert lookups.asked == [("requirements", [1, 5]), ("result_names", [2])]


def test_what_lies_in_the_workers_cache_is_named_instead_of_staged() -> None:
    asked: list[tuple[str, list[Input]]] = []
    there = {"here"}

    def in_cache(worker: str, inputs: list[Input]) -> bool:
        asked.append((worker, inputs))
        return worker in there

    dispatcher = Dispatcher(Lookups(), "d", 2, in_cache)
    orders = [StageOrder(task=1, attempt=1, worker=worker, place=PLACE) for worker in ("here", "there")]
    (message,) = dispatcher.to_datastore([to_datastore(*orders)])
    assert [order.worker for order in message.orders if isinstance(order, Stage)] == ["there"]
    assert dispatcher.found() == [InputsCached(task=1, attempt=1, inputs=asked[0][1])]
    assert dispatcher.found() == []


def test_a_message_of_which_nothing_is_left_is_not_sent_and_not_waited_for() -> None:
    dispatcher = Dispatcher(Lookups(), "d", 2, lambda worker, inputs: True)
    assert dispatcher.to_datastore([to_datastore(StageOrder(task=1, attempt=1, worker="w", place=PLACE))]) == []
    assert dispatcher.found()[1:] == [OrdersLeftOut(number=4)]


def test_an_attempt_that_missed_its_inputs_once_is_staged() -> None:
    dispatcher = Dispatcher(Lookups(), "d", 2, lambda worker, inputs: True)
    order = StageOrder(task=1, attempt=1, worker="w", place=PLACE, cached=False)
    (message,) = dispatcher.to_datastore([to_datastore(order)])
    assert [type(one) for one in message.orders] == [Stage]
    assert dispatcher.found() == []
