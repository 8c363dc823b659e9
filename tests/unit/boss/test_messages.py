"""What comes in by MQTT: counted by kind where it is none of ours, and never more of one agent than is kept."""

from __future__ import annotations

import logging

import msgspec
import pytest

from boss import inbox as inbox_module
from boss.core.events import DatastoreReported, PresenceSeen, TimePassed, WorkerReported
from boss.core.reasons import MessageRejection
from boss.inbox import Inbox
from boss.messages import DROPPED_SHOWN, MqttMessages
from wire.codec import MAX_BYTES, encode
from wire.link import LinkOptions
from wire.link.events import Received
from wire.messages import VERSION, DatastoreReports, Heartbeat, Presence, WorkerReports
from wire.topics import Topics

TOPICS = Topics("e")


def messages(inbox: Inbox) -> MqttMessages:
    return MqttMessages(LinkOptions(host="broker", port=1, client_id="boss"), TOPICS, inbox)


def beat(worker: str = "w", digests: int = 0) -> bytes:
    report = Heartbeat(cached=["b2:" + "0" * 64] * digests)
    return encode(
        WorkerReports(
            version=VERSION,
            deployment="d",
            worker=worker,
            incarnation="i",
            number=1,
            epoch=1,
            confirms=[],
            reports=[report],
        )
    )


def presence(name: str) -> bytes:
    return encode(Presence(version=VERSION, deployment="d", name=name, incarnation="i", online=True))


def test_messages_of_agents_come_in_as_events() -> None:
    inbox = Inbox()
    said = messages(inbox)
    datastore = DatastoreReports(
        version=VERSION, deployment="d", incarnation="i", number=1, epoch=1, confirms=[], reports=[]
    )
    said._received(Received(TOPICS.reports("w"), beat(), False))
    said._received(Received(TOPICS.datastore_reports, encode(datastore), False))
    said._received(Received(TOPICS.presence("w"), presence("w"), True))
    said._received(Received(TOPICS.datastore_presence, presence("datastore"), True))
    inbox.put(TimePassed())
    kinds = [type(inbox.take()) for _ in range(5)]
    assert kinds == [WorkerReported, DatastoreReported, PresenceSeen, PresenceSeen, TimePassed]
    assert not inbox.rejected


@pytest.mark.parametrize(
    ("topic", "payload", "kind"),
    [
        (TOPICS.reports("w"), b" " * (MAX_BYTES + 1), MessageRejection.TOO_LARGE),
        (TOPICS.reports("w"), b"no JSON", MessageRejection.MALFORMED),
        (TOPICS.reports("w"), beat().replace(b'"i"', b'"' + b"i" * 65 + b'"'), MessageRejection.MALFORMED),
        (TOPICS.reports("w"), b'{"version": 1}', MessageRejection.MALFORMED),
        (TOPICS.presence("w"), presence("v"), MessageRejection.MISPLACED),
        ("e/workers/a b/reports", beat(), MessageRejection.MISPLACED),
    ],
)
def test_what_is_none_of_ours_is_counted_by_kind(topic: str, payload: bytes, kind: MessageRejection) -> None:
    inbox = Inbox()
    messages(inbox)._received(Received(topic, payload, False))
    assert inbox.rejected == {kind: 1}
    assert inbox.take() is None


def test_the_log_names_the_first_few(caplog: pytest.LogCaptureFixture) -> None:
    said = messages(Inbox())
    with caplog.at_level(logging.WARNING):
        for _ in range(10 * DROPPED_SHOWN):
            said._received(Received(TOPICS.reports("w"), b"x" * 1000, False))
    assert len(caplog.records) == DROPPED_SHOWN
    assert "only counted" in caplog.records[-1].getMessage()


def test_no_more_of_one_agent_waits_than_is_kept_and_others_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    large = beat(digests=1000)
    monkeypatch.setattr(inbox_module, "WAITING_OF_ONE", 3 * len(large))
    inbox = Inbox()
    said = messages(inbox)
    for _ in range(10):
        said._received(Received(TOPICS.reports("w"), large, False))
    said._received(Received(TOPICS.reports("v"), beat("v"), False))
    taken = []
    while isinstance(item := inbox.take(), msgspec.Struct):
        taken.append(item.worker)  # type: ignore[union-attr]
    assert taken == ["w", "w", "w", "v"]
    assert inbox.rejected == {MessageRejection.TOO_MANY: 7}
    said._received(Received(TOPICS.reports("w"), large, False))
    assert isinstance(inbox.take(), WorkerReported), "what was taken makes room"


def test_one_message_of_each_may_always_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "WAITING_OF_ALL", 1)
    inbox = Inbox()
    said = messages(inbox)
    for worker in ("v", "w", "w"):
        said._received(Received(TOPICS.reports(worker), beat(worker), False))
    assert inbox.rejected == {MessageRejection.TOO_MANY: 1}
