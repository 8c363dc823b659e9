"""The end of an attempt that leaves results: from the collect order on, the datastore decides how it ends."""

from __future__ import annotations

import msgspec

from boss.core.events import CancelAsked, Selection
from boss.core.model import Phase, Profile
from boss.core.policy import Policy
from tests.worlds.scheduler import DIGEST, FakeWorker, World, manifest, published
from wire.messages import (
    Abandon,
    Abandoned,
    Acknowledge,
    Collect,
    DatastoreHeartbeat,
    Forget,
    Found,
    HeldAttempt,
    Kill,
    LookUp,
    Published,
    Run,
    Staged,
)


def collecting(world: World, *, profile: Profile | None = None, project: str = "default") -> FakeWorker:
    """Task 1 has left `a.out`; the collect order is unread."""
    world.push({"a": "", "b": "a"}, results={"a": "a.out"}, profile=profile, project=project)
    worker = world.worker()
    worker.began((1, 1))
    world.ignore()
    worker.ended(1, 1, manifest=manifest("a.out"), seconds=3.0, exit_code=0)
    return worker


def test_results_are_collected_before_the_task_has_succeeded(world: World) -> None:
    worker = collecting(world)
    assert world.states("a", "b") == "running pending"
    (order,) = world.datastore.ordered(Collect)
    assert [(file.source, file.target, file.digest) for file in order.files] == [("a.out", "a.out", DIGEST)]
    assert order.place.path == "/homes/w"
    assert not worker.orders(), "the worker keeps its files until the end is recorded"
    assert (world.attempt(1).phase, world.attempt(1).ended) == ("collecting", "")


def test_collecting_holds_no_slot(world: World) -> None:
    worker = collecting(world)
    assert worker.seen.load == 0
    world.ignore()


def test_published_results_are_recorded_and_only_then_acknowledged_and_forgotten(world: World) -> None:
    worker = collecting(world)
    world.ignore()
    world.datastore.report(Published(task=1, attempt=1, files=published("a.out")))
    assert world.states("a", "b") == "succeeded queued"
    row = world.store.results[("default", "a.out")]
    assert (row.task, row.attempt, row.digest, row.size) == (1, 1, DIGEST, 10)
    assert [order.attempts for order in worker.ordered(Acknowledge)] == [[(1, 1)]]
    (forget,) = world.datastore.ordered(Forget)
    assert forget.attempts == [(1, 1)]
    assert list(world.store.records) == [(1, 1)]
    world.datastore.report(DatastoreHeartbeat())  # confirms
    assert not world.store.records


def test_a_result_that_may_be_executed_is_such_an_input_too(world: World) -> None:
    world.push({"a": "", "b": "a"}, results={"a": "model data"}, requirements={"b": "model data"})
    worker = world.worker()
    worker.began((1, 1))
    made = [msgspec.structs.replace(one, executable=one.source == "model") for one in manifest("model data")]
    worker.ended(1, 1, manifest=made)
    world.ignore()
    world.datastore.report(Published(task=1, attempt=1, files=published("model data")))
    (staged,) = worker.ordered(Staged)
    assert {one.name: one.executable for one in staged.inputs} == {"model": True, "data": False}
    world.ignore()


def test_a_project_has_a_folder_of_its_own_in_the_tree(world: World) -> None:
    collecting(world, project="net")
    (order,) = world.datastore.ordered(Collect)
    assert [file.target for file in order.files] == ["projects/net/a.out"]
    world.datastore.report(Published(task=1, attempt=1, files=published("a.out", "net")))
    assert world.store.results[("net", "a.out")].digest == DIGEST
    world.ignore()


def test_published_twice_is_recorded_once(world: World) -> None:
    collecting(world)
    world.ignore()
    for _ in range(2):
        world.datastore.report(Published(task=1, attempt=1, files=published("a.out")))
        assert [order.attempts for order in world.datastore.ordered(Forget)] == [[(1, 1)]]
    assert world.states("a") == "succeeded"
    world.ignore()


def test_an_outcome_said_again_while_collecting_waits_for_the_datastore(world: World) -> None:
    worker = collecting(world)
    world.ignore()
    worker.ended(1, 1, manifest=manifest("a.out"))
    assert not worker.orders()
    assert world.states("a") == "running"


def test_a_cancelled_collection_is_abandoned_first(world: World) -> None:
    worker = collecting(world)
    world.ignore()
    world.ask(CancelAsked(selection=Selection(tasks=[1])))
    assert [type(order) for order in world.datastore.orders()] == [Abandon]
    assert not worker.ordered(Kill)
    assert world.states("a") == "running"
    world.datastore.report(Abandoned(task=1, attempt=1, fault="asked"))
    assert world.states("a", "b") == "cancelled blocked"
    assert world.attempt(1).ended == "cancelled"
    assert [order.attempts for order in worker.ordered(Acknowledge)] == [[(1, 1)]]
    world.ignore()


def test_a_cancel_that_comes_too_late_lets_the_task_succeed(world: World) -> None:
    collecting(world)
    world.ask(CancelAsked(selection=Selection(tasks=[1])))
    world.datastore.report(Published(task=1, attempt=1, files=published("a.out")))
    assert world.states("a", "b") == "succeeded queued"
    world.ignore()


def test_a_worker_lost_while_collecting_leaves_it_to_the_datastore(world: World) -> None:
    worker = collecting(world)
    world.ignore()
    world.wait(60.0)
    assert worker.seen.state == "lost"
    assert world.states("a") == "running"
    assert Abandon in {type(order) for order in world.datastore.orders()}
    world.datastore.report(Abandoned(task=1, attempt=1, fault="asked", reason="its worker is lost"))
    assert world.attempt(1).ended == "lost"
    assert (world.states("a"), world.row("a").failures) == ("queued", 0)
    world.ignore()


def test_results_published_although_their_worker_was_taken_for_lost_count(world: World) -> None:
    collecting(world)
    world.wait(60.0)
    world.datastore.report(Published(task=1, attempt=1, files=published("a.out")))
    assert world.states("a", "b") == "succeeded queued"
    world.ignore()


OTHER = "a.out has other content than w reported"


def _leave_other_results(world: World, worker: FakeWorker, attempt: int) -> None:
    """The attempt ends well, by the worker's word, and the datastore finds something else there."""
    world.ignore()
    worker.began((1, attempt))
    worker.ended(1, attempt, manifest=manifest("a.out"))
    world.datastore.report(Abandoned(task=1, attempt=attempt, fault="result", reason=OTHER))
    world.ignore()


def test_results_that_are_not_what_the_worker_said_are_its_fault_and_cost_no_retry(world: World) -> None:
    worker = collecting(world)
    world.datastore.report(Abandoned(task=1, attempt=1, fault="result", reason=OTHER))
    assert (world.states("a", "b"), world.attempt(1).ended) == ("queued pending", "lost")
    assert (world.row("a").failures, world.row("a").deaths) == (0, 1)
    assert OTHER in worker.seen.row.quarantined and "task 1" in worker.seen.row.quarantined
    assert worker.seen.row.quarantined_kind == "results"
    world.ignore()


def test_results_that_differ_on_three_workers_in_a_row_are_the_tasks_own_doing() -> None:
    world = World(Policy(lease=1e6))
    world.push({"a": ""}, results={"a": "a.out"}, profile=Profile(retries=5))
    for attempt in (1, 2, 3):
        _leave_other_results(world, world.worker(f"w{attempt}", slots=1), attempt)
    assert world.states("a") == "failed"
    assert "3 workers in a row left other results" in world.row("a").reason
    assert OTHER in world.row("a").reason
    assert not any(one.quarantined for one in world.state.workers.values()), "the task was at fault, not they"
    assert not any(row.quarantined for row in world.store.workers.values())


def test_a_worker_quarantined_for_other_results_proves_itself_with_one_task() -> None:
    world = World(Policy(lease=1e6, probe=60.0))
    world.push({"a": ""}, results={"a": "a.out"})
    worker = world.worker(slots=1)
    _leave_other_results(world, worker, 1)
    world.wait(50.0, worker)
    assert not worker.ordered(Run)
    world.wait(20.0, worker)
    assert {(order.task, order.attempt) for order in worker.ordered(Run)} == {(1, 2)}
    worker.ended(1, 2, manifest=manifest("a.out"))
    world.datastore.report(Published(task=1, attempt=2, files=published("a.out")))
    assert not worker.seen.quarantined
    world.ignore()


def test_a_result_fault_of_what_is_abandoned_anyway_blames_no_worker(world: World) -> None:
    worker = collecting(world)
    world.ask(CancelAsked(selection=Selection(tasks=[1])))
    world.datastore.report(Abandoned(task=1, attempt=1, fault="result", reason=OTHER))
    assert world.states("a") == "cancelled"
    assert not worker.seen.quarantined
    world.ignore()


def test_a_path_that_the_datastore_refuses_fails_the_attempt(world: World) -> None:
    collecting(world, profile=Profile(retries=1))
    world.datastore.report(Abandoned(task=1, attempt=1, fault="path", reason="../a.out leads out"))
    assert (world.states("a"), world.row("a").failures) == ("queued", 1)
    world.ignore()


def test_results_that_cannot_be_fetched_are_nobodys_fault_and_are_not_tried_in_a_circle(world: World) -> None:
    worker = collecting(world)
    world.ignore()
    world.datastore.report(Abandoned(task=1, attempt=1, fault="transfer", reason="no route to host"))
    assert (world.states("a"), world.row("a").failures) == ("queued", 0)
    assert world.attempt(1).ended == "lost"
    assert not worker.ordered(Run), "the same would come of it at once"
    world.wait(6.0, worker)
    assert [(order.task, order.attempt) for order in worker.ordered(Run)] == [(1, 2)]
    world.ignore()


def test_a_new_datastore_is_asked_again_for_all_that_is_open(world: World) -> None:
    collecting(world)
    world.ignore()
    world.datastore.restarted()
    assert [(order.task, order.attempt) for order in world.datastore.ordered(Collect)] == [(1, 1)]


def test_the_datastore_is_asked_again_for_an_answer_that_does_not_come(world: World) -> None:
    worker = collecting(world)
    world.ignore()
    world.datastore.report(DatastoreHeartbeat())
    world.wait(2 * world.policy.ask_again, worker)
    assert world.datastore.ordered(Collect)
    world.ignore()


def test_a_restarted_boss_goes_on_collecting_with_what_the_worker_said(world: World) -> None:
    worker = collecting(world)
    world.restart()
    world.datastore.hello()
    orders = world.datastore.ordered(Collect)
    assert [(file.source, file.digest) for file in orders[-1].files] == [("a.out", DIGEST)]
    assert orders[-1].place.path == "/homes/w"
    worker.hello(HeldAttempt(task=1, attempt=1, phase="ended"))
    worker.ended(1, 1, manifest=manifest("a.out"))
    assert world.states("a") == "running"
    world.datastore.report(Published(task=1, attempt=1, files=published("a.out")))
    assert world.states("a") == "succeeded"
    assert world.live(2).phase is Phase.STAGED
    world.ignore()


def test_a_restarted_boss_still_has_records_forgotten(world: World) -> None:
    collecting(world)
    world.datastore.report(Published(task=1, attempt=1, files=published("a.out")))
    world.restart()
    world.datastore.hello()
    assert [order.attempts for order in world.datastore.ordered(Forget)] == [[(1, 1)]]
    world.datastore.report(DatastoreHeartbeat())
    assert not world.store.records
    world.ignore()


# --- results that are there already (overwrite_result) ---------------------------------------------


def looking(world: World) -> None:
    world.push({"a": "", "b": "a"}, results={"a": "a.out"}, profile=Profile(overwrite_result=False))
    world.worker()


def test_a_task_that_is_not_to_overwrite_asks_whether_its_results_exist(world: World) -> None:
    looking(world)
    orders = world.datastore.ordered(LookUp)
    assert [order.names for order in orders] == [["a.out"]]
    assert world.states("a") == "queued"
    assert world.row("a").attempt == 0
    world.ignore()


def test_a_task_whose_results_exist_succeeds_without_running(world: World) -> None:
    looking(world)
    world.datastore.report(Found(task=1, files=published("a.out"), complete=True))
    assert world.states("a", "b") == "succeeded queued"
    assert (world.row("a").reason, world.row("a").attempt) == ("Results exist", 0)
    assert world.store.results[("default", "a.out")].digest == DIGEST
    world.ignore()


def test_a_task_of_whose_results_one_is_missing_runs(world: World) -> None:
    looking(world)
    world.datastore.report(Found(task=1, files=[]))
    assert [order.task for order in world.workers["w"].ordered(Run)] == [1]
    world.ignore()


def test_a_task_cancelled_while_its_results_were_looked_for_stays_cancelled(world: World) -> None:
    looking(world)
    world.ask(CancelAsked(selection=Selection(tasks=[1])))
    world.datastore.report(Found(task=1, files=published("a.out"), complete=True))
    assert world.states("a", "b") == "cancelled blocked"
    world.ignore()
