"""The link when the broker dies, freezes, is full or is not there; against both brokers where it is the same."""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from boss.embedded.broker import EmbeddedBroker
from tests.worlds import brokers
from tests.worlds.brokers import (
    TOPICS,
    WORKER,
    Links,
    Listener,
    dead,
    never,
)
from tests.worlds.waiting import scaled, wait_for
from wire.link import Connected, Disconnected, Link, LinkOptions, Received

broker, links, mosquitto = brokers.broker, brokers.links, brokers.mosquitto

REPORTS = TOPICS.reports("w1")
ORDERS = TOPICS.orders("w1")


def test_after_a_broker_restart_subscriptions_presence_and_messages_are_back(
    broker: EmbeddedBroker,
    links: Links,
) -> None:
    boss, at_boss = links.make(broker, topics=(TOPICS.all_reports,), presence=TOPICS.boss_presence)
    worker, at_worker = links.make(broker, WORKER, topics=(ORDERS, TOPICS.boss_presence))
    at_boss.wait(Connected)
    at_worker.wait(Connected)
    for _ in range(2):
        with dead(broker):
            at_boss.wait(Disconnected)
        at_boss.wait(Connected)
        at_worker.wait(Connected)
        assert worker.publish(REPORTS, b"again")
        assert at_boss.wait(Received).payload == b"again"
        assert boss.publish(ORDERS, b"order")
        assert at_worker.message(ORDERS).payload == b"order"
        assert at_worker.message(TOPICS.boss_presence).payload == b"online"


def test_what_is_published_without_a_connection_is_refused_and_never_comes_late(
    broker: EmbeddedBroker,
    links: Links,
) -> None:
    _, at_boss = links.make(broker, topics=(TOPICS.all_reports,))
    worker, at_worker = links.make(broker, WORKER, start=False)
    assert not worker.publish(REPORTS, b"before the start")
    worker.start()
    at_boss.wait(Connected)
    at_worker.wait(Connected)
    with dead(broker):
        at_worker.wait(Disconnected)
        assert not worker.publish(REPORTS, b"into nothing")
    at_boss.wait(Connected)
    at_worker.wait(Connected)
    assert worker.publish(REPORTS, b"now")
    assert at_boss.wait(Received).payload == b"now"


def test_what_was_under_way_when_the_connection_broke_is_not_sent_in_the_next(
    mosquitto: EmbeddedBroker,
    links: Links,
) -> None:
    _, at_boss = links.make(mosquitto, topics=(TOPICS.all_reports,))
    worker, at_worker = links.make(mosquitto, WORKER)
    at_boss.wait(Connected)
    at_worker.wait(Connected)
    assert mosquitto.pid is not None
    os.kill(mosquitto.pid, signal.SIGSTOP)
    for _ in range(500):  # more than may be in flight: in paho, and waiting in the outbox
        assert worker.publish(REPORTS, b"old")
    with dead(mosquitto):
        at_worker.wait(Disconnected)
    at_boss.wait(Connected)
    at_worker.wait(Connected)
    assert worker.publish(REPORTS, b"new")
    assert at_boss.wait(Received).payload == b"new"
    never(at_boss, Received, 0.2)


@pytest.fixture
def frozen(mosquitto: EmbeddedBroker) -> Iterator[EmbeddedBroker]:
    """A broker that can be stopped by SIGSTOP; it goes on at the end, so that it can be ended."""
    yield mosquitto
    if mosquitto.pid is not None:
        os.kill(mosquitto.pid, signal.SIGCONT)


def test_a_full_queue_refuses_at_once_and_takes_again_when_it_has_drained(
    frozen: EmbeddedBroker,
    links: Links,
) -> None:
    _, at_boss = links.make(frozen, topics=(TOPICS.all_reports,))
    worker, at_worker = links.make(frozen, WORKER, max_queued_messages=300)
    at_boss.wait(Connected)
    at_worker.wait(Connected)
    assert frozen.pid is not None
    os.kill(frozen.pid, signal.SIGSTOP)
    answers = [worker.publish(REPORTS, b"x" * 1000) for _ in range(1000)]
    taken = answers.count(True)
    assert answers == [True] * taken + [False] * (1000 - taken)
    assert taken == 300
    os.kill(frozen.pid, signal.SIGCONT)
    for _ in range(taken):
        at_boss.wait(Received)
    wait_for(lambda: worker.publish(REPORTS, b"again"), "there is room for another message")
    at_boss.wait(Received)


def test_the_queue_is_bounded_in_bytes(frozen: EmbeddedBroker, links: Links) -> None:
    worker, at_worker = links.make(frozen, WORKER, max_queued_bytes=10_000_000)
    at_worker.wait(Connected)
    assert frozen.pid is not None
    os.kill(frozen.pid, signal.SIGSTOP)
    assert [worker.publish(REPORTS, b"x" * 3_000_000) for _ in range(5)] == [True, True, True, False, False]


def test_a_broker_that_does_not_answer_is_left(frozen: EmbeddedBroker, links: Links) -> None:
    worker, listener = links.make(frozen, WORKER, answer_seconds=0.5, keepalive_seconds=3)
    listener.wait(Connected)
    assert frozen.pid is not None
    os.kill(frozen.pid, signal.SIGSTOP)
    assert worker.publish(REPORTS, b"x")
    assert "has not answered" in listener.wait(Disconnected).reason
    os.kill(frozen.pid, signal.SIGCONT)
    listener.wait(Connected)


def test_a_silent_broker_is_noticed_by_keepalive(frozen: EmbeddedBroker, links: Links) -> None:
    _, listener = links.make(frozen, WORKER, keepalive_seconds=1)
    listener.wait(Connected)
    assert frozen.pid is not None
    os.kill(frozen.pid, signal.SIGSTOP)
    assert "lost" in listener.wait(Disconnected).reason


def test_stop_gives_up_after_its_timeout(frozen: EmbeddedBroker, links: Links) -> None:
    worker, listener = links.make(frozen, WORKER)
    listener.wait(Connected)
    assert frozen.pid is not None
    os.kill(frozen.pid, signal.SIGSTOP)
    assert worker.publish(REPORTS, b"x")
    began = time.monotonic()
    assert not worker.stop(timeout=0.3)
    assert time.monotonic() - began < scaled(10)


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid", "a..b", "x" * 300])
def test_a_broker_that_is_not_there_is_reported_once_with_its_address(host: str, links: Links) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        listener = Listener()
        link = Link(LinkOptions(host, unused.getsockname()[1], "c", reconnect_max_seconds=0.2), listener)
        link.start()
        assert f"cannot connect to the broker at {host}" in listener.wait(Disconnected).reason
        never(listener, Disconnected, 0.5)
        link.stop()


def test_something_that_is_no_broker_does_not_end_the_thread(links: Links) -> None:
    answers = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff" * 50,
        b"\x20\x02\x00\x07",
        b"\x20\x02\x00",
        b"\x30\x02\xff\xff",
    ]
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(answer)

        listener = Listener()
        options = LinkOptions(
            "127.0.0.1", server.getsockname()[1], "c", reconnect_min_seconds=0.01, reconnect_max_seconds=0.02
        )
        link = Link(options, listener)
        thread = threading.Thread(target=serve)
        thread.start()
        link.start()
        thread.join(scaled(20))
        assert not thread.is_alive()
        link.stop()
        never(listener, Connected, 0.0)


def test_a_process_with_thousands_of_open_files_still_connects(broker: EmbeddedBroker, links: Links) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        _, listener = links.make(broker, WORKER, topics=(ORDERS,))
        listener.wait(Connected)
    finally:
        for file in files:
            os.close(file)
        links.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
