"""Logins of machines at a real Mosquitto: each its own topics only, gone with the instance, cut off at once."""

from __future__ import annotations

import itertools
import queue
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from boss.bootstrap.addresses import Addresses
from boss.bootstrap.bootstrap import InstanceBootstrap
from boss.bootstrap.login_files import LoginFiles
from boss.core.events import InstanceEnded
from boss.embedded.broker import EmbeddedBroker
from boss.embedded.broker_logins import BrokerLogins
from boss.embedded.logins import MqttLogin
from boss.embedded.passwords import Passwords
from boss.setup import PoolSetup
from tests.worlds.bundles import FakeBundles
from tests.worlds.waiting import scaled, wait_for
from wire.codec import encode
from wire.messages import VERSION, Presence
from wire.topics import Topics

pytestmark = pytest.mark.needs("mosquitto")

TOPICS = Topics("ecloud")
NUMBERS = itertools.count(1)
POOL = PoolSetup(name="cloud", provider="static", max=2)


class Client:
    """A program at the broker with some login."""

    def __init__(self, port: int, name: str, password: str, will: bool = False) -> None:
        self.got: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self.events: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"{name}-{next(NUMBERS)}")
        self.client.username_pw_set(name, password)
        self.client.on_message = lambda _c, _u, message: self.got.put((message.topic, message.payload))
        self.client.on_connect = lambda _c, _u, _f, code, _p: self.events.put("refused" if code.is_failure else "in")
        self.client.on_disconnect = lambda *_: self.events.put("out")
        self.client.on_subscribe = lambda _c, _u, _m, codes, _p: self.events.put(f"granted {codes[0].is_failure}")
        if will:
            self.client.will_set(TOPICS.presence(name), presence(name, online=False), qos=1, retain=True)
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.first = self.events.get(timeout=scaled(20))

    def subscribe(self, topic: str) -> bool:
        self.client.subscribe(topic, qos=1)
        return self.events.get(timeout=scaled(20)) == "granted False"

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(scaled(20))

    def message(self, seconds: float = 20.0) -> tuple[str, bytes] | None:
        try:
            return self.got.get(timeout=scaled(seconds))
        except queue.Empty:
            return None

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def presence(name: str, online: bool) -> bytes:
    return encode(Presence(version=VERSION, deployment="d", name=name, incarnation="i", online=online))


class World:
    def __init__(self, folder: Path) -> None:
        self.passwords = Passwords(folder)
        boss = MqttLogin("boss", self.passwords.password("boss"), "boss")
        self.broker = EmbeddedBroker(folder / "broker", TOPICS, [boss], kind="mosquitto")
        self.broker.start()
        self.boss = Client(self.broker.port, "boss", boss.password)
        self.clients = [self.boss]
        addresses = Addresses("d", "ecloud", "127.0.0.1", self.broker.port, "http://127.0.0.1:1")
        logins = BrokerLogins(self.passwords, self.broker)
        self.bootstrap = InstanceBootstrap(
            folder, [POOL], addresses, logins, LoginFiles(folder, addresses, logins),
            authorized_keys=[], settings={}, notify=lambda event: None, clear_presence=self.clear,
        )  # fmt: skip
        self.bootstrap.prepare()

    def clear(self, worker: str) -> None:
        self.boss.publish(TOPICS.presence(worker), b"", retain=True)

    def worker(self, name: str, instance: int) -> Client:
        """As its machine comes by its login."""
        token = self.bootstrap.data(instance, name).variables["ECLOUD_START_TOKEN"]
        password = self.bootstrap.exchange(name, token, "/etc/ecloud", "10.0.0.1").files["worker.password"].strip()
        made = Client(self.broker.port, name, password, will=True)
        self.clients.append(made)
        assert made.first == "in"
        made.publish(TOPICS.presence(name), presence(name, online=True), retain=True)
        return made

    def close(self) -> None:
        self.bootstrap.close()
        for client in self.clients:
            client.close()
        self.broker.stop()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("boss.bootstrap.bootstrap.Bundles", FakeBundles)
    made = World(tmp_path)
    yield made
    made.close()


def retained(world: World, topic: str) -> bytes | None:
    """What stands there."""
    assert world.boss.subscribe(topic)
    found = world.boss.message(1.0)
    world.boss.client.unsubscribe(topic)
    return found[1] if found else None


def test_one_worker_neither_reads_nor_writes_anothers_topics(world: World) -> None:
    one, other = world.worker("cloud-1", 1), world.worker("cloud-2", 2)
    assert one.subscribe(TOPICS.orders("cloud-1")) and other.subscribe(TOPICS.orders("cloud-2"))
    for topic in (TOPICS.orders("cloud-2"), TOPICS.reports("cloud-2"), "ecloud/workers/+/orders", "ecloud/#", "#"):
        one.subscribe(topic)  # granted or not: what counts is what comes
    assert world.boss.subscribe(TOPICS.reports("cloud-2")) and world.boss.subscribe(TOPICS.reports("cloud-1"))
    world.boss.publish(TOPICS.orders("cloud-2"), b"secret")
    assert other.message() == (TOPICS.orders("cloud-2"), b"secret")
    one.publish(TOPICS.reports("cloud-2"), b"a lie")
    one.publish(TOPICS.orders("cloud-2"), b"a lie")
    one.publish(TOPICS.boss_presence, b"a lie", retain=True)
    one.publish(TOPICS.reports("cloud-1"), b"the truth")
    assert world.boss.message() == (TOPICS.reports("cloud-1"), b"the truth")
    assert other.message(0.5) is None and one.message(0.5) is None
    assert retained(world, TOPICS.boss_presence) is None


def test_a_login_that_ends_with_its_instance_is_cut_off_at_once_and_leaves_no_presence(world: World) -> None:
    one, other = world.worker("cloud-1", 1), world.worker("cloud-2", 2)
    wait_for(
        lambda: retained(world, TOPICS.presence("cloud-1")) == presence("cloud-1", True), "its presence stands there"
    )
    while not one.events.empty():
        one.events.get()
    began = time.monotonic()
    world.bootstrap.on_event(InstanceEnded(instance=1, reason="ended"))
    assert one.events.get(timeout=scaled(20)) == "out"
    assert time.monotonic() - began < scaled(10)
    assert one.events.get(timeout=scaled(20)) in ("refused", "out"), "it tries again, and is refused"
    wait_for(lambda: retained(world, TOPICS.presence("cloud-1")) is None, "its presence is cleared, its last will too")
    assert not world.passwords.has("cloud-1")
    assert other.events.empty(), "no other is cut off"
    other.publish(TOPICS.reports("cloud-2"), b"still here")


def test_the_next_instance_of_a_worker_has_another_password_and_the_first_is_refused(world: World) -> None:
    first = world.worker("cloud-1", 1)
    before = world.passwords.password("cloud-1")
    while not first.events.empty():
        first.events.get()
    world.worker("cloud-1", 2)
    assert world.passwords.password("cloud-1") != before
    assert first.events.get(timeout=scaled(20)) == "out"
    late = Client(world.broker.port, "cloud-1", before)
    world.clients.append(late)
    assert late.first == "refused"
