"""Pushing again with a merge strategy: what runs again, what is kept, and what becomes of attempts under way."""

from __future__ import annotations

import pytest

from boss.core.events import CancelAsked, PauseAsked, RedoAsked, RetryAsked, Selection
from boss.core.model import Profile
from boss.core.reasons import RejectionKind
from tests.worlds.merging import agree_after_restart, commands, ran
from tests.worlds.scheduler import DIGEST, FakeWorker, World, manifest, published
from wire.messages import (
    Abandon,
    Abandoned,
    Collect,
    Found,
    HeldAttempt,
    Kill,
    LookUp,
    PhaseReached,
    Published,
    Run,
    Stage,
    StageDone,
    StageFailed,
    Store,
    Stored,
)

REPLACE = {"merge_strategy": "replace"}
KEEP = {"merge_strategy": "keep_succeeded"}


@pytest.fixture
def worker(world: World) -> FakeWorker:
    made = world.worker(slots=8)
    world.ignore()
    return made


# --- what runs again -------------------------------------------------------------------------------


def test_a_done_task_pushed_again_with_replace_runs_again_and_is_there_once(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""})
    ran(world, worker, "a")
    world.push({"a": ""}, **REPLACE)
    assert commands(world, worker) == {(1, 2): "echo a"}
    assert world.states("a") == "queued"
    assert list(world.store.tasks) == [1]
    ran(world, worker, "a")
    assert world.states("a") == "succeeded"


def test_another_content_runs_as_the_new_description_says_and_attempts_go_on_counting(
    world: World, worker: FakeWorker
) -> None:
    first = world.push({"a": ""})
    ran(world, worker, "a", how="failed")
    second = world.push({"a": ""}, commands={"a": "new"}, **REPLACE)
    assert commands(world, worker) == {(1, 2): "new"}
    assert world.store.batches[first].finished_at == 0.0 == world.store.batches[second].finished_at
    ran(world, worker, "a")
    assert world.store.batches[first].finished_at == world.now == world.store.batches[second].finished_at
    agree_after_restart(world)


def test_of_ten_tasks_six_of_which_are_done_keep_succeeded_runs_four(world: World, worker: FakeWorker) -> None:
    ids = [f"t{number}" for number in range(10)]
    world.push(dict.fromkeys(ids, ""))
    ran(world, worker, *ids[:6])
    ran(world, worker, *ids[6:8], how="failed")
    world.ask(CancelAsked(selection=Selection(tasks=[world.number(id) for id in ids[8:]])))
    kills = worker.ordered(Kill)
    for kill in kills:
        worker.ended(kill.task, kill.attempt, "cancelled")
    world.ignore()
    answer = world.answer_to_push(dict.fromkeys(ids, ""), commands={"t0": "other", "t6": "other"}, **KEEP)
    assert answer.value["anew"] == 4
    assert any("'t0'" in line for line in answer.value["warnings"])  # type: ignore[attr-defined]
    sent = commands(world, worker)
    assert sorted(task for task, _ in sent) == [world.number(id) for id in ids[6:]]
    assert sent[(world.number("t6"), 2)] == "other"


def test_what_has_not_ended_and_has_the_same_content_goes_on(world: World, worker: FakeWorker) -> None:
    world.push({"a": "", "b": "a"})
    worker.began((1, 1))
    world.ignore()
    world.push({"a": "", "b": "a"}, **REPLACE)
    assert worker.orders() == []
    ran(world, worker, "a", "b")
    assert world.states("a", "b") == "succeeded succeeded"


def test_replace_runs_dependants_again_also_in_other_batches_that_have_finished(
    world: World, worker: FakeWorker
) -> None:
    world.push({"a": "", "b": "a"})
    ran(world, worker, "a", "b")
    world.push({"c": "b", "d": ""})
    ran(world, worker, "c", "d")
    assert not world.state.batches
    world.push({"a": ""}, commands={"a": "new"}, **REPLACE)
    assert commands(world, worker) == {(1, 2): "new"}
    assert world.states("a", "b", "c", "d") == "queued pending pending succeeded"
    agree_after_restart(world)
    ran(world, worker, "a", "b", "c")
    assert world.states("a", "b", "c", "d") == "succeeded succeeded succeeded succeeded"
    assert not world.state.batches


def test_a_cancelled_dependant_stays_cancelled_and_a_failed_one_runs_again(world: World, worker: FakeWorker) -> None:
    world.push({"a": "", "b": "a", "c": "a"})
    ran(world, worker, "a")
    world.ask(CancelAsked(selection=Selection(tasks=[2])))
    worker.ended(2, 1, "cancelled")
    ran(world, worker, "c", how="failed")
    world.push({"a": ""}, **REPLACE)
    world.ignore()
    assert world.states("a", "b", "c") == "queued cancelled pending"


def test_keep_succeeded_leaves_dependants_to_themselves(world: World, worker: FakeWorker) -> None:
    world.push({"a": "", "b": "a"})
    ran(world, worker, "a", "b")
    world.ask(RedoAsked(selection=Selection(tasks=[1])))
    world.ignore()
    ran(world, worker, "a", how="failed")
    world.push({"a": ""}, commands={"a": "new"}, **KEEP)
    assert commands(world, worker) == {(1, 3): "new"}
    assert world.states("a", "b") == "queued succeeded"


def test_new_tasks_of_the_push_wait_for_replaced_ones_and_replaced_ones_for_new_ones(
    world: World, worker: FakeWorker
) -> None:
    world.push({"a": "", "b": "a"})
    ran(world, worker, "a", "b")
    world.push({"a": "first", "b": "a", "first": "", "last": "b"}, commands={"a": "new"}, **REPLACE)
    assert world.states("first", "a", "b", "last") == "queued pending pending pending"
    agree_after_restart(world)
    world.ignore()
    ran(world, worker, "first", "a", "b", "last")
    assert world.states("first", "a", "b", "last") == "succeeded succeeded succeeded succeeded"


def test_a_dependency_that_was_removed_is_no_longer_waited_for(world: World, worker: FakeWorker) -> None:
    world.push({"a": "", "b": "", "c": "a b"})
    ran(world, worker, "a", how="failed")
    assert world.states("b", "c") == "queued blocked"
    world.push({"c": "b"}, commands={"c": "new"}, **REPLACE)
    assert world.states("a", "b", "c") == "failed queued pending"
    agree_after_restart(world)
    ran(world, worker, "b")
    assert world.states("c") == "queued"
    world.ask(RetryAsked(selection=Selection(tasks=[1])))
    world.ignore()
    assert world.states("a", "c") == "queued queued"


def test_a_dependency_in_another_batch_may_come_and_go(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""})
    ran(world, worker, "a", how="failed")
    world.push({"b": ""})
    ran(world, worker, "b")
    world.push({"b": "a"}, commands={"b": "with a"}, **REPLACE)
    assert world.states("b") == "blocked"
    agree_after_restart(world)
    world.push({"b": ""}, commands={"b": "without"}, **REPLACE)
    assert world.states("a", "b") == "failed queued"
    agree_after_restart(world)
    world.ignore()
    ran(world, worker, "b")
    world.restart()
    assert not world.state.batches
    world.ignore()


def test_a_cycle_by_way_of_tasks_that_the_push_does_not_name_is_refused_with_the_cycle(
    world: World, worker: FakeWorker
) -> None:
    world.push({"a": "", "b": "a", "c": "b"})
    ran(world, worker, "a", "b", "c")
    answer = world.answer_to_push({"a": "c"}, commands={"a": "new"}, **REPLACE)
    (rejection,) = answer.rejections
    assert rejection.kind is RejectionKind.CYCLE
    assert "wait for itself" in rejection.text and "'a' <- task number 2 <- task number 3" in rejection.text
    assert world.states("a", "b", "c") == "succeeded succeeded succeeded"
    assert worker.orders() == []


def test_a_cycle_by_a_result_that_a_replaced_task_does_not_make_any_more_is_refused(world: World) -> None:
    """The name is still the former description's when the push is handled."""
    world.push({"a": ""}, results={"a": "x"})
    more = {"commands": {"a": "new"}, "external_names": [(1, "x")]}
    answer = world.answer_to_push({"a": "b", "b": ""}, **more, **REPLACE)
    assert "'a' <- 'b' <- 'a'" in answer.rejections[0].text
    assert not world.answer_to_push({"a": "", "b": ""}, **more, **REPLACE).rejections


def test_a_push_of_all_that_depends_on_a_replaced_task_has_no_cycle_however_it_turns_them(world: World) -> None:
    world.push({"a": "", "b": "a", "c": "b"})
    turned = {"commands": dict.fromkeys("abc", "new"), **REPLACE}
    assert not world.answer_to_push({"c": "", "b": "c", "a": "b"}, **turned).rejections


def test_a_cycle_by_way_of_another_batch_begins_with_the_replaced_task(world: World) -> None:
    world.push({"a": "", "b": "a"})
    world.push({"c": "b", "d": "c"})
    answer = world.answer_to_push({"x": "d", "a": "x"}, commands={"a": "new"}, **REPLACE)
    assert "'a' <- task number 2 <- task number 3 <- task number 4 <- 'x' <- 'a'" in answer.rejections[0].text


def test_a_name_that_a_replaced_task_gives_up_may_be_another_tasks(world: World, worker: FakeWorker) -> None:
    world.push({"a": "", "b": ""}, results={"a": "x", "b": "y"})
    assert world.answer_to_push({"c": ""}, results={"c": "x"}, **REPLACE).rejections
    changed = {"commands": {"a": "new"}, "results": {"a": "z", "c": "x"}}
    world.push({"a": "", "c": ""}, **changed, **REPLACE)
    world.ignore()
    assert world.store.result_names([1, 2, 3]) == {1: ["z"], 2: ["y"], 3: ["x"]}


def test_a_boss_whose_database_was_taken_over_refuses_a_push_that_meets_what_the_other_one_accepted(
    world: World,
) -> None:
    world.push({"a": ""}, results={"a": "out"})
    world.ignore()
    world.state.next_task = 1  # it does not know of what another boss accepted
    answer = world.answer_to_push({"a": "", "b": "a"}, results={"a": "out"})
    (rejection,) = answer.rejections
    assert rejection.kind is RejectionKind.UNAVAILABLE and "taken over its database" in rejection.text
    world.state.next_task = 2


# --- attempts under way ----------------------------------------------------------------------------


def test_an_executing_attempt_is_killed_and_its_outcome_counts_for_nothing(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""})
    worker.began((1, 1))
    world.ignore()
    world.push({"a": ""}, commands={"a": "new"}, **REPLACE)
    assert [(kill.task, kill.attempt) for kill in worker.ordered(Kill)] == [(1, 1)]
    assert world.states("a") == "running"
    worker.ended(1, 1, "succeeded")  # it was quicker than the kill
    assert world.attempt(1, 1).ended == "superseded"
    assert commands(world, worker) == {(1, 2): "new"}
    ran(world, worker, "a")
    assert world.states("a") == "succeeded"


@pytest.mark.parametrize("how", ["cancelled", "failed", "timed_out"])
def test_however_a_superseded_attempt_ends_it_uses_up_no_retry(world: World, worker: FakeWorker, how: str) -> None:
    world.push({"a": ""})
    worker.began((1, 1))
    world.ignore()
    world.push({"a": ""}, commands={"a": "new"}, **REPLACE)
    world.ignore()
    worker.ended(1, 1, how, exit_code=1)
    assert (world.row("a").failures, world.states("a")) == (0, "queued")
    assert commands(world, worker) == {(1, 2): "new"}


def test_one_that_was_sent_ahead_never_runs_as_the_new_description_under_the_old_number(
    world: World, worker: FakeWorker
) -> None:
    """Its Run was lost; the worker says hello without it. Sent again it would be the new task as attempt 1."""
    world.push({"a": ""})
    world.ignore()
    world.push({"a": ""}, commands={"a": "new"}, **REPLACE)
    world.ignore()
    worker.restarted()
    assert commands(world, worker) == {(1, 2): "new"}
    assert world.attempt(1, 1).ended in ("superseded", "lost")


def test_an_unconfirmed_run_of_the_former_description_is_not_sent_again_but_its_kill_is(world: World) -> None:
    worker = world.worker()
    worker.orders()
    world.push({"a": ""})
    worker.received.clear()  # lost on the way, never confirmed
    world.push({"a": ""}, commands={"a": "new"}, **REPLACE)
    worker.received.clear()
    world.wait(world.policy.resend * 3, worker)
    sent = worker.orders()
    assert any(isinstance(order, Kill) for order in sent)
    assert not [order for order in sent if isinstance(order, Run)]
    worker.ended(1, 1, "cancelled")
    assert commands(world, worker) == {(1, 2): "new"}


def test_after_a_restart_of_the_boss_the_former_attempt_is_still_ended_first(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""})
    worker.began((1, 1))
    world.ignore()
    world.push({"a": ""}, commands={"a": "new"}, **REPLACE)
    world.restart()
    worker.orders()
    worker.hello(HeldAttempt(task=1, attempt=1, phase="executing"))
    assert [(kill.task, kill.attempt) for kill in worker.ordered(Kill)] == [(1, 1)]
    worker.ended(1, 1, "cancelled")
    assert commands(world, worker) == {(1, 2): "new"}
    world.datastore.hello()
    world.ignore()


def test_an_attempt_whose_worker_is_lost_is_not_taken_up_again(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""})
    worker.began((1, 1))
    world.ignore()
    world.wait(world.policy.lease + 1)
    assert world.states("a") == "queued"
    world.push({"a": ""}, commands={"a": "new"}, **REPLACE)
    world.ignore()
    worker.hello(HeldAttempt(task=1, attempt=1, phase="executing"))
    assert commands(world, worker) == {(1, 2): "new"}
    worker.ended(1, 1, "succeeded")
    world.ignore()
    assert world.states("a") == "queued"


def test_one_that_is_collecting_is_abandoned_and_waited_for(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""}, results={"a": "out"})
    worker.began((1, 1))
    worker.ended(1, 1, manifest=manifest("out"))
    assert len(world.datastore.ordered(Collect)) == 1
    world.ignore()
    world.push({"a": ""}, commands={"a": "new"}, results={"a": "out"}, **REPLACE)
    assert len(world.datastore.ordered(Abandon)) == 1
    assert worker.orders() == []
    world.datastore.report(Abandoned(task=1, attempt=1, fault="asked", reason="asked to"))
    assert commands(world, worker) == {(1, 2): "new"}
    assert world.attempt(1, 1).ended == "superseded"
    world.ignore()


def test_one_that_was_published_before_it_could_be_abandoned_runs_again_all_the_same(
    world: World, worker: FakeWorker
) -> None:
    world.push({"a": ""}, results={"a": "out"})
    worker.began((1, 1))
    worker.ended(1, 1, manifest=manifest("out"))
    world.push({"a": ""}, commands={"a": "new"}, results={"a": "out"}, **REPLACE)
    world.ignore()
    world.datastore.report(Published(task=1, attempt=1, files=published("out")))
    assert world.states("a") == "queued"
    assert commands(world, worker) == {(1, 2): "new"}
    world.ignore()


def test_staging_of_the_former_inputs_decides_nothing(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""}, requirements={"a": "table"})
    assert len(world.datastore.ordered(Stage)) == 1
    world.ignore()
    world.push({"a": ""}, commands={"a": "new"}, **REPLACE)
    assert len(worker.ordered(Kill)) == 1
    world.datastore.report(StageFailed(task=1, attempt=1, reason="table is not there", fault="input"))
    assert world.states("a") == "queued"
    assert commands(world, worker) == {(1, 2): "new"}
    world.ignore()


def test_former_inputs_that_arrive_late_change_nothing(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""}, requirements={"a": "table"})
    world.push({"a": ""}, commands={"a": "new"}, **REPLACE)
    world.ignore()
    world.datastore.report(StageDone(task=1, attempt=1, inputs=[]))
    world.ignore()
    worker.report(PhaseReached(task=1, attempt=1, phase="executing"))
    worker.ended(1, 1, "cancelled")
    assert commands(world, worker) == {(1, 2): "new"}
    world.ignore()


def test_a_running_dependant_is_superseded_as_well(world: World, worker: FakeWorker) -> None:
    world.push({"a": "", "b": "a"})
    ran(world, worker, "a")
    worker.began((2, 1))
    world.push({"a": ""}, commands={"a": "new"}, **REPLACE)
    assert [(kill.task, kill.attempt) for kill in worker.ordered(Kill)] == [(2, 1)]
    worker.ended(2, 1, "succeeded")
    assert world.states("a", "b") == "queued pending"
    ran(world, worker, "a")
    assert world.row("b").attempt == 2
    ran(world, worker, "b")
    assert world.states("a", "b") == "succeeded succeeded"


def test_a_cancelled_task_whose_end_is_waited_for_runs_again_when_it_is_replaced(
    world: World, worker: FakeWorker
) -> None:
    world.push({"a": ""})
    worker.began((1, 1))
    world.ask(CancelAsked(selection=Selection(tasks=[1])))
    world.push({"a": ""}, commands={"a": "new"}, **REPLACE)
    world.ignore()
    worker.ended(1, 1, "cancelled")
    assert commands(world, worker) == {(1, 2): "new"}
    assert world.states("a") == "queued"


def test_a_replaced_task_that_is_cancelled_ends_as_cancelled(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""})
    worker.began((1, 1))
    world.push({"a": ""}, commands={"a": "new"}, **REPLACE)
    world.ask(CancelAsked(selection=Selection(tasks=[1])))
    world.ignore()
    worker.ended(1, 1, "cancelled")
    world.ignore()
    assert world.states("a") == "cancelled"


# --- queues, look-ups, files -----------------------------------------------------------------------


def test_a_waiting_task_is_queued_by_its_new_profile_and_by_that_only(world: World) -> None:
    world.push({"a": "", "b": ""}, profile=Profile(pool="big"))
    world.push({"a": ""}, commands={"a": "new"}, profile=Profile(pool="small"), **REPLACE)
    assert sum(waiting.count for waiting in world.state.ready.by_demand.values()) == 2
    big = world.worker("big", pool="big")
    assert [run.task for run in big.ordered(Run)] == [2]
    small = world.worker("small", pool="small")
    assert commands(world, small) == {(1, 1): "new"}


def test_a_look_up_for_the_former_results_does_not_let_the_new_task_succeed(world: World, worker: FakeWorker) -> None:
    skipping = Profile(overwrite_result=False)
    world.push({"a": ""}, results={"a": "x"}, profile=skipping)
    assert len(world.datastore.ordered(LookUp)) == 1
    world.push({"a": ""}, results={"a": "y"}, commands={"a": "new"}, profile=skipping, **REPLACE)
    world.datastore.report(Found(task=1, files=published("x"), complete=True))
    assert world.states("a") == "queued"
    assert list(commands(world, worker).values()) == ["new"]
    world.ignore()


def test_a_task_that_succeeded_because_its_results_existed_runs_when_it_is_redone(
    world: World, worker: FakeWorker
) -> None:
    world.push({"a": ""}, results={"a": "x"}, profile=Profile(overwrite_result=False))
    world.datastore.report(Found(task=1, files=published("x"), complete=True))
    assert world.states("a") == "succeeded"
    world.ask(RedoAsked(selection=Selection(tasks=[1])))
    assert len(commands(world, worker)) == 1
    world.ignore()


def test_a_replaced_task_waits_for_the_files_of_the_push_also_after_a_restart(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""})
    ran(world, worker, "a")
    world.push({"a": ""}, commands={"a": "new"}, files=["net.inp"], **REPLACE)
    assert len(world.datastore.ordered(Store)) == 1
    assert worker.orders() == []
    world.restart()
    worker.hello()
    assert not worker.ordered(Run)
    world.datastore.hello()
    world.datastore.report(Stored(name="net.inp", digest=DIGEST))
    assert commands(world, worker) == {(1, 2): "new"}
    world.ignore()


def test_a_paused_batch_keeps_its_replaced_tasks_waiting_too(world: World, worker: FakeWorker) -> None:
    first = world.push({"a": "", "b": ""})
    ran(world, worker, "a")
    world.ask(PauseAsked(batch=first, reason="night"))
    world.push({"a": ""}, **REPLACE)
    world.ignore()
    assert world.states("a") == "queued"
    world.ask(PauseAsked(batch=first, reason=""))
    assert (1, 2) in commands(world, worker)
    world.ignore()


# --- without a strategy: redo and retry across batches ---------------------------------------------


def test_a_retry_in_a_finished_batch_unblocks_dependants_in_other_finished_batches(
    world: World, worker: FakeWorker
) -> None:
    world.push({"a": ""})
    world.push({"b": "a"})
    world.push({"c": "b"})
    ran(world, worker, "a", how="failed")
    assert world.states("a", "b", "c") == "failed blocked blocked"
    world.restart()
    worker.hello()
    world.datastore.hello()
    world.ignore()
    assert not world.state.batches
    world.ask(RetryAsked(selection=Selection(tasks=[1])))
    assert world.states("a", "b", "c") == "queued pending pending"
    world.ignore()
    ran(world, worker, "a", "b", "c")
    assert world.states("a", "b", "c") == "succeeded succeeded succeeded"
