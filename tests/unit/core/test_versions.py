"""The next version of a batch: whose it is, what runs again, what is kept, what is said first."""

from __future__ import annotations

from typing import cast

import pytest

from boss.core.events import CancelAsked, PauseAsked, RedoAsked, Selection, Submitted
from boss.core.plan import Plan, lines
from boss.core.reasons import RejectionKind
from boss.core.rows import Known
from tests.worlds.merging import agree_after_restart, commands, ran
from tests.worlds.scheduler import FakeWorker, World, submission
from wire.messages import Kill, Run

KEEP = {"merge_strategy": "keep_succeeded"}


@pytest.fixture
def worker(world: World) -> FakeWorker:
    made = world.worker(slots=8)
    world.ignore()
    return made


def plan_of(world: World, graph: dict[str, str], **more: object) -> Plan:
    answer = world.answer_to_push(graph, **more)
    assert not answer.rejections, answer.rejections
    return cast(Plan, answer.value["plan"])


def said(plan: Plan) -> str:
    return "\n".join(lines(plan, {}))


# --- whose it is -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({}, {}, True),
        ({"submitter": "ana", "source": "a"}, {"submitter": "ana", "source": "a", "named": False}, True),
        ({"submitter": "ana", "source": "a"}, {"submitter": "ana", "source": "b", "named": False}, False),
        ({"submitter": "ana", "source": "a"}, {"submitter": "ana", "source": "b"}, True),
        ({"submitter": "ana", "source": "a"}, {"submitter": "bob", "source": "a"}, False),
        ({"submitter": "ana", "source": "a"}, {"submitter": "bob", "source": "a", "named": False}, False),
        ({"name": "study"}, {"name": "Study"}, False),
        # Rows of older programs state neither.
        ({}, {"submitter": "bob", "source": "b", "named": False}, True),
        ({"submitter": "ana", "source": "a"}, {}, True),
    ],
)
def test_the_same_batch_is_the_same_name_submitter_and_for_a_files_name_the_same_file(
    world: World, first: dict[str, object], second: dict[str, object], same: bool
) -> None:
    world.push({"a": ""}, **first)
    answer = world.answer_to_push({"a": ""}, commands={"a": "new"}, **second)
    kinds = [each.kind for each in answer.rejections]
    assert kinds == ([] if same else [RejectionKind.ID_CLASH])
    world.ignore()


def test_a_batch_of_another_user_is_named_with_what_to_type(world: World) -> None:
    world.push({"a": ""}, name="tasks", submitter="ana", source="a", named=False)
    answer = world.answer_to_push({"a": ""}, name="tasks", submitter="bob", source="b", named=False)
    text = answer.rejections[0].text
    assert "'tasks' of ana" in text and "'tasks' of bob" in text
    assert "--project" in text and "--merge_strategy replace" in text
    moved = world.answer_to_push({"a": ""}, name="tasks", submitter="ana", source="c", named=False)
    assert "--name tasks" in moved.rejections[0].text and "another file" in moved.rejections[0].text
    assert world.push({"a": ""}, name="tasks", submitter="ana", source="c") == 2  # what the sentence says


def test_a_strategy_makes_the_tasks_of_another_batch_ones_of_this_as_well(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""}, name="one")
    ran(world, worker, "a")
    assert world.answer_to_push({"a": ""}, name="two").rejections
    world.push({"a": ""}, name="two", merge_strategy="replace")
    world.ignore()
    ran(world, worker, "a")
    assert plan_of(world, {"a": ""}, name="two").unchanged == 1
    assert plan_of(world, {"a": ""}, name="one").unchanged == 1


def test_ids_made_of_contents_are_shared_between_batches(world: World) -> None:
    world.push({"a": ""}, name="one", created_ids=True)
    world.push({"a": ""}, name="two", created_ids=True)
    answer = world.answer_to_push({"a": ""}, name="third", created_ids=True, commands={"a": "new"})
    assert answer.rejections, "the same id with another content"


# --- what runs again -------------------------------------------------------------------------------


def test_it_runs_what_is_new_or_changed_and_what_depends_on_it_and_says_so(world: World, worker: FakeWorker) -> None:
    graph = {"pre": "", "post": "pre", "plot": "post", "side": "pre"}
    world.push(graph)
    ran(world, worker, "pre", "post", "side", "plot")
    graph = {**graph, "more": "pre"}
    plan = plan_of(world, graph, commands={"post": "new"})
    assert (plan.unchanged, plan.changed.ids, plan.new.ids, plan.dependants.ids) == (2, ["post"], ["more"], ["plot"])
    assert lines(plan, {})[0] == "5 tasks: 2 unchanged, 1 changed (post), 1 new (more), 1 depends on them"
    sent = commands(world, worker)
    assert sent == {(world.number("post"), 2): "new", (world.number("more"), 1): "echo more"}
    agree_after_restart(world)
    ran(world, worker, "post", "more", "plot")
    assert world.states(*graph) == " ".join(["succeeded"] * 5)
    done = plan_of(world, graph, commands={"post": "new"})
    assert done.done and "All of it is done already" in said(done)


def test_what_failed_runs_again_and_what_a_user_cancelled_does_not(world: World, worker: FakeWorker) -> None:
    graph = {"a": "", "b": "a", "c": "", "d": ""}
    world.push(graph)
    ran(world, worker, "a", how="failed")
    world.ask(CancelAsked(selection=Selection(tasks=[world.number("c"), world.number("d")])))
    for kill in worker.ordered(Kill):
        worker.ended(kill.task, kill.attempt, "cancelled")
    world.ignore()
    plan = plan_of(world, graph, commands={"d": "new"})
    assert (plan.again.ids, plan.changed.ids, plan.cancelled.ids) == (["a"], ["d"], ["c", "d"])
    assert "redo_task c" in said(plan)
    assert world.states("a", "b", "c", "d") == "queued pending cancelled cancelled"
    world.ignore()
    ran(world, worker, "a", "b")
    world.ask(RedoAsked(selection=Selection(tasks=[world.number("d")])))
    assert commands(world, worker)[(world.number("d"), 2)] == "new", "its description is the new version's"


def test_a_paused_batch_stays_paused_in_its_next_version(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""})
    world.ask(PauseAsked(batch=1, reason="lunch"))
    world.ignore()
    plan = plan_of(world, {"a": "", "b": ""})
    assert plan.paused == [1] and "resume_batch 1" in said(plan)
    assert world.store.batches[2].paused == "lunch"
    assert not worker.ordered(Run)
    world.push({"c": ""})
    assert [order.task for order in worker.ordered(Run)] == [world.number("c")], "nothing in common with it"


def test_what_is_no_longer_in_the_file_stays_and_is_listed_until_it_is_pruned(world: World, worker: FakeWorker) -> None:
    world.push({"a": "", "b": "", "c": "b"}, results={"b": "b.out"})
    ran(world, worker, "a")
    plan = plan_of(world, {"a": ""})
    assert plan.left_out.ids == ["b", "c"] and "no longer in the file" in said(plan) and "--prune" in said(plan)
    assert world.states("b", "c") == "queued pending"
    answer = world.answer_to_push({"a": "", "new": ""}, results={"new": "b.out"})
    assert "--prune" in answer.rejections[0].text
    worker.began((world.number("b"), 1))
    world.push({"a": "", "new": ""}, results={"new": "b.out"}, prune=True)
    assert [kill.task for kill in worker.ordered(Kill)] == [world.number("b")]
    assert world.row("b").dropped and world.row("c").dropped
    worker.ended(world.number("b"), 1, "cancelled")
    assert world.store.results[("default", "b.out")].task == world.number("new")
    assert not plan_of(world, {"a": "", "new": ""}, results={"new": "b.out"}).left_out.count
    world.ignore()


def test_what_runs_now_is_superseded_only_when_its_user_says_so(world: World, worker: FakeWorker) -> None:
    world.push({"a": "", "b": "a"})
    worker.began((1, 1))
    world.wait(7500.0, worker)
    world.ignore()
    answer = world.answer_to_push({"a": "", "b": "a"}, commands={"a": "new"})
    assert {each.kind for each in answer.rejections} == {RejectionKind.UNCONFIRMED}
    assert "a has run for 2 h 5 min" in answer.rejections[1].text
    assert worker.orders() == [] and len(world.store.batches) == 1
    world.push({"a": "", "b": "a"}, commands={"a": "new"}, confirmed=True)
    assert [kill.task for kill in worker.ordered(Kill)] == [1]
    worker.ended(1, 1, "cancelled")
    assert commands(world, worker) == {(1, 2): "new"}


def test_a_dry_run_says_the_same_and_changes_nothing(world: World, worker: FakeWorker) -> None:
    world.push({"a": "", "b": "a"})
    ran(world, worker, "a")
    worker.began((2, 1))
    world.ignore()
    plan = plan_of(world, {"a": "", "b": "a", "c": ""}, commands={"a": "new"}, dry_run=True, prune=True)
    assert (plan.changed.ids, plan.new.ids, plan.running) == (["a"], ["c"], 1)
    assert "1 task runs now, is ended and begins again" in said(plan)
    assert len(world.store.batches) == 1 and world.states("a", "b") == "succeeded running"
    assert worker.orders() == []


def test_dependants_in_other_batches_run_again_and_are_counted(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""}, name="one")
    ran(world, worker, "a")
    world.push({"b": "a"}, name="two")
    ran(world, worker, "b")
    plan = plan_of(world, {"a": ""}, name="one", commands={"a": "new"})
    assert (plan.outside, plan.outside_numbers) == (1, [world.number("b")])
    assert "b" in lines(plan, {world.number("b"): "b"})[1]
    assert world.states("a", "b") == "queued pending"
    world.ignore()


def test_a_result_of_an_earlier_push_is_no_reason_for_a_warning(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""}, results={"a": "mesh"})
    more = {"requirements": {"b": "mesh/x none"}, "external_names": [(0, "mesh/x"), (0, "none")]}
    answer = world.answer_to_push({"b": ""}, name="other", **more)
    (warning,) = cast(list[str], answer.value["warnings"])
    assert "`none`" in warning and "must be on the datastore" in warning
    world.ignore()


# --- init tasks ------------------------------------------------------------------------------------


def inits_ran(world: World, worker: FakeWorker) -> list[str]:
    """What it is sent of init tasks, each of which succeeds; its tasks wait for these."""
    runs = worker.ordered(Run)
    inits = [run for run in runs if run.init]
    for run in inits:
        worker.ended(run.task, run.attempt)
    assert all(set(run.inits) <= set(worker.seen.initialized) for run in runs)
    assert all({init.task for init in inits} <= set(run.inits) for run in runs if not run.init)
    return [str(run.execution.commands[0]) for run in inits]


def test_changed_init_tasks_run_before_the_next_task_of_that_version_and_former_ones_do_not(world: World) -> None:
    world.push({"a": "", "b": ""}, inits=["first", "old"])
    worker = world.worker(slots=8)
    assert inits_ran(world, worker) == ["prepare first", "prepare old"]
    ran(world, worker, "a")
    worker.began((world.number("b"), 1))
    world.ignore()
    world.push({"a": "", "b": ""}, commands={"a": "new"}, inits=["first", "new"])
    assert inits_ran(world, worker) == ["prepare new"]
    world.ignore()
    ran(world, worker, "a", "b")
    world.restart()
    other = world.worker("other", slots=8)
    world.push({"a": "", "b": ""}, commands={"a": "newer"}, inits=["first", "new"])
    assert inits_ran(world, other) == ["prepare first", "prepare new"], "on a worker where none has run"
    world.ignore()


def test_an_init_task_that_could_run_nowhere_is_replaced_by_one_that_can(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""}, inits=["broken"])
    (init, *_) = [run for run in worker.ordered(Run) if run.init]
    world.push({"a": ""}, inits=["mended"])
    killed = {kill.task for kill in worker.ordered(Kill)}
    assert killed == {init.task, world.number("a")}, "what was sent ahead waits for the former one"
    worker.ended(init.task, init.attempt, "failed", exit_code=1)
    assert not world.state.workers["w"].init_failures, "it is not asked for any more"
    assert world.store.inits[init.task].retired
    world.ignore()


def test_a_worker_that_is_quarantined_for_a_former_init_task_is_released(world: World, worker: FakeWorker) -> None:
    world.push({"a": ""}, inits=["broken"])
    for _ in range(world.policy.init_tries):
        (init,) = [run for run in worker.ordered(Run) if run.init]
        worker.ended(init.task, init.attempt, "failed", exit_code=1)
        worker.returned(*[key for key in worker.seen.attempts if key[0] == world.number("a")])
    assert worker.seen.quarantined
    world.push({"a": ""}, inits=["mended"])
    assert not worker.seen.quarantined
    assert inits_ran(world, worker) == ["prepare mended"]
    world.ignore()


def test_the_same_init_tasks_do_not_run_again(world: World, worker: FakeWorker) -> None:
    world.push({"a": "", "b": ""}, inits=["first"])
    assert inits_ran(world, worker) == ["prepare first"]
    ran(world, worker, "a", "b")
    world.push({"a": "", "b": ""}, commands={"a": "new"}, inits=["first"])
    assert inits_ran(world, worker) == []
    world.ignore()


# --- results that are gone or another task's -------------------------------------------------------


def push_gone(world: World, gone: list[str], **more: object) -> Plan:
    pushed = submission({"a": "", "b": "a"}, results={"a": "a.out"}, requirements={"b": "a.out"}, **more)  # type: ignore[arg-type]
    answer = world.ask(Submitted(submission=pushed, known=Known(), gone=gone))
    assert not answer.rejections
    return cast(Plan, answer.value["plan"])


@pytest.mark.parametrize("strategy", ["", "keep_succeeded", "replace"])
def test_a_task_whose_results_are_gone_does_not_count_as_done(world: World, worker: FakeWorker, strategy: str) -> None:
    world.push({"a": ""})
    ran(world, worker, "a")
    pushed = submission({"a": ""}, merge_strategy=strategy)
    answer = world.ask(Submitted(submission=pushed, known=Known(), gone=["a"]))
    assert cast(Plan, answer.value["plan"]).remade.ids == ["a"]
    assert "results are gone" in said(cast(Plan, answer.value["plan"]))
    assert commands(world, worker) == {(1, 2): "echo a"}


def test_a_task_whose_result_another_one_has_written_meanwhile_runs_again(world: World, worker: FakeWorker) -> None:
    shared = {"allow_shared_results": True, "created_ids": True}
    world.push({"first": ""}, results={"first": "x"}, **shared)
    ran(world, worker, "first")
    world.push({"second": ""}, results={"second": "x"}, **shared)  # edited
    ran(world, worker, "second")
    plan = plan_of(world, {"first": ""}, results={"first": "x"}, **shared)  # edited back
    assert plan.remade.ids == ["first"]
    assert (world.number("first"), 2) in commands(world, worker)
    assert world.store.results[("default", "x")].task == world.number("first")


def test_two_tasks_of_one_file_may_go_on_sharing_a_name(world: World, worker: FakeWorker) -> None:
    shared = {"results": {"a": "x", "b": "x"}, "allow_shared_results": True}
    world.push({"a": "", "b": ""}, **shared)
    ran(world, worker, "a", "b")
    assert plan_of(world, {"a": "", "b": ""}, **shared).unchanged == 2


# --- inputs that may be others ---------------------------------------------------------------------


def test_keep_succeeded_names_those_that_are_not_up_to_date(world: World, worker: FakeWorker) -> None:
    graph = {"a": "", "b": "a", "c": "b"}
    world.push(graph)
    ran(world, worker, "a", "b", "c")
    world.ask(RedoAsked(selection=Selection(tasks=[1])))
    world.ignore()
    ran(world, worker, "a", how="failed")
    plan = plan_of(world, graph, **KEEP)
    assert plan.stale.ids == ["b"] and "not up to date" in said(plan)
    world.ignore()
    ran(world, worker, "a")
    assert world.states("a", "b") == "succeeded succeeded"
    assert plan_of(world, graph, **KEEP).stale.ids == ["b"], "as long as it is not up to date"
    world.restart()
    assert plan_of(world, graph, **KEEP).stale.ids == ["b"], "the next boss knows it"
    world.ignore()


def test_the_next_version_runs_those_that_are_not_up_to_date(world: World) -> None:
    graph = {"a": "", "b": "a"}
    worker = world.worker(slots=8)
    world.push(graph)
    ran(world, worker, "a", "b")
    world.ask(RedoAsked(selection=Selection(tasks=[1])))
    ran(world, worker, "a")
    plan = plan_of(world, graph)
    assert (plan.outdated.ids, plan.unchanged) == (["b"], 1)
    assert (2, 2) in commands(world, worker), "it depends on the order alone"
    ran(world, worker, "b")
    assert plan_of(world, graph).done


def test_one_that_runs_while_its_input_is_redone_is_not_up_to_date(world: World, worker: FakeWorker) -> None:
    graph = {"a": "", "b": "a"}
    world.push(graph)
    ran(world, worker, "a")
    worker.began((2, 1))
    world.ask(RedoAsked(selection=Selection(tasks=[1])))
    ran(world, worker, "a")
    worker.ended(2, 1)
    world.ignore()
    assert plan_of(world, graph).outdated.ids == ["b"]
    world.ignore()
