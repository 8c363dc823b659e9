"""One turn: which events go into it, what it reads, records and performs, and in which order."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from boss.core.effects import Answer, EndBoss, RunOrder, SendToDatastore, SendToWorker, StageOrder, StartInstance
from boss.core.events import CancelAsked, Event, LinkConnected, PauseAsked, RetryAsked, Selection, Submitted, TimePassed
from boss.core.policy import Policy
from boss.core.rows import Known
from boss.core.scheduler import Scheduler
from boss.dispatch import Dispatcher
from boss.inbox import WITHDRAWN
from boss.turn import Decided, MessageToWorker, decide, perform_steps, record
from tests.worlds.scheduler import submission
from tests.worlds.store import Session, SimulatedStore
from wire.messages import DatastoreOrders, Input, Place


class CountingStore(SimulatedStore):
    """Knows how often it was asked and for what."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, list[int]]] = []

    def executions(self, numbers: Collection[int]) -> Mapping[int, tuple[str, str, bytes]]:
        self.asked.append(("executions", sorted(numbers)))
        return super().executions(numbers)

    def requirements(self, numbers: Collection[int]) -> Mapping[int, list[Input]]:
        self.asked.append(("requirements", sorted(numbers)))
        return super().requirements(numbers)


class Boss:
    """A scheduler and its database, turn after turn."""

    def __init__(self) -> None:
        self.store = CountingStore()
        self.session: Session = self.store.open()
        self.scheduler = Scheduler(Policy())
        self.scheduler.restore(self.store.load(), 1.0, 1000.0)
        self.commits = 0

    def turn(self, *events: Event) -> Decided:
        decided = decide(self.scheduler, self.session, events, 2.0, 1001.0)
        record(decided, self.session, 1001.0)  # type: ignore[arg-type]
        self.commits += decided.changed
        return decided


@pytest.fixture
def boss() -> Boss:
    made = Boss()
    made.turn(LinkConnected())
    return made


def push(reply: int = 0, **graph: str) -> Submitted:
    return Submitted(submission=submission(graph), known=Known(), reply=reply)


def answers(decided: Decided) -> list[Answer]:
    return [effect for effect in decided.effects if isinstance(effect, Answer)]


# --- collect, decide ---------------------------------------------------------------------------------


def test_an_event_that_reads_after_something_changed_waits_for_the_next_turn(boss: Boss) -> None:
    first, second = push(1, a=""), push(2, a="", b="a")
    decided = boss.turn(TimePassed(), first, second, TimePassed())
    assert decided.taken == 2 and [answer.reply for answer in answers(decided)] == [1]
    assert second.known.tasks == {}, "it was read before the first was on disk"
    decided = boss.turn(second, TimePassed())
    assert decided.taken == 2 and second.known.tasks.keys() == {"a"}


def test_events_that_read_share_a_turn_while_nothing_changes(boss: Boss) -> None:
    """A refused push, and commands about tasks that are not there, leave nothing to record."""
    none = Selection(tasks=[99])
    decided = boss.turn(CancelAsked(selection=none, reply=1), RetryAsked(selection=none, reply=2), push(3, a=""))
    assert decided.taken == 3
    assert [answer.reply for answer in answers(decided)] == [1, 2, 3]


def test_the_first_event_is_taken_whatever_a_start_has_left_to_record() -> None:
    boss = Boss()
    boss.scheduler.state.dirty_batches[1] = None
    assert boss.turn(push(1, a="")).taken == 1


def test_what_was_withdrawn_is_passed_over(boss: Boss) -> None:
    decided = boss.turn(push(WITHDRAWN, a=""), push(2, b=""))
    assert decided.taken == 2
    assert [answer.reply for answer in answers(decided)] == [2]
    assert list(boss.store.ids) == [("default", "b")]


def test_what_is_withdrawn_while_the_database_is_waited_for_is_not_taken(boss: Boss) -> None:
    event = push(1, a="")

    class Slow(Session):
        def known(self, submission: object) -> Known:
            event.reply = WITHDRAWN
            return super().known(submission)  # type: ignore[arg-type]

    boss.session = Slow(boss.store)
    decided = boss.turn(event)
    assert decided.taken == 1 and not decided.changed and not answers(decided)


@pytest.mark.parametrize(
    "asked",
    [
        PauseAsked(batch=1, reason="a pause", reply=3),
        RetryAsked(selection=Selection(tasks=[1]), reply=3),
        RetryAsked(selection=Selection(batches=[1]), reply=3),
        push(3, c="a"),
    ],
    ids=["pause", "tasks", "batches", "push"],
)
def test_the_batches_that_an_event_is_about_are_brought_back_into_memory(boss: Boss, asked: Event) -> None:
    boss.turn(push(1, a="", b="a"))
    boss.turn(CancelAsked(selection=Selection(batches=[1]), reply=2))
    assert not boss.scheduler.state.batches
    (answer,) = answers(boss.turn(asked))
    assert not answer.rejections
    assert boss.store.batches[1].paused == ("a pause" if isinstance(asked, PauseAsked) else "")


def test_a_sent_file_with_the_name_of_an_older_tasks_result_is_left_to_that_task(boss: Boss) -> None:
    boss.turn(Submitted(submission=submission({"a": ""}, results={"a": "out"}), known=Known(), reply=1))
    second = submission({"b": ""}, files=["out", "other"], requirements={"b": "out"})
    (answer,) = answers(boss.turn(Submitted(submission=second, known=Known(), reply=2)))
    assert not answer.rejections
    assert [file.name for file in second.files] == ["other"]
    assert any("the file `out` was not taken: the name is a result of task 'a'" in one for one in second.warnings)


def test_the_wall_clock_of_the_turn_is_the_one_in_its_rows(boss: Boss) -> None:
    boss.turn(push(1, a=""))
    assert boss.store.batches[1].created_at == 1001.0


def test_without_a_boss_nothing_goes_on_by_a_turn(boss: Boss) -> None:
    waiting = decide(boss.scheduler, boss.session, [push(1, a="")], 2.0, 1001.0, settle=Scheduler.settle_rows)
    assert [type(effect) for effect in waiting.effects] == [Answer]
    assert waiting.changes.accepted


# --- record ------------------------------------------------------------------------------------------


def test_a_turn_that_changed_nothing_makes_no_transaction(boss: Boss) -> None:
    turn, commits = boss.store.turn, boss.commits
    decided = boss.turn(TimePassed())
    assert not decided.changed and (boss.store.turn, boss.commits) == (turn, commits)


# --- perform -----------------------------------------------------------------------------------------


def test_orders_of_a_turn_are_filled_in_by_one_look_up_of_a_kind_and_go_first(boss: Boss) -> None:
    boss.turn(Submitted(submission=submission({"a": "", "b": ""}, requirements={"b": "in"}), known=Known(), reply=1))
    boss.store.asked.clear()
    effects = [
        StartInstance(instance=1, worker="local-1", pool="local"),
        SendToWorker(worker="v", incarnation="v.1", number=1, orders=[run(1)]),
        EndBoss(),
        SendToDatastore(incarnation="store.1", number=1, orders=[stage(2)]),
        SendToWorker(worker="w", incarnation="w.1", number=1, orders=[run(2)]),
    ]
    steps = perform_steps(effects, Dispatcher(boss.store, "d", 1))
    assert boss.store.asked == [("executions", [1, 2]), ("requirements", [2])]
    assert [type(step) for step in steps] == [
        MessageToWorker,
        MessageToWorker,
        DatastoreOrders,
        StartInstance,
        EndBoss,
    ]
    assert [step.worker for step in steps if isinstance(step, MessageToWorker)] == ["v", "w"]


def test_what_is_left_out_of_the_orders_comes_back_as_an_event(boss: Boss) -> None:
    boss.turn(Submitted(submission=submission({"b": ""}, requirements={"b": "in"}), known=Known(), reply=1))
    effects = [SendToDatastore(incarnation="store.1", number=1, orders=[stage(1)])]
    steps = perform_steps(effects, Dispatcher(boss.store, "d", 1, lambda worker, inputs: True))
    assert [type(step).__name__ for step in steps] == ["InputsCached", "OrdersLeftOut"]


def run(task: int) -> RunOrder:
    return RunOrder(task=task, attempt=1, batch=1, staging=False)


def stage(task: int) -> StageOrder:
    return StageOrder(task=task, attempt=1, worker="w", place=Place(path="/homes/w"))
