"""The link against both brokers that can be embedded: what it promises when all goes well."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.embedded.broker import EmbeddedBroker
from boss.embedded.logins import MqttLogin
from tests.worlds import brokers
from tests.worlds.brokers import (
    BOSS,
    OTHER_WORKER,
    TOPICS,
    WORKER,
    Links,
    never,
    start_broker,
)
from tests.worlds.waiting import scaled, wait_for
from wire.codec import MAX_BYTES
from wire.link import Connected, Disconnected, LinkEvent, Received, SubscriptionRefused

broker, links = brokers.broker, brokers.links

REPORTS = TOPICS.reports("w1")
ORDERS = TOPICS.orders("w1")


def test_a_message_goes_there_and_another_comes_back(broker: EmbeddedBroker, links: Links) -> None:
    boss, at_boss = links.make(broker, topics=(TOPICS.all_reports,))
    worker, at_worker = links.make(broker, WORKER, topics=(ORDERS,))
    at_boss.wait(Connected)
    at_worker.wait(Connected)
    assert worker.publish(REPORTS, b"hello")
    assert at_boss.wait(Received) == Received(REPORTS, b"hello", retained=False)
    assert boss.publish(ORDERS, b"welcome")
    assert at_worker.wait(Received) == Received(ORDERS, b"welcome", retained=False)


def test_many_messages_arrive_all_and_in_order(broker: EmbeddedBroker, links: Links) -> None:
    _, at_boss = links.make(broker, topics=(TOPICS.all_reports,))
    worker, at_worker = links.make(broker, WORKER)
    at_boss.wait(Connected)
    at_worker.wait(Connected)
    for number in range(1500):
        assert worker.publish(REPORTS, b"%d" % number)
    assert [at_boss.wait(Received).payload for _ in range(1500)] == [b"%d" % number for number in range(1500)]


def test_messages_of_qos_0_travel_too(broker: EmbeddedBroker, links: Links) -> None:
    boss, at_boss = links.make(broker)
    worker, at_worker = links.make(broker, WORKER)
    at_boss.wait(Connected)
    at_worker.wait(Connected)
    boss.subscribe(TOPICS.output("w1"), qos=0, required=False)
    deadline = time.monotonic() + scaled(20)
    while not at_boss.has(Received, within=0.05):
        assert worker.publish(TOPICS.output("w1"), b"line", qos=0)
        assert time.monotonic() < deadline


def test_garbage_and_emptiness_are_passed_through_as_they_are(broker: EmbeddedBroker, links: Links) -> None:
    _, at_boss = links.make(broker, topics=(TOPICS.all_reports,))
    worker, at_worker = links.make(broker, WORKER)
    at_boss.wait(Connected)
    at_worker.wait(Connected)
    payloads = [b"", b"\x00\xff\xfe", bytes(range(256)) * 40]
    for payload in payloads:
        assert worker.publish(REPORTS, payload)
    assert [at_boss.wait(Received).payload for _ in payloads] == payloads


def test_the_largest_message_arrives_and_a_larger_one_never_leaves(broker: EmbeddedBroker, links: Links) -> None:
    _, at_boss = links.make(broker, topics=(TOPICS.all_reports,))
    worker, at_worker = links.make(broker, WORKER)
    at_boss.wait(Connected)
    at_worker.wait(Connected)
    assert not worker.publish(REPORTS, b"x" * (MAX_BYTES + 1))
    assert worker.publish(REPORTS, b"x" * MAX_BYTES)
    assert len(at_boss.wait(Received).payload) == MAX_BYTES
    never(at_worker, Disconnected, 0.1)


def test_presence_is_retained_and_says_offline_after_a_stop(broker: EmbeddedBroker, links: Links) -> None:
    boss, at_boss = links.make(broker, presence=TOPICS.boss_presence)
    at_boss.wait(Connected)
    assert boss.publish("test/boss/after", b"")
    _, early = links.make(broker, WORKER, topics=(TOPICS.boss_presence,))
    first = early.wait(Received)
    assert first.payload == b"online"
    assert boss.stop(timeout=scaled(20))
    assert early.wait(Received) == Received(TOPICS.boss_presence, b"offline", retained=False)
    _, late = links.make(broker, OTHER_WORKER, topics=(TOPICS.boss_presence,))
    assert late.wait(Received) == Received(TOPICS.boss_presence, b"offline", retained=True)


CLIENT = """
import queue, sys, time
from wire.link import *
host, port, topic = sys.argv[1], int(sys.argv[2]), sys.argv[3]
events = queue.Queue()
link = Link(LinkOptions(host, port, "w1-killed", "w1", "w1-password",
            presence=PresenceOptions(topic, b"online", b"offline")), events.put)
link.start()
events.get()
time.sleep(600)
"""


def test_the_last_will_speaks_for_a_killed_process(broker: EmbeddedBroker, links: Links) -> None:
    presence = TOPICS.presence("w1")
    _, at_boss = links.make(broker, topics=(TOPICS.all_presences,))
    at_boss.wait(Connected)
    with subprocess.Popen([sys.executable, "-c", CLIENT, broker.host, str(broker.port), presence]) as client:
        try:
            assert at_boss.wait(Received).payload == b"online"
        finally:
            client.send_signal(signal.SIGKILL)
    assert at_boss.wait(Received).payload == b"offline"
    _, late = links.make(broker, topics=(TOPICS.all_presences,))
    assert late.wait(Received) == Received(presence, b"offline", retained=True)


def test_stop_waits_until_the_broker_has_everything(broker: EmbeddedBroker, links: Links) -> None:
    _, at_boss = links.make(broker, topics=(TOPICS.all_reports,))
    worker, at_worker = links.make(broker, WORKER)
    at_boss.wait(Connected)
    at_worker.wait(Connected)
    for _ in range(300):
        assert worker.publish(REPORTS, b"last words")
    assert worker.stop(timeout=scaled(20))
    for _ in range(300):
        at_boss.wait(Received)
    assert not worker.publish(REPORTS, b"too late")
    never(at_worker, Disconnected, 0.0)


def test_a_wrong_password_is_reported_once_and_tried_until_it_is_right(broker: EmbeddedBroker, links: Links) -> None:
    newcomer = MqttLogin("w9", "w9-password", "worker")
    _, listener = links.make(broker, newcomer)
    reason = listener.wait(Disconnected).reason
    assert "refused the login of 'w9'" in reason
    assert "w9-password" not in reason
    never(listener, Disconnected, 0.5)
    broker.add_logins([newcomer])
    listener.wait(Connected)


def test_no_program_gets_in_without_a_login(broker: EmbeddedBroker, links: Links) -> None:
    _, listener = links.make(broker, username="", password="")
    assert "refused a connection without login" in listener.wait(Disconnected).reason
    never(listener, Connected)


@pytest.fixture
def amqtt(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """Mosquitto grants every subscription and then delivers nothing: only this one can show a refusal."""
    started = start_broker(tmp_path / "broker", "amqtt")
    yield started
    started.stop()


def test_a_refused_subscription_is_an_error_each_time_and_ends_the_connection(
    amqtt: EmbeddedBroker, links: Links
) -> None:
    foreign = TOPICS.orders("w2")
    _, listener = links.make(amqtt, WORKER, topics=(ORDERS, foreign))
    for _ in range(2):
        assert listener.wait(SubscriptionRefused) == SubscriptionRefused(foreign)
    assert foreign in listener.wait(Disconnected).reason
    never(listener, Connected)


def test_a_refused_subscription_that_is_not_required_leaves_the_link_of_use(
    amqtt: EmbeddedBroker, links: Links
) -> None:
    link, listener = links.make(amqtt, WORKER, topics=(ORDERS,), start=False)
    link.subscribe("test/#", required=False)
    link.start()
    assert listener.wait(SubscriptionRefused).topic == "test/#"
    listener.wait(Connected)
    link.subscribe(TOPICS.orders("w2"), required=False)
    assert listener.wait(SubscriptionRefused).topic == TOPICS.orders("w2")
    never(listener, Disconnected, 0.1)


def test_a_worker_never_hears_the_orders_of_another(broker: EmbeddedBroker, links: Links) -> None:
    boss, at_boss = links.make(broker)
    spy, at_spy = links.make(broker, WORKER, topics=(ORDERS,))
    at_boss.wait(Connected)
    at_spy.wait(Connected)
    for topic in (TOPICS.orders("w2"), "test/workers/+/orders", "test/#", "#"):
        spy.subscribe(topic, required=False)
    assert boss.publish(TOPICS.orders("w2"), b"secret", retain=True)
    time.sleep(0.2)
    assert boss.publish(TOPICS.orders("w2"), b"secret")
    assert boss.publish(ORDERS, b"mine")
    # Mosquitto delivers it once for each filter that matches.
    assert at_spy.wait(Received) == Received(ORDERS, b"mine", retained=False)
    time.sleep(0.2)
    while at_spy.has(Received):
        assert at_spy.wait(Received).payload == b"mine"


def test_no_client_receives_what_a_worker_may_not_publish(broker: EmbeddedBroker, links: Links) -> None:
    _, at_boss = links.make(broker, topics=("test/#",))
    worker, at_worker = links.make(broker, WORKER)
    at_boss.wait(Connected)
    at_worker.wait(Connected)
    for forbidden in (TOPICS.reports("w2"), TOPICS.boss_presence, TOPICS.datastore_orders, "elsewhere"):
        assert worker.publish(forbidden, b"junk", retain=True)
    assert worker.publish(REPORTS, b"allowed")
    assert at_boss.wait(Received).payload == b"allowed"
    never(at_boss, Received, 0.2)


def test_a_worker_cannot_speak_for_the_boss_by_its_last_will(broker: EmbeddedBroker, links: Links) -> None:
    _, at_boss = links.make(broker, BOSS, topics=(TOPICS.boss_presence,))
    at_boss.wait(Connected)
    code = CLIENT.replace("events.get()", "events.get(timeout=1)")
    arguments = [sys.executable, "-c", code, broker.host, str(broker.port), TOPICS.boss_presence]
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as client:
        time.sleep(1.0)
        client.send_signal(signal.SIGKILL)
    never(at_boss, Received, 0.3)


def test_a_receiver_that_raises_does_not_end_the_link(
    broker: EmbeddedBroker,
    links: Links,
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[LinkEvent] = []
    enough = threading.Event()

    def receive(event: LinkEvent) -> None:
        heard.append(event)
        if len(heard) == 4:
            enough.set()
        raise RuntimeError("broken receiver")

    boss, _ = links.make(broker, topics=(TOPICS.all_reports,), receive=receive)
    worker, at_worker = links.make(broker, WORKER)
    at_worker.wait(Connected)
    wait_for(lambda: heard, "the boss is connected")
    for number in range(3):
        assert worker.publish(REPORTS, b"%d" % number)
    assert enough.wait(scaled(20))
    assert [type(event) for event in heard] == [Connected, Received, Received, Received]
    assert boss.publish(ORDERS, b"alive")
    assert "the receiver of Received failed" in caplog.text
