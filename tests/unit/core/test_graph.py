"""What follows from the graph: pending, queued, blocked, inside a batch and between batches."""

from __future__ import annotations

from boss.core.events import RedoAsked, RetryAsked, Selection
from tests.worlds.scheduler import FakeWorker, World
from wire.messages import Run, TakeBack, Welcome


def ran(world: World, worker: FakeWorker, id: str, how: str = "succeeded", attempt: int = 1) -> None:
    number = world.number(id)
    worker.began((number, attempt))
    worker.ended(number, attempt, how)
    world.ignore()


def runs(worker: FakeWorker) -> list[tuple[int, int]]:
    return [(order.task, order.attempt) for order in worker.ordered(Run)]


def test_a_fan_opens_when_its_root_has_succeeded_and_closes_when_all_have(world: World) -> None:
    world.push({"root": "", "a": "root", "b": "root", "end": "a b"})
    worker = world.worker()
    assert [type(order) for order in worker.orders()] == [Welcome, Run]
    assert world.states("root", "a", "b", "end") == "queued pending pending pending"
    ran(world, worker, "root")
    assert world.states("root", "a", "b", "end") == "succeeded queued queued pending"
    ran(world, worker, "a")
    assert world.states("a", "b", "end") == "succeeded queued pending"
    ran(world, worker, "b")
    assert world.states("b", "end") == "succeeded queued"


def test_a_diamond_waits_for_both_its_sides(world: World) -> None:
    world.push({"top": "", "left": "top", "right": "top", "bottom": "left right"})
    worker = world.worker()
    world.ignore()
    for id in ("top", "right"):
        ran(world, worker, id)
    assert world.states("left", "bottom") == "queued pending"
    ran(world, worker, "left")
    assert world.states("bottom") == "queued"


def test_blocked_spreads_through_all_generations(world: World) -> None:
    world.push({"a": "", "b": "a", "c": "b", "d": "c", "apart": ""})
    worker = world.worker()
    world.ignore()
    ran(world, worker, "a", "failed")
    assert world.states("a", "b", "c", "d", "apart") == "failed blocked blocked blocked queued"


def test_a_retry_unblocks_all_generations(world: World) -> None:
    world.push({"a": "", "b": "a", "c": "b"})
    worker = world.worker()
    world.ignore()
    ran(world, worker, "a", "failed")
    answer = world.ask(RetryAsked(selection=Selection(tasks=[1])))
    assert answer.value == {"retried": 1, "untouched": 0}
    assert world.states("a", "b", "c") == "queued pending pending"
    ran(world, worker, "a", attempt=2)
    assert world.states("a", "b", "c") == "succeeded queued pending"


def test_a_task_below_two_failures_stays_blocked_until_both_are_retried(world: World) -> None:
    world.push({"a": "", "b": "", "c": "a b"})
    worker = world.worker()
    world.ignore()
    ran(world, worker, "a", "failed")
    ran(world, worker, "b", "failed")
    world.ask(RetryAsked(selection=Selection(tasks=[1])))
    assert world.states("a", "b", "c") == "queued failed blocked"
    world.ask(RetryAsked(selection=Selection(tasks=[2])))
    assert world.states("a", "b", "c") == "queued queued pending"
    world.ignore()


def test_dependants_pushed_before_their_dependency_succeeded_wait_for_it(world: World) -> None:
    world.push({"a": ""})
    world.push({"b": "a"})
    assert world.states("a", "b") == "queued pending"
    worker = world.worker()
    world.ignore()
    ran(world, worker, "a")
    assert world.states("b") == "queued"


def test_dependants_pushed_after_their_dependency_succeeded_are_queued_at_once(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    world.ignore()
    ran(world, worker, "a")
    assert not world.state.batches, "a finished batch costs no memory"
    world.push({"b": "a"})
    assert runs(worker) == [(2, 1)]


def test_dependants_pushed_after_their_dependency_failed_are_blocked_and_come_free_by_its_retry(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    world.ignore()
    ran(world, worker, "a", "failed")
    world.push({"b": "a", "c": "b"})
    assert world.states("a", "b", "c") == "failed blocked blocked"
    world.ask(RetryAsked(selection=Selection(tasks=[1])))
    assert world.states("a", "b", "c") == "queued pending pending"
    assert runs(worker) == [(1, 2)]
    ran(world, worker, "a", attempt=2)
    assert world.states("a", "b", "c") == "succeeded queued pending"


def test_a_push_that_is_blocked_at_once_by_a_batch_under_way_comes_free_by_its_retry(world: World) -> None:
    world.push({"a": "", "other": ""})
    worker = world.worker()
    worker.began((2, 1))
    ran(world, worker, "a", "failed")
    world.push({"b": "a"})
    assert world.states("a", "b", "other") == "failed blocked running"
    world.ask(RetryAsked(selection=Selection(tasks=[1])))
    assert world.states("a", "b") == "queued pending"
    world.ignore()


def test_blocked_spreads_from_batch_to_batch(world: World) -> None:
    world.push({"a": ""})
    world.push({"b": "a"})
    world.push({"c": "b"})
    worker = world.worker()
    world.ignore()
    ran(world, worker, "a", "failed")
    assert world.states("a", "b", "c") == "failed blocked blocked"
    assert not world.state.batches


def test_redoing_a_succeeded_parent_lets_a_queued_child_wait_again(world: World) -> None:
    world.push({"a": "", "b": "a"})
    worker = world.worker(slots=1)
    world.ignore()
    ran(world, worker, "a")
    worker.ended(2, 1, "failed")
    world.ignore()
    worker.presence(online=False)  # nothing new is sent to it
    world.ask(RetryAsked(selection=Selection(tasks=[2])))
    assert world.states("a", "b") == "succeeded queued"
    world.ask(RedoAsked(selection=Selection(tasks=[1])))
    assert world.states("a", "b") == "queued pending"


def test_redoing_a_succeeded_parent_takes_back_a_child_that_was_sent(world: World) -> None:
    world.push({"a": "", "b": "a"})
    worker = world.worker(slots=1)
    world.ignore()
    worker.began((1, 1))
    worker.ended(1, 1)
    assert runs(worker) == [(2, 1)]
    world.ask(RedoAsked(selection=Selection(tasks=[1])))
    assert world.states("a", "b") == "queued queued", "it moves when the answer is there"
    taken = worker.orders()
    assert [(order.task, order.attempt) for order in taken if isinstance(order, TakeBack)] == [(2, 1)]
    worker.returned((2, 1))
    assert world.states("a", "b") == "queued pending"
    world.ignore()
    ran(world, worker, "a", attempt=2)
    assert world.states("a", "b") == "succeeded queued"
    assert world.row("b").attempt == 2


def test_a_child_that_had_begun_when_its_parent_was_redone_goes_on(world: World) -> None:
    world.push({"a": "", "b": "a"})
    worker = world.worker(slots=1)
    world.ignore()
    ran(world, worker, "a")
    worker.began((2, 1))
    world.ask(RedoAsked(selection=Selection(tasks=[1])))
    assert not worker.ordered(TakeBack)
    worker.ended(2, 1)
    assert world.states("a", "b") == "queued succeeded"
    world.ignore()


def test_a_redo_leaves_dependants_that_have_ended_as_they_are(world: World) -> None:
    world.push({"a": "", "b": "a"})
    worker = world.worker(slots=1)
    world.ignore()
    ran(world, worker, "a")
    ran(world, worker, "b")
    answer = world.ask(RedoAsked(selection=Selection(batches=[1], tasks=[1])))
    assert answer.value == {"redone": 2, "untouched": 0}
    world.ignore()
    ran(world, worker, "a", attempt=2)
    assert world.states("a", "b") == "succeeded queued"
    world.ignore()
    world.ask(RedoAsked(selection=Selection(tasks=[1])))
    world.ignore()
    assert world.row("b").attempt == 2
