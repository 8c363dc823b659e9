"""(task, attempt) is the fencing token: what is said of an attempt that is over changes nothing."""

from __future__ import annotations

from boss.core.check import check
from boss.core.events import CancelAsked, DatastoreReported, Selection
from boss.core.model import Phase
from boss.core.reasons import ReportRejection
from tests.worlds.scheduler import FakeWorker, World
from wire.messages import (
    VERSION,
    Acknowledge,
    DatastoreHello,
    DatastoreReports,
    Heartbeat,
    HeldAttempt,
    Kill,
    Outcome,
    PhaseReached,
    Run,
    SayHello,
    TakeBack,
)

SILENCE = 60.0


def executing(world: World, *, results: str = "") -> FakeWorker:
    """One task that executes on worker `w`."""
    world.push({"a": ""}, results={"a": results} if results else {})
    worker = world.worker()
    worker.began((1, 1))
    world.ignore()
    return worker


def acknowledged(worker: FakeWorker) -> list[tuple[int, int]]:
    return [tuple(key) for order in worker.ordered(Acknowledge) for key in order.attempts]


def test_an_outcome_without_results_ends_the_task_and_is_acknowledged(world: World) -> None:
    worker = executing(world)
    worker.ended(1, 1, exit_code=0, seconds=2.0, stdout_tail="hello")
    assert world.states("a") == "succeeded"
    assert acknowledged(worker) == [(1, 1)]
    row = world.attempt(1)
    assert (row.ended, row.seconds, row.stdout_tail) == ("succeeded", 2.0, "hello")


def test_the_same_outcome_twice_is_recorded_once_and_acknowledged_twice(world: World) -> None:
    worker = executing(world)
    worker.ended(1, 1)
    worker.ended(1, 1, "failed")
    assert world.states("a") == "succeeded"
    assert acknowledged(worker) == [(1, 1), (1, 1)]


def test_a_report_of_a_superseded_attempt_changes_nothing_and_is_acknowledged(world: World) -> None:
    first = executing(world)
    second = world.worker("v")
    world.ignore()
    world.wait(SILENCE, second)
    assert [(order.task, order.attempt) for order in second.ordered(Run)] == [(1, 2)]
    first.hello(HeldAttempt(task=1, attempt=1, phase="executing"))
    assert acknowledged(first) == [(1, 1)]
    for late in (PhaseReached(task=1, attempt=1, phase="executing"), Outcome(task=1, attempt=1, ended="failed")):
        first.report(late)
        assert world.states("a") == "queued"
        assert acknowledged(first) == [(1, 1)]
    second.ended(1, 2)
    assert world.states("a") == "succeeded"
    assert world.row("a").failures == 0
    world.ignore()


def test_a_lost_attempt_without_a_successor_is_taken_up_again_by_its_hello(world: World) -> None:
    worker = executing(world)
    world.wait(SILENCE)
    assert world.states("a") == "queued"
    assert world.attempt(1).ended == "lost"
    worker.hello(HeldAttempt(task=1, attempt=1, phase="executing"))
    assert world.states("a") == "running"
    assert world.attempt(1).ended == ""
    worker.ended(1, 1)
    assert world.states("a") == "succeeded"
    world.ignore()


def test_a_late_outcome_of_a_lost_attempt_is_taken_up_where_there_is_no_successor(world: World) -> None:
    worker = executing(world)
    world.wait(SILENCE)
    worker.ended(1, 1)
    assert world.states("a") == "succeeded"
    assert isinstance(worker.orders()[0], SayHello)


def test_another_worker_cannot_end_an_attempt(world: World) -> None:
    executing(world)
    other = world.worker("v")
    other.ended(1, 1)
    assert world.states("a") == "running"
    assert acknowledged(other) == [(1, 1)]
    world.ignore()


def test_a_late_copy_of_a_report_does_not_bring_a_lost_worker_back(world: World) -> None:
    worker = executing(world)
    copy = worker.message(PhaseReached(task=1, attempt=1, phase="executing"), number=worker.number)
    world.wait(SILENCE)
    world.turn(copy)
    assert worker.seen.state == "lost"
    assert world.states("a") == "queued", "else nothing would ever notice that the worker is dead"
    world.ignore()


def test_a_late_copy_of_a_report_does_not_renew_the_lease(world: World) -> None:
    worker = executing(world)
    copy = worker.message(Heartbeat(), number=worker.number)
    world.wait(20.0)
    world.turn(copy)
    world.wait(20.0)
    assert worker.seen.state == "lost"


def test_a_late_copy_of_a_hello_tells_nothing(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    copy = worker.message(*world.worker("v").message().message.reports, number=1)
    world.ignore()
    worker.began((1, 1))
    world.turn(copy)
    assert world.states("a") == "running"


def test_a_late_hello_of_a_former_incarnation_changes_nothing(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    former = worker.incarnation
    worker.restarted()
    (run,) = worker.ordered(Run)
    worker.began((1, run.attempt))
    number, incarnation = worker.number, worker.incarnation
    worker.incarnation, worker.number = former, 5
    worker.hello()
    worker.incarnation, worker.number = incarnation, number
    assert worker.seen.incarnation == incarnation
    assert world.states("a") == "running"
    world.ignore()


def test_a_worker_that_returns_without_what_it_had_begun_has_lost_it(world: World) -> None:
    worker = executing(world)
    worker.hello()
    assert world.attempt(1).ended == "lost"
    assert [(order.task, order.attempt) for order in worker.ordered(Run)] == [(1, 2)]
    assert world.row("a").deaths == 0, "none was seen to die"


def test_a_hello_that_does_not_tell_of_what_was_sent_is_answered_by_sending_it_again(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    world.ignore()
    worker.hello()
    assert [(order.task, order.attempt) for order in worker.ordered(Run)] == [(1, 1)]


def test_what_was_cancelled_before_the_hello_is_not_sent_again(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    world.ask(CancelAsked(selection=Selection(tasks=[1])))
    world.ignore()
    worker.hello()
    orders = worker.orders()
    assert not [order for order in orders if isinstance(order, Run)], "it would run although a user cancelled it"
    assert [order for order in orders if isinstance(order, Kill)]
    worker.ended(1, 1, "cancelled")
    assert world.states("a") == "cancelled"
    world.ignore()


def test_what_was_asked_back_before_the_hello_is_not_sent_again(world: World) -> None:
    world.push({"a": "", "b": ""})
    first = world.worker(slots=1)
    world.ignore()
    first.began((1, 1))
    world.worker("v", slots=1)
    assert world.live(2).asked_back
    world.ignore()
    first.hello(HeldAttempt(task=1, attempt=1, phase="executing"))
    orders = first.orders()
    assert not [order for order in orders if isinstance(order, Run)]
    assert [order.task for order in orders if isinstance(order, TakeBack)] == [2]
    world.ignore()


def test_a_report_for_another_deployment_is_counted_and_dropped(world: World) -> None:
    worker = executing(world)
    worker.deployment = "another"
    worker.ended(1, 1)
    assert world.states("a") == "running"
    assert world.state.rejected == {ReportRejection.OTHER_DEPLOYMENT: 1}


def test_a_report_on_the_topic_of_another_worker_is_counted_and_dropped(world: World) -> None:
    worker = executing(world)
    event = worker.message(Outcome(task=1, attempt=1, ended="succeeded"))
    event.worker = "v"
    world.turn(event)
    assert world.states("a") == "running"
    assert world.state.rejected == {ReportRejection.OTHER_WORKER: 1}


def test_a_late_report_of_a_former_incarnation_is_counted_and_dropped(world: World) -> None:
    worker = executing(world)
    late = worker.message(Outcome(task=1, attempt=1, ended="succeeded"))
    worker.restarted(HeldAttempt(task=1, attempt=1, phase="executing"))
    world.turn(late)
    assert world.states("a") == "running"
    assert world.state.rejected == {ReportRejection.FORMER_INCARNATION: 1}
    world.ignore()


def test_a_report_of_a_datastore_of_another_deployment_is_counted_and_dropped(world: World) -> None:
    message = DatastoreReports(
        version=VERSION, deployment="y", incarnation="x", number=1, epoch=1, confirms=[], reports=[DatastoreHello()]
    )
    world.turn(DatastoreReported(message=message))
    assert world.state.datastore.incarnation == world.datastore.incarnation
    assert world.state.rejected == {ReportRejection.DATASTORE_OF_OTHER_DEPLOYMENT: 1}


def test_whatever_is_sent_no_more_is_kept_than_a_count_a_reason(world: World) -> None:
    worker = executing(world)
    for number in range(100):
        event = worker.message()
        event.worker = f"v{number}"
        worker.deployment = f"another {number}"
        world.turn(event, worker.message())
    assert world.state.rejected == {ReportRejection.OTHER_WORKER: 100, ReportRejection.OTHER_DEPLOYMENT: 100}


def test_an_unknown_incarnation_is_asked_to_say_hello(world: World) -> None:
    unknown = world.workers["s"] = FakeWorker(world, "s")
    unknown.beats()
    assert [type(order) for order in unknown.orders()] == [SayHello]
    unknown.hello()
    assert unknown.seen.state == "online"
    world.ignore()


def test_reports_about_tasks_that_do_not_exist_change_nothing(world: World) -> None:
    worker = executing(world)
    worker.ended(77, 3)
    worker.returned((1_000_000, 1))
    worker.report(PhaseReached(task=0, attempt=0, phase="staged"))
    assert acknowledged(worker) == [(77, 3), (1_000_000, 1), (0, 0)]
    check(world.state)


def test_a_phase_of_staging_does_not_begin_an_attempt(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker()
    worker.report(PhaseReached(task=1, attempt=1, phase="staged"))
    assert world.states("a") == "queued"
    assert world.live(1).phase is Phase.STAGED
    world.ignore()
