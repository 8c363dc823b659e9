"""The parts of the link that decide without a network: outbox, backoff, options, topics."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds.waiting import scaled
from wire.link import Link, LinkError, LinkOptions, TlsOptions
from wire.link.link import Backoff
from wire.link.outbox import OutboundMessage, Outbox, Subscription, Subscriptions


def message(size: int = 10, qos: int = 1) -> OutboundMessage:
    return OutboundMessage("t", b"x" * size, qos, retain=False)


def opened(max_bytes: int = 10_000, max_messages: int = 100) -> Outbox:
    outbox = Outbox(max_bytes, max_messages)
    outbox.open()
    return outbox


def test_an_outbox_takes_nothing_before_it_is_opened_or_after_it_is_closed() -> None:
    outbox = Outbox(10_000, 100)
    assert not outbox.put(message())
    outbox.open()
    assert outbox.put(message())
    outbox.close()
    assert not outbox.put(message())


def test_closing_discards_what_waits_and_says_how_many() -> None:
    outbox = opened()
    outbox.put(message())
    outbox.put(message())
    assert outbox.close() == 2
    outbox.open()
    assert outbox.take(10) == []
    assert outbox.unsettled() == 0


def test_messages_leave_in_order() -> None:
    outbox = opened()
    for size in (1, 2, 3):
        outbox.put(message(size))
    assert [len(each.payload) for each in outbox.take(2)] == [1, 2]
    assert [len(each.payload) for each in outbox.take(2)] == [3]


def test_a_message_counts_until_it_is_settled() -> None:
    outbox = opened(max_messages=1)
    assert outbox.put(message())
    (taken,) = outbox.take(1)
    assert not outbox.put(message())
    outbox.settled(taken.size)
    assert outbox.put(message())


def test_bytes_are_bounded_but_one_message_alone_may_be_of_any_size() -> None:
    outbox = opened(max_bytes=1000)
    assert outbox.put(message(5000))
    assert not outbox.put(message(1))
    (taken,) = outbox.take(1)
    outbox.settled(taken.size)
    assert outbox.put(message(500))
    assert not outbox.put(message(500))


def test_live_output_may_fill_half_only() -> None:
    outbox = opened(max_messages=4)
    assert outbox.put(message(qos=0))
    assert outbox.put(message(qos=0))
    assert not outbox.put(message(qos=0))
    assert outbox.put(message(qos=1))
    assert outbox.put(message(qos=1))
    assert not outbox.put(message(qos=1))


def test_presence_is_taken_even_by_a_full_or_refusing_outbox() -> None:
    outbox = opened(max_messages=1)
    outbox.put(message(1))
    outbox.refuse_more()
    outbox.put_last(message(2))
    assert [len(each.payload) for each in outbox.take(9)] == [1, 2]


def test_pauses_double_up_to_the_limit_and_are_spread() -> None:
    backoff = Backoff(1.0, 8.0)
    assert [backoff.pause(1.0) for _ in range(5)] == [1.0, 2.0, 4.0, 8.0, 8.0]
    assert backoff.pause(0.0) == 4.0


def test_only_a_connection_that_lasted_starts_the_pauses_again() -> None:
    backoff = Backoff(1.0, 8.0)
    backoff.pause(1.0)
    backoff.ended(lasted=0.5)
    assert backoff.pause(1.0) == 2.0
    backoff.ended(lasted=60.0)
    assert backoff.pause(1.0) == 1.0


def test_subscriptions_hand_out_new_ones_once_and_all_at_a_new_connection() -> None:
    subscriptions = Subscriptions()
    one, two = Subscription("one", 1, True), Subscription("two", 0, False)
    subscriptions.add(one)
    assert subscriptions.all() == [one]
    assert subscriptions.added() == []
    subscriptions.add(two)
    assert subscriptions.added() == [two]
    assert subscriptions.added() == []
    assert subscriptions.all() == [one, two]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"host": ""}, "host"),
        ({"port": 0}, "port"),
        ({"port": 70_000}, "port"),
        ({"client_id": ""}, "client id"),
        ({"client_id": "x" * 201}, "client id"),
        ({"keepalive_seconds": 0}, "keepalive"),
        ({"max_in_flight": 0}, "max_in_flight"),
    ],
)
def test_options_that_cannot_work_are_refused_when_made(change: dict[str, object], word: str) -> None:
    good: dict[str, object] = {"host": "localhost", "port": 1883, "client_id": "a"}
    with pytest.raises(LinkError, match=word):
        LinkOptions(**(good | change))  # type: ignore[arg-type]


def test_a_password_is_not_shown_with_the_options() -> None:
    assert "secret" not in repr(LinkOptions("h", 1, "c", "user", "secret"))


def test_tls_files_that_cannot_be_used_are_named_when_the_link_is_made(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    with pytest.raises(LinkError, match=r"missing\.pem"):
        Link(LinkOptions("h", 1, "c", tls=TlsOptions(ca_file=missing)), print)
    with pytest.raises(LinkError, match=r"missing\.pem"):
        Link(LinkOptions("h", 1, "c", tls=TlsOptions(certificate_file=missing)), print)


@pytest.mark.parametrize("topic", ["", "a/+", "a/#", "a\0b", "x" * 70_000])
def test_a_topic_that_cannot_be_published_on_is_refused_where_it_is_said(topic: str) -> None:
    with pytest.raises(ValueError, match="no topic to publish on"):
        Link(LinkOptions("h", 1, "c"), print).publish(topic, b"")


@pytest.mark.parametrize("topic", ["", "a/b#", "a/#/b", "a+/b", "a\0b"])
def test_a_filter_that_cannot_be_subscribed_to_is_refused_where_it_is_said(topic: str) -> None:
    with pytest.raises(ValueError, match="no topic to subscribe to"):
        Link(LinkOptions("h", 1, "c"), print).subscribe(topic)


def test_a_link_that_was_never_started_publishes_nothing_and_stops_at_once() -> None:
    link = Link(LinkOptions("h", 1, "c"), print)
    link.subscribe("a/+/b")
    link.subscribe("a/#")
    assert not link.publish("a", b"")
    link.stop(timeout=scaled(30))
