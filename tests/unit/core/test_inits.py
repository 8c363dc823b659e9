"""Init tasks: once on each worker of their batch, in order, before its first other task there."""

from __future__ import annotations

from boss.core.events import QuarantineAsked, Submitted
from boss.core.model import InitSpec
from boss.core.rows import Known
from tests.worlds.scheduler import FakeWorker, World, submission
from wire.messages import Run, StageFailed, TakeBack


def runs(worker: FakeWorker) -> list[tuple[int, int, bool]]:
    return [(order.task, order.attempt, order.init) for order in worker.ordered(Run)]


def test_init_tasks_go_before_the_first_other_task_in_order_of_the_file(world: World) -> None:
    world.push({"a": "", "b": ""}, inits=["fetch", "unpack"])
    worker = world.worker()
    orders = worker.ordered(Run)
    assert [(order.id, order.init) for order in orders] == [
        ("fetch", True),
        ("unpack", True),
        ("a", False),
        ("b", False),
    ]
    assert [order.task for order in orders] == [3, 4, 1, 2]
    assert orders[2].inits == [3, 4], "the worker lets no other task begin before these succeeded"


def test_init_tasks_run_once_on_each_worker(world: World) -> None:
    world.push({f"t{number}": "" for number in range(8)}, inits=["fetch"])
    first = world.worker("v", slots=1)
    second = world.worker("w", slots=1)
    assert [run for run in runs(first) if run[2]] == [(9, 1, True)]
    assert [run for run in runs(second) if run[2]] == [(9, 2, True)]
    first.ended(9, 1)
    first.ended(1, 1)
    second.ended(9, 2)
    assert not [run for run in runs(first) + runs(second) if run[2]]
    world.ignore()


def test_init_tasks_are_not_counted_and_have_no_state(world: World) -> None:
    batch = world.push({"a": ""}, inits=["fetch"])
    worker = world.worker()
    worker.ended(2, 1)
    worker.ended(1, 1)
    assert sum(world.store.batches[batch].counts) == 1
    assert 2 not in world.store.tasks
    assert (2, 1) in world.store.attempts
    assert world.store.batches[batch].finished_at
    world.ignore()


def test_init_tasks_with_nothing_to_do_are_nothing(world: World) -> None:
    event = Submitted(submission=submission({"a": ""}), known=Known())
    event.submission.inits = [InitSpec(id="nothing", execution=b'{"commands":[]}')]
    assert not world.ask(event).rejections
    assert not world.store.inits


def test_an_init_task_that_failed_is_executed_again(world: World) -> None:
    world.push({"a": ""}, inits=["fetch"])
    worker = world.worker()
    world.ignore()
    worker.ended(2, 1, "failed", reason="exit code 1")
    assert runs(worker) == [(2, 2, True)]
    assert world.states("a") == "queued"
    world.ignore()


def test_a_worker_on_which_an_init_task_failed_three_times_is_quarantined(world: World) -> None:
    world.push({"a": ""}, inits=["fetch"])
    worker = world.worker()
    for attempt in (1, 2, 3):
        world.ignore()
        worker.ended(2, attempt, "failed", reason="exit code 1")
    assert worker.seen.row.quarantined == "init task 'fetch' failed 3 times here: exit code 1"
    orders = worker.orders()
    assert not [order for order in orders if isinstance(order, Run)]
    assert [order.task for order in orders if isinstance(order, TakeBack)] == [1]
    worker.returned((1, 1))
    other = world.worker("other")
    assert runs(other) == [(2, 4, True), (1, 2, False)]
    world.ignore()


def test_a_worker_that_is_released_has_all_its_tries_again(world: World) -> None:
    world.push({"a": ""}, inits=["fetch"])
    worker = world.worker()
    for attempt in (1, 2, 3):
        worker.ended(2, attempt, "failed")
    worker.returned((1, 1))
    world.ignore()
    world.ask(QuarantineAsked(worker="w", reason=""))
    assert runs(worker) == [(2, 4, True), (1, 2, False)]
    worker.ended(2, 4, "failed")
    assert not worker.seen.quarantined
    world.ignore()


def test_an_agent_that_is_restarted_states_what_was_initialized(world: World) -> None:
    world.push({"a": "", "b": "", "c": ""}, inits=["fetch"])
    worker = world.worker(slots=1)
    worker.ended(4, 1)
    world.ignore()
    worker.restarted(initialized=[4])
    assert not [run for run in runs(worker) if run[2]]
    worker.restarted()
    assert [run for run in runs(worker) if run[2]] == [(4, 2, True)]


def test_an_init_task_whose_inputs_are_not_available_pauses_its_batch(world: World) -> None:
    batch = staged_init(world)
    world.datastore.report(StageFailed(task=2, attempt=1, fault="input", reason="net.inp is not there"))
    assert world.store.batches[batch].paused == "its init task 'fetch' cannot run: net.inp is not there"
    assert world.store.batches[batch].paused_kind == "init_task"
    assert [move.after for move in world.state.story if move.what == "batch"][-1] == "paused"
    worker = world.workers["w"]
    orders = worker.orders()
    assert not [order for order in orders if isinstance(order, Run)], "it would go round in a circle"
    assert [order.task for order in orders if isinstance(order, TakeBack)] == [1]
    worker.returned((1, 1))
    assert not runs(worker)
    world.ignore()


def test_an_init_task_whose_transfer_failed_is_tried_again_after_a_while(world: World) -> None:
    staged_init(world)
    worker = world.workers["w"]
    world.datastore.report(StageFailed(task=2, attempt=1, fault="transfer", reason="connection refused"))
    assert not runs(worker)
    world.wait(6.0, worker)
    assert runs(worker) == [(2, 2, True)]
    world.ignore()


def staged_init(world: World) -> int:
    """A batch whose init task needs an input; its orders are read."""
    event = Submitted(submission=submission({"a": ""}, inits=["fetch"]), known=Known())
    event.submission.inits[0].requirements = b'[{"name":"net.inp","path":"net.inp"}]'
    answer = world.ask(event)
    world.worker()
    world.ignore()
    return int(str(answer.value["batch"]))
