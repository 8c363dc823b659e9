"""Inputs on their way to a worker, and files that came with a push on their way to the datastore."""

from __future__ import annotations

from boss.core.events import CancelAsked, Selection
from boss.core.model import Phase
from tests.worlds.scheduler import DIGEST, FakeWorker, World, manifest, published
from wire.messages import (
    Acknowledge,
    DatastoreHeartbeat,
    HeldAttempt,
    Input,
    InputsMissing,
    Leaving,
    PhaseReached,
    Published,
    Run,
    Stage,
    Staged,
    StageDone,
    StageFailed,
    Store,
    Stored,
    StoreFailed,
)

NET = Input(name="net.inp", path="net.inp", digest=DIGEST, size=10)


def staging(world: World) -> FakeWorker:
    """Task 1 needs `net.inp`; its orders are unread."""
    world.push({"a": "", "b": "a"}, requirements={"a": "net.inp"})
    return world.worker()


def runs(worker: FakeWorker) -> list[tuple[int, int]]:
    return [(order.task, order.attempt) for order in worker.ordered(Run)]


def test_the_datastore_stages_while_the_worker_takes_the_task(world: World) -> None:
    worker = staging(world)
    (run,) = worker.ordered(Run)
    assert run.staging
    (stage,) = world.datastore.ordered(Stage)
    assert (stage.task, stage.attempt, stage.worker, stage.place.path) == (1, 1, "w", "/homes/w")
    assert [one.name for one in stage.inputs] == ["net.inp"]


def test_digests_of_what_was_staged_are_recorded_in_the_attempt(world: World) -> None:
    worker = staging(world)
    world.ignore()
    world.datastore.report(StageDone(task=1, attempt=1, inputs=[NET]))
    assert worker.orders() == [Staged(task=1, attempt=1, inputs=[NET])]
    assert DIGEST in world.attempt(1).inputs.decode()
    assert world.live(1).phase is Phase.STAGED


def test_staging_done_twice_is_said_once(world: World) -> None:
    worker = staging(world)
    world.datastore.report(StageDone(task=1, attempt=1, inputs=[NET]))
    world.ignore()
    world.datastore.report(StageDone(task=1, attempt=1, inputs=[NET]))
    assert not worker.orders()


def test_an_input_that_is_not_available_fails_the_task(world: World) -> None:
    worker = staging(world)
    world.ignore()
    world.datastore.report(StageFailed(task=1, attempt=1, fault="input", reason="net.inp is not there"))
    assert world.states("a", "b") == "failed blocked"
    assert world.row("a").reason == "net.inp is not there"
    assert [order.attempts for order in worker.ordered(Acknowledge)] == [[(1, 1)]]


def test_a_transfer_that_failed_is_tried_again_after_a_while(world: World) -> None:
    worker = staging(world)
    world.ignore()
    world.datastore.report(StageFailed(task=1, attempt=1, fault="transfer", reason="connection refused"))
    assert (world.states("a"), world.row("a").failures) == ("queued", 0)
    assert not runs(worker)
    world.wait(6.0, worker)
    assert runs(worker) == [(1, 2)]
    world.ignore()


def test_a_task_cancelled_while_its_transfer_failed_is_cancelled(world: World) -> None:
    worker = staging(world)
    world.ask(CancelAsked(selection=Selection(tasks=[1])))
    world.datastore.report(StageFailed(task=1, attempt=1, fault="transfer", reason="connection refused"))
    assert world.states("a") == "cancelled"
    world.wait(10.0, worker)
    assert world.states("a") == "cancelled"
    world.ignore()


def test_inputs_that_left_the_cache_are_staged_again(world: World) -> None:
    worker = staging(world)
    world.datastore.report(StageDone(task=1, attempt=1, inputs=[NET]))
    world.ignore()
    worker.report(InputsMissing(task=1, attempt=1, digests=[DIGEST]))
    assert [order.task for order in world.datastore.ordered(Stage)] == [1]
    assert world.live(1).phase is Phase.STAGING


def test_a_worker_that_lost_what_it_was_sent_of_its_inputs_gets_them_again(world: World) -> None:
    worker = staging(world)
    world.datastore.report(StageDone(task=1, attempt=1, inputs=[NET]))
    world.ignore()
    worker.hello(HeldAttempt(task=1, attempt=1, phase="staging"))
    assert [order.task for order in world.datastore.ordered(Stage)] == [1]
    world.ignore()


def test_staging_that_ends_after_the_attempt_changes_nothing(world: World) -> None:
    worker = staging(world)
    worker.report(PhaseReached(task=1, attempt=1, phase="executing"))
    worker.ended(1, 1)
    world.ignore()
    world.datastore.report(StageDone(task=1, attempt=1, inputs=[NET]))
    world.datastore.report(StageFailed(task=1, attempt=1, fault="input", reason="gone"))
    assert world.states("a") == "succeeded"
    assert not worker.orders()


def test_a_requirement_that_is_a_result_is_bound_to_the_version_that_was_published(world: World) -> None:
    world.push({"a": "", "b": "a"}, results={"a": "a.out"}, requirements={"b": "a.out"})
    worker = world.worker()
    worker.began((1, 1))
    worker.ended(1, 1, manifest=manifest("a.out"))
    world.ignore()
    worker.report(Leaving(reason="it goes"))
    other = world.worker("other")
    world.datastore.report(Published(task=1, attempt=1, files=published("a.out")))
    assert [order.task for order in other.ordered(Run)] == [2]
    (stage,) = world.datastore.ordered(Stage)
    assert [(one.name, one.digest) for one in stage.inputs] == [("a.out", DIGEST)]
    world.ignore()


# --- files that came with a push -------------------------------------------------------------------


def test_nothing_of_a_push_starts_before_its_files_have_their_names(world: World) -> None:
    world.push({"a": ""}, files=["net.inp"])
    worker = world.worker()
    (order,) = world.datastore.ordered(Store)
    assert (order.name, order.digest, order.source) == ("net.inp", DIGEST, "spool/" + DIGEST)
    assert not runs(worker)
    world.datastore.report(Stored(name="net.inp", digest=DIGEST))
    assert runs(worker) == [(1, 1)]
    assert world.store.files[("net.inp", DIGEST)].stored


def test_a_file_that_cannot_be_stored_is_tried_again_and_reported(world: World) -> None:
    world.push({"a": ""}, files=["net.inp"])
    world.ignore()
    world.datastore.report(StoreFailed(name="net.inp", digest=DIGEST, reason="disk full"))
    world.datastore.report(DatastoreHeartbeat())
    assert world.state.files_failed == {("net.inp", DIGEST): "disk full"}
    world.wait(2 * world.policy.ask_again)
    assert world.datastore.ordered(Store)
    world.datastore.report(Stored(name="net.inp", digest=DIGEST))
    assert not world.state.files_failed
    world.ignore()


def test_two_pushes_with_the_same_file_wait_for_it_together(world: World) -> None:
    world.push({"a": ""}, files=["net.inp"])
    world.push({"b": ""}, files=["net.inp"])
    worker = world.worker()
    world.datastore.report(Stored(name="net.inp", digest=DIGEST))
    assert runs(worker) == [(1, 1), (2, 1)]
    world.ignore()


def test_two_pushes_with_the_same_file_wait_for_it_after_a_restart_too(world: World) -> None:
    world.push({"a": ""}, files=["net.inp"])
    world.push({"b": ""}, files=["net.inp"])
    world.restart()
    world.datastore.hello()
    worker = world.worker()
    assert not runs(worker), "their input is not on the datastore"
    world.datastore.report(Stored(name="net.inp", digest=DIGEST))
    assert runs(worker) == [(1, 1), (2, 1)]
    world.ignore()


def test_a_file_of_a_push_that_was_cancelled_gets_its_name_after_a_restart_too(world: World) -> None:
    batch = world.push({"a": ""}, files=["net.inp"])
    world.ask(CancelAsked(selection=Selection(batches=[batch])))
    world.restart()
    world.datastore.hello()
    assert [order.name for order in world.datastore.ordered(Store)] == ["net.inp"]
    world.datastore.report(Stored(name="net.inp", digest=DIGEST))
    assert world.store.files[("net.inp", DIGEST)].stored
    world.ignore()
