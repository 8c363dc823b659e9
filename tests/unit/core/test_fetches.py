"""What clients fetch from a datastore elsewhere: asked once of it, answered to all that wait."""

from __future__ import annotations

from boss.core import fetches
from boss.core.effects import Answer
from boss.core.events import ResultsAsked, SendAsked
from boss.core.reasons import Rejection, RejectionKind
from tests.worlds.scheduler import DIGEST, World
from wire.messages import DatastoreHello, Found, LookUp, PublishedFile, Send, SendFailed, Sent


def asked(reply: int, name: str = "out") -> SendAsked:
    return SendAsked(name=name, digest=DIGEST, size=3, reply=reply)


def test_content_is_asked_once_of_the_datastore_and_all_requests_that_wait_are_answered(world: World) -> None:
    world.turn(asked(1))
    world.turn(asked(2))
    assert world.datastore.ordered(Send) == [Send(name="out", digest=DIGEST, size=3)]
    world.datastore.report(Sent(digest=DIGEST))
    assert world.take(Answer) == [Answer(reply=1), Answer(reply=2)]
    world.datastore.report(Sent(digest=DIGEST))
    assert world.take(Answer) == []


def test_what_cannot_be_sent_is_answered_with_the_reason_and_may_be_asked_again(world: World) -> None:
    world.turn(asked(1))
    world.datastore.report(SendFailed(digest=DIGEST, reason="gone"))
    assert world.take(Answer) == [Answer(reply=1, rejections=[Rejection(RejectionKind.NOT_SENT, "gone")])]
    world.ignore()
    world.turn(asked(2))
    assert len(world.datastore.ordered(Send)) == 1


def test_a_datastore_that_says_hello_again_or_is_silent_for_long_is_asked_again(world: World) -> None:
    world.turn(asked(1))
    world.ignore()
    world.datastore.report(DatastoreHello())
    assert len(world.datastore.ordered(Send)) == 1
    world.wait(world.state.policy.ask_again * 2)
    assert len(world.datastore.ordered(Send)) >= 1


def test_without_a_datastore_a_request_is_rejected_at_once() -> None:
    world = World(connected=False)
    world.turn(asked(1))
    (answer,) = world.take(Answer)
    (rejection,) = answer.rejections
    assert rejection.kind is RejectionKind.NO_DATASTORE and "not connected" in rejection.text


# --- whether results are there ---------------------------------------------------------------------


def test_which_results_are_there_is_asked_of_the_datastore_until_it_answers(world: World) -> None:
    world.turn(ResultsAsked(task=7, names=["a", "b"], reply=1))
    assert world.datastore.ordered(LookUp) == [LookUp(task=7, names=["a", "b"])]
    world.datastore.report(DatastoreHello())
    assert world.datastore.ordered(LookUp) == [LookUp(task=7, names=["a", "b"])]
    world.datastore.report(Found(task=7, files=[PublishedFile(name="a", size=5, digest=DIGEST)]))
    assert world.take(Answer) == [Answer(reply=1, value={"found": {"a": 5}})]
    world.datastore.report(Found(task=7, files=[]))
    assert world.take(Answer) == []


def test_a_push_does_not_hang_for_a_datastore_that_does_not_answer(world: World) -> None:
    world.turn(ResultsAsked(task=7, names=["a"], reply=1))
    world.ignore()
    world.wait(fetches.CHECK_SECONDS + 1.0)
    (answer,) = world.take(Answer)
    assert answer.rejections[0].kind is RejectionKind.NO_DATASTORE
    assert not world.state.checking
    world.ignore()
    away = World(connected=False)
    away.turn(ResultsAsked(task=7, names=["a"], reply=2))
    assert away.take(Answer)[0].rejections
