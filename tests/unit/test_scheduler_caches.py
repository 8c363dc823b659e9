"""Inputs that are in the worker's cache already: no transfer for them, and the tasks go where they are."""

from __future__ import annotations

import random

import pytest

from boss.core.caches import MOST, Cached
from boss.core.model import Phase
from tests.unit.scheduler_world import DIGEST, FakeWorker, World, manifest, published
from wire.messages import (
    Abandoned,
    Acknowledge,
    Heartbeat,
    InHand,
    Input,
    InputsMissing,
    Published,
    Run,
    Stage,
    Staged,
    StageDone,
)


def digest(number: int) -> str:
    return f"b2:{number:064x}"


# --- what is known of one cache --------------------------------------------------------------------


def far(number: int) -> str:
    """Digests that differ in their first digits, as real ones do."""
    return f"b2:{number:016x}{'0' * 48}"


def test_what_was_told_of_is_there_and_what_was_dropped_is_not() -> None:
    cached = Cached()
    cached.begin([far(3), far(1)])
    cached.add([far(2), far(3)])
    assert len(cached) == 3
    cached.drop([far(1), far(9)])
    assert [number for number in range(10) if cached.has(far(number))] == [2, 3]


def test_inputs_are_there_when_each_is_bound_and_there() -> None:
    cached = Cached()
    cached.add([far(1)])
    bound, unbound = Input(name="a", path="a", digest=far(1)), Input(name="b", path="b")
    assert cached.has_all([bound])
    assert not cached.has_all([bound, unbound])
    assert cached.has_all([bound, Input(name="c", path="c", folder=True)])


@pytest.mark.parametrize("odd", ["", "b2:", "b2:xyz", "b2:-000000000000001", "md5", "b2:\u0664\u0664", "b2: 1"])
def test_what_is_no_digest_is_nowhere(odd: str) -> None:
    cached = Cached()
    cached.begin([odd])
    cached.add([odd])
    cached.drop([odd])
    assert not cached.has("b2:")


def test_a_cache_is_known_up_to_a_bound() -> None:
    cached = Cached()
    cached.begin([far(number) for number in range(2 * MOST)])
    assert len(cached) == MOST
    assert cached.has(far(0)), "the most recently used come first"
    cached.add([far(3 * MOST)])
    assert len(cached) == MOST


def test_a_cache_says_the_same_as_a_set_whatever_happens() -> None:
    chance, cached, model = random.Random(1), Cached(), set[int]()
    for _ in range(2_000):
        number = chance.randrange(60)
        if chance.random() < 0.5:
            cached.add([far(number)])
            model.add(number)
        else:
            cached.drop([far(number)])
            model.discard(number)
    assert {number for number in range(60) if cached.has(far(number))} == model


# --- nothing is moved for what is there ------------------------------------------------------------


def producing(world: World) -> FakeWorker:
    """Task 1 has left `a.out`, which tasks 2 and 3 need; its publication has not been told."""
    world.push({"a": "", "b": "a", "c": "a"}, results={"a": "a.out"}, requirements={"b": "a.out", "c": "a.out"})
    worker = world.worker(slots=4)
    worker.began((1, 1))
    worker.ended(1, 1, manifest=manifest("a.out"))
    world.ignore()
    return worker


def publish(world: World) -> None:
    world.datastore.report(Published(task=1, attempt=1, files=published("a.out")))


def test_a_result_that_others_need_is_kept_by_its_worker_and_taken_from_there(world: World) -> None:
    worker = producing(world)
    publish(world)
    orders = worker.orders()
    (acknowledged,) = [order for order in orders if isinstance(order, Acknowledge)]
    assert (acknowledged.attempts, acknowledged.keep) == ([(1, 1)], [(1, 1)])
    assert [order.task for order in orders if isinstance(order, Run)] == [2, 3]
    told = [order for order in orders if isinstance(order, Staged)]
    assert [(order.task, [one.digest for one in order.inputs]) for order in told] == [(2, [DIGEST]), (3, [DIGEST])]
    assert not world.datastore.ordered(Stage)
    assert world.live(2).phase is Phase.STAGED
    assert DIGEST in world.attempt(2).inputs.decode()


def test_results_that_nobody_needs_are_not_kept(world: World) -> None:
    world.push({"a": ""}, results={"a": "a.out"})
    worker = world.worker()
    worker.began((1, 1))
    worker.ended(1, 1, manifest=manifest("a.out"))
    world.ignore()
    publish(world)
    assert [order.keep for order in worker.ordered(Acknowledge)] == [[]]
    world.ignore()


def test_results_of_an_attempt_that_did_not_succeed_are_not_kept(world: World) -> None:
    worker = producing(world)
    world.datastore.report(Abandoned(task=1, attempt=1, fault="transfer", reason="cut"))
    assert [order.keep for order in worker.ordered(Acknowledge)] == [[]]
    world.ignore()


def test_an_input_that_was_staged_once_is_not_staged_again_on_its_worker(world: World) -> None:
    world.push({"a": "", "b": ""}, requirements={"a": "net.inp", "b": "net.inp"})
    world.store.results[("default", "net.inp")] = _result()
    worker = world.worker(slots=1)
    assert [order.task for order in world.datastore.ordered(Stage)] == [1, 2]
    net = Input(name="net.inp", path="net.inp", digest=DIGEST, size=10)
    world.datastore.report(*(StageDone(task=task, attempt=1, inputs=[net]) for task in (1, 2)))
    world.push({"c": ""}, requirements={"c": "net.inp"}, name="second")
    world.ignore()
    worker.ended(1, 1)
    assert [order.task for order in worker.ordered(Staged)] == [3]
    assert not world.datastore.ordered(Stage)
    world.ignore()


def _result() -> object:
    from boss.core.rows import ResultRow

    return ResultRow("default", "net.inp", 0, 1, DIGEST, 10)


def caching(world: World, **hello: object) -> FakeWorker:
    """Task 1 needs `net.inp`, a published result, which a worker says to have."""
    world.push({"a": ""}, requirements={"a": "net.inp"})
    world.store.results[("default", "net.inp")] = _result()  # type: ignore[assignment]
    return world.worker(**({"cached": [DIGEST]} | hello))  # type: ignore[arg-type]


def test_what_a_hello_states_is_not_staged(world: World) -> None:
    worker = caching(world)
    assert [type(order) for order in worker.orders()][-2:] == [Run, Staged]
    assert not world.datastore.orders()


def test_what_a_new_start_does_not_state_any_more_is_staged(world: World) -> None:
    worker = caching(world)
    world.ignore()
    worker.about["cached"] = []
    worker.started_anew()
    assert [order.attempt for order in world.datastore.ordered(Stage)] == [2]
    world.ignore()


def test_a_file_that_nobody_has_a_digest_of_is_staged(world: World) -> None:
    world.push({"a": ""}, requirements={"a": "by_hand.inp"})
    world.worker(cached=[DIGEST])
    assert [order.task for order in world.datastore.ordered(Stage)] == [1]
    world.ignore()


def test_inputs_that_turn_out_to_be_missing_are_staged_and_not_believed_again(world: World) -> None:
    worker = caching(world)
    world.ignore()
    worker.report(InputsMissing(task=1, attempt=1, digests=[DIGEST]))
    assert [order.task for order in world.datastore.ordered(Stage)] == [1]
    assert world.live(1).phase is Phase.STAGING
    assert not worker.seen.cached.has(DIGEST)
    world.ignore()


def test_a_worker_that_lies_about_its_cache_does_not_keep_the_boss_busy(world: World) -> None:
    worker = caching(world)
    world.ignore()
    worker.report(InputsMissing(task=1, attempt=1, digests=[]), Heartbeat(cached=[DIGEST]))
    assert [order.task for order in world.datastore.ordered(Stage)] == [1]
    assert not worker.ordered(Staged)
    assert world.live(1).phase is Phase.STAGING


def test_what_a_heartbeat_says_is_dropped_is_staged_for_the_next_task(world: World) -> None:
    worker = caching(world, slots=1)
    worker.ended(1, 1)
    worker.report(Heartbeat(dropped=[DIGEST]))
    world.ignore()
    world.push({"b": ""}, requirements={"b": "net.inp"}, name="second")
    assert [order.task for order in world.datastore.ordered(Stage)] == [2]
    worker.report(Heartbeat(cached=[DIGEST]))
    world.push({"c": ""}, requirements={"c": "net.inp"}, name="third")
    assert [order.task for order in worker.ordered(Staged)] == [3]
    world.ignore()


def test_a_boss_that_died_before_it_said_so_finds_out_again(world: World) -> None:
    worker = caching(world)
    world.restart()
    world.datastore.hello()
    worker.hello(InHand(task=1, attempt=1, phase="staging"))
    assert [order.task for order in worker.ordered(Staged)] == [1]
    world.ignore()
