"""The loop: collect, decide, record, perform; nothing leaves before its commit."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from boss import loop as loop_module
from boss.core.effects import Answer, ClearPresence, StartInstance, StopInstance
from boss.core.events import (
    CancelAsked,
    LinkConnected,
    RetryAsked,
    Selection,
    StopAsked,
    Submitted,
    TimePassed,
    WorkerReported,
)
from boss.core.policy import Policy, PoolPolicy
from boss.core.rows import Changes, Known
from boss.core.scheduler import Scheduler
from boss.core.store import DatabaseAwayError
from boss.inbox import Inbox
from boss.loop import Loop
from boss.turn import MessageToWorker, Outside
from tests.worlds.scheduler import submission
from tests.worlds.store import SimulatedStore
from wire.messages import VERSION, DatastoreOrders, WorkerReports


class Recorder:
    """The world outside, and the database: what happened to both, in order."""

    def __init__(self) -> None:
        self.story: list[str] = []
        self.answers: list[Answer] = []

    def outside(self) -> Outside:
        return {
            MessageToWorker: lambda step: self.story.append(f"to {step.worker}"),
            DatastoreOrders: lambda orders: self.story.append("to datastore"),
            ClearPresence: lambda effect: self.story.append(f"clear {effect.worker}"),
            Answer: self.answer,
            StartInstance: lambda effect: self.story.append(f"start {effect.worker}"),
            StopInstance: lambda effect: self.story.append(f"stop {effect.worker}"),
        }

    def answer(self, answer: Answer) -> None:
        self.story.append("answer")
        self.answers.append(answer)


class RecordedStore(SimulatedStore):
    """Commits take their place in the story; the first `failures` of them do not come about."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder
        self.session = self.open()
        self.failures = 0
        self.commits: list[Changes] = []

    def commit(self, changes: Changes, wall: float) -> None:
        if self.failures:
            self.failures -= 1
            self.recorder.story.append("commit failed")
            raise DatabaseAwayError("connection refused")
        self.session.commit(changes, wall)
        self.commits.append(changes)
        self.recorder.story.append("commit")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def store(recorder: Recorder) -> RecordedStore:
    return RecordedStore(recorder)


@pytest.fixture
def loop(recorder: Recorder, store: RecordedStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    monkeypatch.setattr(loop_module, "DATABASE_PAUSE_SECONDS", 0.0)
    made = Loop(Inbox(), Scheduler(Policy(pools=(PoolPolicy(name="local"),))), store, recorder.outside())
    made.start()
    yield made


def push(reply: int, **graph: str) -> Submitted:
    return Submitted(submission=submission(graph), known=Known(), reply=reply)


def test_effects_come_after_the_commit_of_their_turn(loop: Loop, recorder: Recorder) -> None:
    loop.turn([LinkConnected(), push(1, a="")])
    assert recorder.story[0] == "commit"
    assert sorted(recorder.story[1:]) == ["answer", "start local-1"]


def test_a_turn_that_changes_nothing_needs_no_transaction(loop: Loop, recorder: Recorder) -> None:
    loop.turn([TimePassed()])
    recorder.story.clear()
    loop.turn([TimePassed()])
    assert recorder.story == []


def test_a_commit_that_fails_sends_nothing_and_is_tried_again(
    loop: Loop, recorder: Recorder, store: RecordedStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.failures = 3
    with caplog.at_level(logging.INFO):
        loop.turn([push(1, a="")])
    assert recorder.story[:4] == ["commit failed", "commit failed", "commit failed", "commit"]
    assert sorted(recorder.story[4:]) == ["answer", "start local-1"]
    assert store.tasks.keys() == {1}
    actions = [record.action for record in caplog.records if hasattr(record, "action")]
    assert actions == ["database_away", "database_back"], "said once, not at each try"
    assert loop.inbox.database_error == ""


def test_all_that_waits_goes_into_one_turn_and_one_commit(loop: Loop, store: RecordedStore) -> None:
    for event in (LinkConnected(), TimePassed(), TimePassed()):
        loop.inbox.put(event)
    loop.turn(loop._collect())
    assert loop.inbox.take() is None
    assert len(store.commits) == 1


def test_a_push_sees_what_the_push_before_it_did(loop: Loop, recorder: Recorder, store: RecordedStore) -> None:
    """Both wait in the inbox: the second reads the database only when the first is on disk."""
    loop.turn([push(1, a=""), push(2, a="", b="a")])
    loop.turn(loop._collect())
    assert [answer.value["attached"] for answer in recorder.answers] == [0, 1]
    assert list(store.ids) == [("default", "a"), ("default", "b")]


def test_what_a_user_means_is_brought_back_into_memory(loop: Loop, recorder: Recorder, store: RecordedStore) -> None:
    loop.turn([push(1, a="", b="a")])
    loop.turn([CancelAsked(selection=Selection(batches=[1]), reply=2)])
    assert not loop.scheduler.state.batches
    loop.turn([RetryAsked(selection=Selection(tasks=[1]), reply=3)])
    assert recorder.answers[-1].value == {"retried": 1, "untouched": 0}
    assert [row.state.__int__() for row in store.tasks.values()] == [1, 5]


def test_calls_are_made_between_two_turns_in_the_loops_own_thread(loop: Loop, recorder: Recorder) -> None:
    seen: list[object] = []

    def call(state: object) -> None:
        recorder.story.append("called")
        seen.append(state)

    loop.turn([call, push(1, a="")])
    assert sorted(recorder.story[1:-1]) == ["answer", "start local-1"]
    assert recorder.story[-1] == "called"
    assert seen == [loop.scheduler.state]


def test_a_call_behind_an_event_that_waits_for_the_next_turn_waits_with_it(loop: Loop, recorder: Recorder) -> None:
    def call(state: object) -> None:
        recorder.story.append("called")

    loop.turn([push(1, a=""), push(2, b=""), call])
    assert recorder.story.count("answer") == 1 and "called" not in recorder.story
    loop.turn(loop._collect())
    assert recorder.story.count("answer") == 2 and recorder.story[-1] == "called"


def test_rejected_reports_are_logged_by_reason_in_no_words_of_the_sender(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    report = WorkerReports(
        version=VERSION,
        deployment="of mine",
        worker="mine",
        incarnation="1",
        number=1,
        epoch=1,
        confirms=[],
        reports=[],
    )
    for _ in range(3):
        loop.inbox.put(WorkerReported(worker="mine", message=report))
    loop.inbox.put(StopAsked(workers=False))
    with caplog.at_level(logging.INFO):
        loop.run()
    assert "reports not acted upon: 3 other_deployment" in caplog.messages
    assert not [line for line in caplog.messages if "mine" in line]


def test_the_loop_ends_when_the_scheduler_has_nothing_left_to_say(loop: Loop, recorder: Recorder) -> None:
    loop.inbox.put(StopAsked(workers=False))
    loop.run()
    assert loop.inbox.ended


def test_a_loop_that_is_ordered_to_stop_ends_although_its_database_is_away(
    loop: Loop, recorder: Recorder, store: RecordedStore
) -> None:
    store.failures = 1_000_000
    loop.inbox.put(push(1, a=""))
    loop.inbox.stop()
    loop.run()
    assert loop.inbox.ended
    assert "answer" not in recorder.story
