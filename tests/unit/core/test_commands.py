"""What users ask for: cancel, retry, redo; asking for what is so already is no error."""

from __future__ import annotations

import pytest

from boss.core.events import CancelAsked, QuarantineAsked, RedoAsked, RetryAsked, Selection, StopAsked
from boss.core.model import Profile
from boss.core.reasons import Rejection, RejectionKind
from tests.worlds.scheduler import EndBoss, World
from wire.messages import Acknowledge, HeldAttempt, Kill, Run, TakeBack


def cancel(world: World, *tasks: int, batches: tuple[int, ...] = ()) -> dict[str, object]:
    return world.ask(CancelAsked(selection=Selection(tasks=list(tasks), batches=list(batches)))).value


def test_cancelling_a_batch_ends_all_of_it_that_has_not_ended(world: World) -> None:
    batch = world.push({"a": "", "b": "a", "c": "b", "d": ""}, profile=Profile(retries=1, retry_delay=60.0))
    worker = world.worker()
    worker.ended(4, 1)
    world.ignore()
    assert cancel(world, batches=(batch,)) == {"cancelled": 2, "asked": 1, "untouched": 1}
    assert world.states("a", "b", "c", "d") == "queued cancelled cancelled succeeded"
    assert [(order.task, order.attempt) for order in worker.ordered(Kill)] == [(1, 1)]
    worker.ended(1, 1, "cancelled", reason="killed")
    assert world.states("a") == "cancelled"
    assert world.attempt(1).ended == "cancelled"
    assert not world.state.batches
    assert [order.attempts for order in worker.ordered(Acknowledge)] == [[(1, 1)]]


def test_a_cancelled_task_blocks_its_dependants(world: World) -> None:
    world.push({"a": "", "b": "a"})
    cancel(world, 1)
    assert world.states("a", "b") == "cancelled blocked"


def test_a_task_that_ended_before_the_kill_arrived_has_succeeded(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    worker.began((1, 1))
    cancel(world, 1)
    worker.ended(1, 1)
    assert world.states("a") == "succeeded"
    world.ignore()


def test_a_task_that_failed_before_the_kill_arrived_is_not_tried_again(world: World) -> None:
    world.push({"a": ""}, profile=Profile(retries=5))
    worker = world.worker()
    worker.began((1, 1))
    cancel(world, 1)
    worker.ended(1, 1, "failed", exit_code=1)
    assert world.states("a") == "cancelled"
    world.ignore()


def test_a_task_whose_worker_died_before_the_kill_arrived_is_cancelled(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    worker.began((1, 1))
    cancel(world, 1)
    world.wait(60.0)
    assert world.states("a") == "cancelled"
    worker.hello()
    world.ignore()


def test_a_cancel_outlives_the_boss(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    worker.began((1, 1))
    cancel(world, 1)
    world.restart()
    worker.hello(HeldAttempt(task=1, attempt=1, phase="executing"))
    assert [order.task for order in worker.ordered(Kill)] == [1]
    worker.ended(1, 1, "cancelled")
    assert world.states("a") == "cancelled"
    world.ignore()


def test_cancelling_twice_is_no_error(world: World) -> None:
    world.push({"a": ""})
    cancel(world, 1)
    assert cancel(world, 1) == {"cancelled": 0, "asked": 0, "untouched": 1}


def test_cancelling_what_does_not_exist_answers_that_nothing_was_done(world: World) -> None:
    assert cancel(world, 99) == {"cancelled": 0, "asked": 0, "untouched": 0}


def test_cancelled_tasks_are_retried_only_by_name(world: World) -> None:
    batch = world.push({"a": "", "b": ""})
    cancel(world, 1, 2)
    answer = world.ask(RetryAsked(selection=Selection(batches=[batch])))
    assert answer.value == {"retried": 0, "untouched": 2, "untouched_states": {"cancelled": 2}}
    assert world.ask(RetryAsked(selection=Selection(tasks=[1]))).value == {"retried": 1, "untouched": 0}
    assert world.states("a", "b") == "queued cancelled"


@pytest.mark.parametrize("named", [False, True])
def test_a_retry_takes_what_cancelling_blocked_and_no_other_cancelled_task(world: World, named: bool) -> None:
    batch = world.push({"a": "", "b": "a", "c": "b", "other": ""})
    cancel(world, world.number("a"), world.number("other"))
    assert world.states("a", "b", "c", "other") == "cancelled blocked blocked cancelled"
    selection = Selection(tasks=[world.number("c")]) if named else Selection(batches=[batch])
    assert world.ask(RetryAsked(selection=selection)).value["retried"] == 1
    assert world.states("a", "b", "c", "other") == "queued pending pending cancelled"


def test_a_retry_begins_a_new_count_of_failures(world: World) -> None:
    world.push({"a": ""}, profile=Profile(retries=1, retry_delay=0.0))
    worker = world.worker()
    for attempt in (1, 2):
        worker.ended(1, attempt, "failed", exit_code=1)
        world.turn()
    assert (world.states("a"), world.row("a").failures) == ("failed", 2)
    world.ask(RetryAsked(selection=Selection(tasks=[1])))
    assert (world.states("a"), world.row("a").failures) == ("queued", 0)
    worker.ended(1, 3, "failed", exit_code=1)
    assert world.states("a") == "queued"
    world.ignore()


def test_attempt_numbers_go_on_counting(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    worker.ended(1, 1)
    world.ignore()
    world.ask(RedoAsked(selection=Selection(tasks=[1])))
    assert [(order.task, order.attempt) for order in worker.ordered(Run)] == [(1, 2)]


def test_a_redo_of_what_has_not_ended_leaves_it_alone(world: World) -> None:
    batch = world.push({"a": "", "b": "a"})
    answer = world.ask(RedoAsked(selection=Selection(batches=[batch])))
    assert answer.value == {"redone": 0, "untouched": 2, "untouched_states": {"pending": 1, "queued": 1}}


def test_a_quarantined_worker_gives_back_what_has_not_begun_and_keeps_what_has(world: World) -> None:
    world.push({"a": "", "b": "", "c": ""})
    worker = world.worker(slots=1)
    worker.began((1, 1))
    world.ignore()
    world.ask(QuarantineAsked(worker="w", reason="its disk is loud"))
    assert [order.task for order in worker.ordered(TakeBack)] == [2]
    worker.returned((2, 1))
    worker.ended(1, 1)
    assert not worker.ordered(Run)
    assert world.states("a", "b", "c") == "succeeded queued queued"
    assert world.store.workers["w"].quarantined == "manual: its disk is loud"
    world.ask(QuarantineAsked(worker="w", reason=""))
    assert [order.task for order in worker.ordered(Run)] == [2, 3]


def test_a_worker_that_is_not_there_cannot_be_quarantined(world: World) -> None:
    unknown = Rejection(RejectionKind.UNKNOWN_WORKER, "worker 'x' is not there")
    assert world.ask(QuarantineAsked(worker="x", reason="why not")).rejections == [unknown]


def test_a_boss_that_is_to_stop_sends_nothing_new_and_accepts_nothing(world: World) -> None:
    worker = world.worker()
    world.ignore()
    world.turn(StopAsked())
    assert len(world.take(EndBoss)) == 1
    answer = world.answer_to_push({"a": ""})
    (rejection,) = answer.rejections
    assert rejection.kind is RejectionKind.UNAVAILABLE and "about to stop" in rejection.text
    worker.beats()
    assert not worker.orders()
