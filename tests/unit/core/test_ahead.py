"""Sending ahead and taking back: how much a worker is sent, and who may have it instead."""

from __future__ import annotations

from boss.core.assignment import window
from boss.core.events import PauseAsked
from tests.worlds.scheduler import FakeWorker, World
from wire.messages import PhaseReached, Run, TakeBack


def sent(worker: FakeWorker) -> list[int]:
    return [order.task for order in worker.ordered(Run)]


def taken_back(worker: FakeWorker) -> list[int]:
    return [order.task for order in worker.ordered(TakeBack)]


def many(count: int) -> dict[str, str]:
    return {f"t{number}": "" for number in range(1, count + 1)}


def test_a_worker_of_unknown_speed_is_sent_as_many_again_as_it_has_slots(world: World) -> None:
    world.push(many(20))
    worker = world.worker(slots=3)
    assert sent(worker) == [1, 2, 3, 4, 5, 6]


def test_slots_of_all_workers_are_filled_before_anything_is_sent_ahead(world: World) -> None:
    first, second = world.worker("v"), world.worker("w")
    world.ignore()
    world.push(many(5))
    ahead, others = sorted((sent(first), sent(second)), key=len, reverse=True)
    assert (len(ahead), len(others)) == (3, 2)
    assert {*ahead[:2], *others} == {1, 2, 3, 4}, "only the fifth was sent ahead"


def test_the_window_grows_for_short_tasks_up_to_its_limit(world: World) -> None:
    world.push(many(3))
    worker = world.worker()
    for task in (1, 2):
        worker.ended(task, 1, seconds=0.01)
    assert window.window(world.state, worker.seen) == 2 + 100
    worker.seen.seconds = 0.0
    assert window.window(world.state, worker.seen) == 2 + world.policy.prefetch_max
    worker.seen.seconds = 3_600.0
    assert window.window(world.state, worker.seen) == 4
    world.ignore()


def test_a_large_window_is_refilled_when_it_is_half_empty(world: World) -> None:
    world.push(many(1_000))
    worker = world.worker()
    worker.ended(1, 1, seconds=0.01)
    first = sent(worker)
    assert len(first) == 102 + 1
    for task in first[1:40]:
        worker.ended(task, 1, seconds=0.01)
    assert not sent(worker)
    for task in first[40:60]:
        worker.ended(task, 1, seconds=0.01)
    assert len(sent(worker)) >= 51


def test_what_was_sent_ahead_is_asked_back_when_another_worker_idles(world: World) -> None:
    world.push(many(4))
    busy = world.worker("v")
    busy.began((1, 1), (2, 1))
    world.ignore()
    idle = world.worker("w")
    assert taken_back(busy) == [4, 3]
    busy.returned((4, 1), (3, 1))
    assert sent(idle) == [4, 3] or sent(idle) == []
    assert {world.row(id).attempt for id in ("t3", "t4")} == {2}
    assert world.attempt(3).ended == "returned"
    world.ignore()


def test_nothing_is_asked_back_twice(world: World) -> None:
    world.push(many(3))
    busy = world.worker("v")
    busy.began((1, 1), (2, 1))
    world.ignore()
    idle = world.worker("w")
    assert taken_back(busy) == [3]
    idle.beats()
    busy.beats()
    assert taken_back(busy) == []
    world.ignore()


def test_a_worker_that_answers_that_it_began_keeps_the_task(world: World) -> None:
    world.push(many(3))
    busy = world.worker("v")
    busy.began((1, 1), (2, 1))
    world.ignore()
    idle = world.worker("w")
    busy.report(PhaseReached(task=3, attempt=1, phase="executing"))
    assert world.states("t3") == "running"
    assert world.row("t3").attempt == 1
    busy.ended(3, 1)
    assert world.states("t3") == "succeeded"
    assert not sent(idle)
    world.ignore()


def test_what_will_have_its_turn_in_a_moment_is_not_asked_back(world: World) -> None:
    world.push(many(6))
    busy = world.worker("v")
    for task in (1, 2, 3):
        busy.ended(task, 1, seconds=0.001)
    world.ignore()
    world.worker("w")
    assert taken_back(busy) == []
    world.ignore()


def test_a_returned_attempt_costs_no_retry(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    worker.returned((1, 1))
    row = world.row("a")
    assert (world.states("a"), row.attempt, row.failures) == ("queued", 2, 0)
    world.ignore()


def test_a_paused_batch_sends_nothing_and_asks_back_what_has_not_begun(world: World) -> None:
    batch = world.push(many(5))
    worker = world.worker(slots=1)
    worker.began((1, 1))
    world.ignore()
    world.ask(PauseAsked(batch=batch, reason="later"))
    assert taken_back(worker) == [2]
    worker.returned((2, 1))
    worker.ended(1, 1, seconds=60.0)
    assert sent(worker) == []
    assert world.states("t1", "t2", "t3") == "succeeded queued queued"
    world.ask(PauseAsked(batch=batch, reason=""))
    assert sent(worker) == [2, 3]


def test_a_paused_batch_lets_the_others_go_first(world: World) -> None:
    first = world.push({"a": "", "b": ""})
    world.ask(PauseAsked(batch=first, reason="later"))
    world.push({"c": ""})
    worker = world.worker(slots=1)
    assert sent(worker) == [3]
