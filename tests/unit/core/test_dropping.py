"""Tasks that a user drops: what becomes of them, of what depends on them, and of their ids."""

from __future__ import annotations

import pytest

from boss.core.events import CancelAsked, DropTasksAsked, RedoAsked, RetryAsked, Selection
from boss.core.graph import DROPPED
from boss.core.model import Profile, TaskState
from tests.worlds.merging import agree_after_restart, commands, ran
from tests.worlds.scheduler import FakeWorker, World, manifest, published
from wire.messages import Abandon, Collect, Forget, Kill, Published, Run


def drop(world: World, *tasks: int, batches: tuple[int, ...] = (), states: tuple[int, ...] = ()) -> dict[str, object]:
    selection = Selection(tasks=list(tasks), batches=list(batches))
    return world.ask(DropTasksAsked(selection=selection, states=list(states))).value


def counts(world: World, batch: int = 1) -> dict[str, int]:
    found = world.store.batches[batch].counts
    return {TaskState(state).word: count for state, count in enumerate(found) if count}


@pytest.fixture
def worker(world: World) -> FakeWorker:
    made = world.worker(slots=8)
    world.ignore()
    return made


# --- what is dropped, and what is not --------------------------------------------------------------


def test_all_of_a_batch_goes_whatever_it_is(world: World, worker: FakeWorker) -> None:
    batch = world.push({"a": "", "b": "", "c": "b", "d": ""})
    ran(world, worker, "a")
    ran(world, worker, "b", how="failed")
    worker.began((4, 1))
    assert drop(world, batches=(batch,)) == {"dropped": 4, "asked": 1, "needed": 0}
    assert counts(world) == {}
    assert world.states("a", "b", "c", "d") == "succeeded failed cancelled running"
    assert [(order.task, order.attempt) for order in worker.ordered(Kill)] == [(4, 1)]
    worker.ended(4, 1, "cancelled", reason="killed")
    assert world.states("d") == "cancelled" and counts(world) == {}
    assert not world.state.batches
    world.ignore()


def test_only_those_in_the_states_that_are_asked_for(world: World, worker: FakeWorker) -> None:
    batch = world.push({"a": "", "b": "", "c": "b"})
    ran(world, worker, "a")
    ran(world, worker, "b", how="failed")
    answered = drop(world, batches=(batch,), states=(TaskState.FAILED, TaskState.BLOCKED))
    assert answered == {"dropped": 2, "asked": 0, "needed": 0}
    assert counts(world) == {"succeeded": 1}


def test_what_is_dropped_already_is_there_no_more_for_any_wish(world: World, worker: FakeWorker) -> None:
    batch = world.push({"a": "", "b": ""})
    ran(world, worker, "b", how="failed")
    drop(world, 1, 2)
    worker.ended(1, 1, "cancelled")
    world.ignore()
    everything = Selection(tasks=[1, 2], batches=[batch])
    for event in (CancelAsked, RetryAsked, RedoAsked, DropTasksAsked):
        answer = world.ask(event(selection=everything))
        assert set(answer.value.values()) == {0}
    assert world.states("a", "b") == "cancelled failed"


def test_what_a_waiting_task_needs_is_kept(world: World, worker: FakeWorker) -> None:
    world.push({"a": "", "b": "a", "c": ""})
    ran(world, worker, "a", "c")
    assert drop(world, 1, 3) == {"dropped": 1, "asked": 0, "needed": 1}
    assert counts(world) == {"queued": 1, "succeeded": 1}
    ran(world, worker, "b")
    assert drop(world, 1) == {"dropped": 1, "asked": 0, "needed": 0}


def test_what_only_dropped_tasks_would_need_is_not_kept(world: World, worker: FakeWorker) -> None:
    batch = world.push({"a": "", "b": "a"})
    ran(world, worker, "a")
    assert drop(world, batches=(batch,)) == {"dropped": 2, "asked": 1, "needed": 0}
    assert [(order.task, order.attempt) for order in worker.ordered(Kill)] == [(2, 1)]


def test_dependants_of_what_had_not_succeeded_are_blocked(world: World) -> None:
    world.push({"a": "", "b": "a", "c": "b"})
    drop(world, 1)
    assert world.states("a", "b", "c") == "cancelled blocked blocked"
    assert counts(world) == {"blocked": 2}


def test_dependants_of_what_had_succeeded_go_on(world: World, worker: FakeWorker) -> None:
    world.push({"a": "", "x": "", "b": "a x"})
    ran(world, worker, "a")
    ran(world, worker, "x", how="failed")
    drop(world, 1)
    world.restart()
    worker.hello()
    world.ask(RetryAsked(selection=Selection(tasks=[2])))
    ran(world, worker, "x", "b")
    assert world.states("a", "x", "b") == "succeeded succeeded succeeded"


def test_it_is_dropped_when_it_succeeds_before_it_is_ordered_to_end(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""})
    worker.began((1, 1))
    drop(world, 1)
    worker.ended(1, 1)
    assert world.states("a") == "succeeded" and counts(world) == {}
    world.ignore()


def test_it_is_kept_after_all_when_it_succeeds_before_it_is_ended_and_a_waiting_task_needs_it(
    world: World, worker: FakeWorker
) -> None:
    world.push({"a": "", "b": "a", "c": ""})
    worker.began((1, 1))
    assert drop(world, 1) == {"dropped": 1, "asked": 1, "needed": 0}
    worker.ended(1, 1)
    assert counts(world) == {"succeeded": 1, "queued": 2}
    assert not world.row("a").dropped
    world.ignore()


def test_names_of_results_are_free_when_its_attempt_has_ended(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""}, results={"a": "out"})
    worker.began((1, 1))
    worker.ended(1, 1, manifest=manifest("out"))
    assert [order.task for order in world.datastore.ordered(Collect)] == [1]
    drop(world, 1)
    assert [order.task for order in world.datastore.ordered(Abandon)] == [1]
    assert "is also a result of task 'a'" in world.answer_to_push({"b": ""}, results={"b": "out"}).rejections[0].text
    world.datastore.report(Published(task=1, attempt=1, files=published("out")))  # too late to be abandoned
    assert world.states("a") == "succeeded" and not world.store.results
    assert world.answer_to_push({"b": ""}, results={"b": "out"}).rejections == []
    assert [order.attempts for order in world.datastore.ordered(Forget)] == [[(1, 1)]]
    world.ignore()


# --- over a restart, and again -----------------------------------------------------------------------


def test_the_next_boss_knows_what_is_dropped(world: World, worker: FakeWorker) -> None:
    world.push({"a": "", "b": "", "c": "b"})
    worker.began((1, 1))
    drop(world, 1, 3)
    world.ignore()
    world.restart()
    (batch,) = world.state.batches.values()
    assert [bool(flags & DROPPED) for flags in batch.flags] == [True, False, True]
    assert batch.counts == world.store.batches[1].counts and counts(world) == {"queued": 1}
    agree_after_restart(world)
    world.ignore()


def test_a_dropped_id_can_be_pushed_with_another_content_and_its_attempts_go_on(
    world: World, worker: FakeWorker
) -> None:
    world.push({"a": "", "b": ""})
    ran(world, worker, "a", "b")
    drop(world, 1)
    answer = world.answer_to_push({"a": "", "n": ""}, commands={"a": "new"})
    assert answer.value["tasks"] == 2 and answer.value["attached"] == 0 and answer.value["anew"] == 0
    assert commands(world, worker)[(1, 2)] == "new"
    assert counts(world) == {"queued": 1, "succeeded": 1}
    agree_after_restart(world)


def test_what_a_dropped_task_blocked_goes_on_when_it_is_pushed_again(world: World, worker: FakeWorker) -> None:
    world.push({"a": "", "b": "a"})
    ran(world, worker, "a", how="failed")
    drop(world, 1)
    world.push({"a": ""}, commands={"a": "mended"})
    ran(world, worker, "a", "b")
    assert world.states("a", "b") == "succeeded succeeded"


def test_one_that_is_pushed_again_while_its_attempt_is_ended_runs_after_that(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""})
    worker.began((1, 1))
    world.ignore()
    drop(world, 1)
    world.push({"a": ""}, commands={"a": "new"})
    assert not worker.ordered(Run)
    worker.ended(1, 1, "cancelled")
    assert world.attempt(1).ended == "superseded"
    assert commands(world, worker) == {(1, 2): "new"}
    assert counts(world) == {"queued": 1}


@pytest.mark.parametrize("strategy", ["", "replace", "keep_succeeded"])
def test_the_same_push_again_runs_what_was_dropped_whatever_the_strategy(
    world: World, worker: FakeWorker, strategy: str
) -> None:
    graph = {"a": "", "b": ""}
    world.push(graph)
    ran(world, worker, "a", "b")
    drop(world, 1, 2)
    world.push(graph, merge_strategy=strategy)
    assert set(commands(world, worker)) == {(1, 2), (2, 2)}


def test_what_is_below_a_replaced_task_and_dropped_does_not_run_again(world: World, worker: FakeWorker) -> None:
    world.push({"a": "", "b": "a", "c": "b"})
    ran(world, worker, "a", "b", "c")
    drop(world, 2)
    world.push({"a": ""}, merge_strategy="replace")
    ran(world, worker, "a")
    assert world.states("a", "b", "c") == "succeeded succeeded succeeded"
    assert not worker.ordered(Run)


def test_nothing_new_can_depend_on_a_dropped_task(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""})
    ran(world, worker, "a")
    drop(world, 1)
    answer = world.answer_to_push({"b": "a"})
    assert "dependency 'a' is neither in this file nor in project" in answer.rejections[0].text


def test_a_retry_that_waits_is_dropped(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""}, profile=Profile(retries=3, retry_delay=60.0))
    ran(world, worker, "a", how="failed")
    drop(world, 1)
    world.wait(200.0, worker)
    assert world.states("a") == "cancelled" and not worker.ordered(Run)
