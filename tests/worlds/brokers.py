"""Real brokers and links for tests: fixtures to import, and a listener that waits for what a link says.

A test file takes the fixtures like this (a test with `broker` runs on both kinds):

    from tests.worlds import brokers
    broker, links = brokers.broker, brokers.links
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from unittest import mock

import pytest

from boss.embedded import broker as broker_module
from boss.embedded.broker import EmbeddedBroker
from boss.embedded.children import Child, ChildError
from boss.embedded.logins import MqttLogin
from boss.embedded.ports import listens
from boss.embedded.programs import Kind, find_mosquitto
from tests.worlds.waiting import scaled, wait_for
from wire.link import Disconnected, Link, LinkEvent, LinkOptions, PresenceOptions, Received
from wire.topics import Topics

TOPICS = Topics("test")
BOSS = MqttLogin("boss", "boss-password", "boss")
DATASTORE = MqttLogin("datastore", "datastore-password", "datastore")
WORKER = MqttLogin("w1", "w1-password", "worker")
OTHER_WORKER = MqttLogin("w2", "w2-password", "worker")
LOGINS = (BOSS, DATASTORE, WORKER, OTHER_WORKER)

E = TypeVar("E")


def need_mosquitto() -> None:
    if find_mosquitto() is None:
        pytest.fail("mosquitto 2 is not installed: apt-get install mosquitto", pytrace=False)


def start_broker(directory: Path, kind: Kind | None = None, **options: object) -> EmbeddedBroker:
    """A broker with all the logins above; the caller stops it."""
    if kind == "mosquitto":
        need_mosquitto()
    started = EmbeddedBroker(directory, TOPICS, LOGINS, kind=kind, **options)  # type: ignore[arg-type]
    started.start()
    return started


@pytest.fixture(params=["mosquitto", "amqtt"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedBroker]:
    started = start_broker(tmp_path / "broker", request.param)
    yield started
    started.stop()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    started = start_broker(tmp_path / "broker", "mosquitto")
    yield started
    started.stop()


@contextlib.contextmanager
def dead(broker: EmbeddedBroker) -> Iterator[None]:
    """Killed by kill -9, as nothing was ever acknowledged; it is kept from its next start for as long as this lasts."""
    down = mock.patch.object(broker_module, "start_child", side_effect=ChildError("the test keeps it down"))
    with down, mock.patch.object(broker_module, "_RESTART_SECONDS", 0.05):
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        yield
        wait_for(lambda: broker.warning, "it cannot be started")
    wait_for(lambda: not broker.warning, "it is started again")


def wait_for_broker(process: subprocess.Popen[bytes] | Child, port: int, log: Path) -> None:
    """Until this Mosquitto, which a test has started itself, listens; fails with its log if it ends."""

    def check() -> None:
        code = process.exit_code if isinstance(process, Child) else process.poll()
        assert code is None, log.read_text()

    wait_for(lambda: listens(process.pid, port), f"a broker listens on port {port}", check=check)


class Listener:
    """The user's side of one link: collects its events, hands them out by type."""

    def __init__(self) -> None:
        self._inbox: queue.Queue[LinkEvent] = queue.Queue()
        self._seen: list[LinkEvent] = []

    def __call__(self, event: LinkEvent) -> None:
        self._inbox.put(event)

    def wait(self, kind: type[E], where: Callable[[E], bool] = lambda _: True, seconds: float = 60.0) -> E:
        """The first event of that type not handed out yet, within so many (scaled) seconds; others stay."""
        deadline = time.monotonic() + scaled(seconds)
        while True:
            for position, event in enumerate(self._seen):
                if isinstance(event, kind) and where(event):
                    del self._seen[position]
                    return event
            try:
                self._seen.append(self._inbox.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                pytest.fail(f"no {kind.__name__} within {scaled(seconds):g} s; there are {self._seen[:20]}")

    def message(self, topic: str, seconds: float = 60.0) -> Received:
        return self.wait(Received, lambda event: event.topic == topic, seconds)

    def has(self, kind: type[E], within: float = 0.0) -> bool:
        """Is there, or comes within so many seconds, such an event?"""
        deadline = time.monotonic() + within
        while True:
            if any(isinstance(event, kind) for event in self._seen):
                return True
            try:
                self._seen.append(self._inbox.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                return False


class Links:
    """Makes links to a broker, and stops them when the test is over."""

    def __init__(self) -> None:
        self._made: list[Link] = []

    def make(
        self,
        broker: EmbeddedBroker,
        login: MqttLogin = BOSS,
        topics: tuple[str, ...] = (),
        presence: str = "",
        start: bool = True,
        receive: Callable[[LinkEvent], None] | None = None,
        **options: object,
    ) -> tuple[Link, Listener]:
        said = PresenceOptions(presence, b"online", b"offline") if presence else None
        listener = Listener()
        link = Link(link_options(broker, login, presence=said, **options), receive or listener)
        for topic in topics:
            link.subscribe(topic)
        self._made.append(link)
        if start:
            link.start()
        return link, listener

    def stop(self) -> None:
        for link in self._made:
            link.stop(timeout=0.5)


def link_options(broker: EmbeddedBroker, login: MqttLogin = BOSS, **options: object) -> LinkOptions:
    """Options for a broker; reconnects quickly."""
    given: dict[str, object] = {
        "host": broker.host,
        "port": broker.port,
        "client_id": f"{login.username}-{time.monotonic_ns()}",
        "username": login.username,
        "password": login.password,
        "reconnect_min_seconds": 0.05,
        "reconnect_max_seconds": 0.4,
    }
    return LinkOptions(**(given | options))  # type: ignore[arg-type]


@pytest.fixture
def links() -> Iterator[Links]:
    made = Links()
    yield made
    made.stop()


def never(listener: Listener, kind: type[E], seconds: float = 0.3) -> None:
    assert not listener.has(kind, within=seconds)


__all__ = [
    "BOSS", "DATASTORE", "LOGINS", "OTHER_WORKER", "TOPICS", "WORKER", "Disconnected", "Links", "Listener",
    "broker", "dead", "link_options", "links", "mosquitto", "need_mosquitto", "never", "start_broker",
    "wait_for_broker",
]  # fmt: skip
