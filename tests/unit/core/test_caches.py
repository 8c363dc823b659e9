"""Inputs that are in the worker's cache already: no transfer for them, and the tasks go where they are."""

from __future__ import annotations

import random

import msgspec
import pytest

from boss.core.assignment.locality import COMPARED
from boss.core.cached_inputs import MAX_DIGESTS, Cached
from boss.core.events import PauseAsked
from boss.core.model import Phase, Profile
from boss.core.rows import ResultRow
from tests.worlds.scheduler import DIGEST, FakeWorker, World, manifest, published
from wire.messages import (
    Abandoned,
    Acknowledge,
    Heartbeat,
    HeldAttempt,
    Input,
    InputsMissing,
    Leaving,
    Published,
    Run,
    Stage,
    Staged,
    StageDone,
)

# --- what is known of one cache --------------------------------------------------------------------


def far(number: int) -> str:
    """Digests that differ in their first digits, as real ones do."""
    return f"b2:{number:016x}{'0' * 48}"


def test_what_was_reported_is_there_and_what_was_dropped_is_not() -> None:
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
    cached.begin([far(number) for number in range(2 * MAX_DIGESTS)])
    assert len(cached) == MAX_DIGESTS
    assert cached.has(far(0)), "the most recently used come first"
    cached.add([far(3 * MAX_DIGESTS)])
    assert len(cached) == MAX_DIGESTS


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
    """Task 1 has left `a.out`, which tasks 2 and 3 require; its publication has not been reported."""
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
    sent_to = [order for order in orders if isinstance(order, Staged)]
    assert [(order.task, [one.digest for one in order.inputs]) for order in sent_to] == [(2, [DIGEST]), (3, [DIGEST])]
    assert not world.datastore.ordered(Stage)
    assert world.live(2).phase is Phase.STAGED
    assert DIGEST in world.attempt(2).inputs.decode()


def test_results_that_no_task_requires_are_not_kept(world: World) -> None:
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


def _result() -> ResultRow:
    return ResultRow("default", "net.inp", 0, 1, DIGEST, 10)


def caching(world: World, **hello: object) -> FakeWorker:
    """Task 1 needs `net.inp`, a published result, which a worker says to have."""
    world.push({"a": ""}, requirements={"a": "net.inp"})
    world.store.results[("default", "net.inp")] = _result()
    return world.worker(**({"cached": [DIGEST]} | hello))  # type: ignore[arg-type]


def test_what_a_hello_states_is_not_staged(world: World) -> None:
    worker = caching(world)
    assert [type(order) for order in worker.orders()][-2:] == [Run, Staged]
    assert not world.datastore.orders()


def test_what_a_new_start_does_not_state_any_more_is_staged(world: World) -> None:
    worker = caching(world)
    world.ignore()
    worker.about["cached"] = []
    worker.restarted()
    assert [order.attempt for order in world.datastore.ordered(Stage)] == [2]
    world.ignore()


def test_a_file_without_a_known_digest_is_staged(world: World) -> None:
    world.push({"a": ""}, requirements={"a": "manual.inp"})
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
    worker.hello(HeldAttempt(task=1, attempt=1, phase="staging"))
    assert [order.task for order in worker.ordered(Staged)] == [1]
    world.ignore()


# --- tasks go where their inputs are ---------------------------------------------------------------


def needing(*names: str) -> Profile:
    """A profile of tasks that share these sent files, of which the first is the largest."""
    inputs = tuple((far(ord(name)), 1000 - place) for place, name in enumerate(names))
    return Profile(staging=True, inputs=inputs)


def networks(world: World, words: str) -> None:
    """Tasks `t0`, `t1`, ... each of which needs the network of its letter; a dot needs none."""
    profiles = {f"t{at}": needing(letter) if letter != "." else Profile() for at, letter in enumerate(words.split())}
    world.push({id: "" for id in profiles}, profiles=profiles)


def sent(worker: FakeWorker) -> str:
    return " ".join(order.id for order in worker.ordered(Run))


def only_runs(world: World) -> World:
    """Staging is another matter."""
    world.datastore.orders()
    return world


def test_the_next_task_goes_to_the_idle_worker_that_has_its_inputs(world: World) -> None:
    plain = world.worker("plain", slots=1)
    having = world.worker("having", slots=1, cached=[far(ord("n"))])
    networks(world, "n")
    assert (sent(plain), sent(having)) == ("", "t0")
    only_runs(world)


def test_the_most_bytes_count(world: World) -> None:
    small = world.worker("small", slots=1, cached=[far(ord("b"))])
    large = world.worker("large", slots=1, cached=[far(ord("a"))])
    world.push({"t": ""}, profile=needing("a", "b"))
    assert (sent(small), sent(large)) == ("", "t")
    only_runs(world)


def test_each_worker_goes_on_with_the_inputs_that_it_has(world: World) -> None:
    world.push({"first": ""})
    one, two = world.worker("one", slots=1), world.worker("two", slots=1, cached=[far(ord("b"))])
    world.ignore()
    networks(world, "a b a b a b")
    for worker in (one, two):
        worker.confirm()
    sent_to = {"one": sent(one), "two": sent(two)}
    assert sent_to == {"one": "t0", "two": "t1 t3"} or sent_to == {"one": "t0 t2", "two": "t1 t3"}
    only_runs(world)


def test_workers_that_have_nothing_begin_with_different_inputs(world: World) -> None:
    workers = [world.worker(f"w{number}", slots=1) for number in range(3)]
    networks(world, "a a a b b b c c c")
    assert [sent(worker) for worker in workers] == ["t0 t1", "t3 t4", "t6 t7"]
    for worker, number in zip(workers, (1, 4, 7), strict=True):
        worker.ended(number, 1, seconds=1.0)
    assert [sent(worker) for worker in workers] == ["t2", "t5", "t8"]
    only_runs(world)


def test_a_worker_takes_whatever_there_is_when_nothing_is_local(world: World) -> None:
    worker = world.worker(slots=4, cached=[far(ord("z"))])
    networks(world, "a . b")
    assert sorted(sent(worker).split()) == ["t0", "t1", "t2"]
    only_runs(world)


def test_a_higher_priority_comes_before_inputs_that_are_there(world: World) -> None:
    worker = world.worker(slots=1, cached=[far(ord("a"))])
    urgent = msgspec.structs.replace(needing("b"), priority=1)
    world.push({"a": "", "b": ""}, profiles={"a": needing("a"), "b": urgent})
    assert sent(worker) == "b a"
    only_runs(world)


def test_an_older_batch_comes_before_inputs_that_are_there(world: World) -> None:
    world.push({"a": ""}, profile=needing("a"))
    world.push({"b": ""}, profile=needing("b"))
    worker = world.worker(slots=1, cached=[far(ord("b"))])
    assert sent(worker) == "a b"
    only_runs(world)


def test_tasks_of_a_paused_batch_wait_wherever_their_inputs_are(world: World) -> None:
    batch = world.push({"a": ""}, profile=needing("a"))
    world.ask(PauseAsked(batch=batch, reason="later"))
    world.push({"b": ""}, profile=needing("b"))
    worker = world.worker(slots=1, cached=[far(ord("a"))])
    assert sent(worker) == "b"
    only_runs(world)


def test_many_sets_of_inputs_are_all_worked_off(world: World) -> None:
    count = 3 * COMPARED
    world.push({f"t{n}": "" for n in range(count)}, profiles={f"t{n}": _own(n) for n in range(count)})
    workers = [world.worker(f"w{number}", slots=4) for number in range(3)]
    done: set[int] = set()
    for _ in range(count):
        for worker in workers:
            keys = [(order.task, order.attempt) for order in worker.ordered(Run)]
            done.update(task for task, _ in keys)
            for task, attempt in keys:
                worker.ended(task, attempt, seconds=1.0)
        only_runs(world)
    assert len(done) == count
    world.ignore()


def _own(number: int) -> Profile:
    return Profile(staging=True, inputs=((far(number + 1), 1),))


@pytest.mark.parametrize("maker", ["first", "second"])
def test_what_depends_on_a_result_goes_to_the_worker_that_made_it(world: World, maker: str) -> None:
    profiles = {"a": Profile(labels={"name": maker})}
    world.push({"a": "", "b": "a"}, results={"a": "a.out"}, requirements={"b": "a.out"}, profiles=profiles)
    workers = {name: world.worker(name, slots=4, labels={"name": name}) for name in ("first", "second")}
    workers[maker].began((1, 1))
    workers[maker].ended(1, 1, manifest=manifest("a.out"))
    world.ignore()
    publish(world)
    assert world.live(2).worker == maker
    world.ignore()


def test_a_worker_that_is_gone_is_near_to_nothing(world: World) -> None:
    world.push({"a": "", "b": "a"}, results={"a": "a.out"}, requirements={"b": "a.out"})
    worker = world.worker(slots=1)
    worker.began((1, 1))
    worker.ended(1, 1, manifest=manifest("a.out"))
    worker.report(Leaving(reason="it goes"))
    publish(world)
    (waiting,) = [one for one in world.state.ready.by_demand.values() if one.near]
    assert list(waiting.near) == ["w"]
    other = world.worker("other")
    assert [order.task for order in other.ordered(Run)] == [2], "others take it all the same"
    world.state.ready.forget_worker("w", 0)
    assert not waiting.near
    world.ignore()


def test_tasks_near_their_input_keep_the_order_of_the_file(world: World) -> None:
    ids = [f"b{number}" for number in range(5)]
    world.push({"a": "", **dict.fromkeys(ids, "a")}, results={"a": "a.out"}, requirements=dict.fromkeys(ids, "a.out"))
    worker = world.worker(slots=8)
    worker.began((1, 1))
    worker.ended(1, 1, manifest=manifest("a.out"))
    world.ignore()
    publish(world)
    assert sent(worker) == " ".join(ids)
    world.ignore()


def test_it_is_counted_how_many_workers_have_which_inputs(world: World) -> None:
    queue = world.state.ready
    queue.hold(0, 1)
    queue.hold(0, 1)
    queue.hold(1, 2)
    assert queue.holders == {1: 1, 2: 1}
    queue.forget_worker("w", 2)
    queue.forget_worker("never sent anything", 0)
    assert queue.holders == {1: 1}
