"""Which task goes to which worker: order, labels, pools, slots, memory."""

from __future__ import annotations

from boss.core.model import Profile
from tests.worlds.scheduler import FakeWorker, World
from wire.messages import Run


def sent(worker: FakeWorker) -> list[str]:
    return [order.id for order in worker.ordered(Run)]


def test_tasks_go_in_the_order_of_the_file(world: World) -> None:
    world.push({"c": "", "a": "", "b": "", "d": ""})
    assert sent(world.worker()) == ["c", "a", "b", "d"]


def test_older_batches_go_first(world: World) -> None:
    world.push({"a": "", "b": ""})
    world.push({"c": "", "d": ""})
    assert sent(world.worker()) == ["a", "b", "c", "d"]


def test_a_higher_priority_goes_before_older_batches(world: World) -> None:
    world.push({"a": "", "b": ""})
    world.push({"c": ""}, profile=Profile(priority=1))
    world.push({"d": ""}, profile=Profile(priority=-1))
    worker = world.worker()
    assert sent(worker) == ["c", "a", "b", "d"]


def test_a_retried_task_keeps_its_place(world: World) -> None:
    world.push({f"t{n}": "" for n in range(6)})
    worker = world.worker(slots=1)
    assert sent(worker) == ["t0", "t1"]
    worker.returned((1, 1))
    assert sent(worker) == ["t0"]


def test_labels_that_a_task_wants_must_be_the_workers(world: World) -> None:
    world.push({"a": "", "b": ""}, profiles={"a": Profile(labels={"epanet": "2.3", "disk": "fast"})})
    plain = world.worker("plain")
    some = world.worker("some", labels={"epanet": "2.3"})
    right = world.worker("right", labels={"epanet": "2.3", "disk": "fast", "more": "x"})
    assert (sent(plain), sent(some), sent(right)) == (["b"], [], ["a"])


def test_a_task_of_a_pool_goes_to_that_pool_only(world: World) -> None:
    world.push({"a": ""}, profile=Profile(pool="big"))
    small, big = world.worker("small", pool="small"), world.worker("big", pool="big")
    assert (sent(small), sent(big)) == ([], ["a"])


def test_a_task_that_needs_more_slots_or_memory_than_a_worker_has_waits_for_another(world: World) -> None:
    world.push({"a": "", "b": ""}, profiles={"a": Profile(slots=4), "b": Profile(memory=8_000)})
    small = world.worker("small", slots=2, memory=4_000)
    assert sent(small) == []
    large = world.worker("large", slots=8, memory=16_000)
    assert sorted(sent(large)) == ["a", "b"]


def test_a_worker_that_does_not_know_its_memory_is_asked_for_any(world: World) -> None:
    world.push({"a": ""}, profile=Profile(memory=10**12))
    assert sent(world.worker(memory=0)) == ["a"]


def test_a_task_of_many_slots_is_counted_as_many(world: World) -> None:
    world.push({"a": "", "b": "", "c": ""}, profile=Profile(slots=2))
    worker = world.worker(slots=2)
    assert sent(worker) == ["a", "b"]
    assert worker.seen.load == 4


def test_nothing_is_sent_before_there_is_a_broker() -> None:
    world = World(connected=False)
    world.push({"a": ""})
    world.worker()
    assert world.states("a") == "queued"
    assert world.row("a").attempt == 0
    world.ignore()


def test_a_fitting_task_overtakes_one_that_fits_no_worker(world: World) -> None:
    world.push({"huge": "", "a": ""}, profiles={"huge": Profile(slots=64, priority=9)})
    assert sent(world.worker()) == ["a"]
