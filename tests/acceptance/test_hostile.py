"""Garbage on every topic of a running deployment, each with the login that may publish there: no program dies, nothing
changes, one line in a log says it, and the next push works."""

from __future__ import annotations

import re
import threading

import msgspec
import pytest

from tests.acceptance.hostile.login import TOPICS, assert_well, publisher
from tests.worlds.deployment import Deployment, deployment
from tests.worlds.looking import workers
from tests.worlds.waiting import wait_for
from wire.codec import MAX_BYTES
from wire.messages import (
    VERSION,
    Acknowledge,
    DatastoreOrders,
    DatastoreReports,
    Forget,
    HeldAttempt,
    Kill,
    Outcome,
    PhaseReached,
    Place,
    Presence,
    Published,
    PublishedFile,
    Returned,
    Stop,
    Store,
    WorkerHello,
    WorkerOrders,
    WorkerReports,
)

__all__ = ["deployment"]

WORKER, DATASTORE, BOSS = "local-1", "@datastore", "boss"
HUGE = 2**53 - 1  # the largest that a schema takes
DIGEST = "b2:" + "ab" * 32

JUNK = {
    "no JSON": b"garbage \xff\xfe",
    "another shape": b'{"version": 1, "orders": 5, "reports": 5, "deployment": []}',
    "a number": b"5",
    "deep nesting": b'{"version":' + b"[" * 100_000,
    "deep nesting in an unknown field": b'{"x":' + b'{"x":' * 50_000 + b"1" + b"}" * 50_001,
    "9 MB": b'{"version": 1, "x": "' + b"x" * 9_000_000 + b'"}',
    "a little above the limit": b" " * (MAX_BYTES + 1),
    "of a future version": b'{"version": 99, "news": true}',
}


def say(deployment: Deployment, login: str, topic: str, payloads: list[bytes]) -> None:
    """Each by a connection of its own: the broker may end it for what is too large."""
    for payload in payloads:
        with publisher(deployment, login) as client:
            lost = threading.Event()
            client.on_disconnect = lambda *_, lost=lost: lost.set()
            message = client.publish(topic, payload, qos=1)
            wait_for(
                lambda message=message, lost=lost: message.is_published() or lost.is_set(), f"{topic} takes it", 20
            )
            assert message.is_published() or len(payload) > MAX_BYTES


@pytest.fixture(params=["mosquitto", "amqtt"])
def running(request: pytest.FixtureRequest, deployment: Deployment) -> Deployment:
    deployment.settings["embedded_broker"] = request.param
    deployment.start_boss()
    wait_for(lambda: [one["state"] for one in deployment.look(workers)] == ["online"], "the worker is there")
    return deployment


def test_garbage_on_every_topic_is_dropped_with_a_word_in_the_log(running: Deployment) -> None:
    before = running.processes()
    payloads = list(JUNK.values())
    say(running, BOSS, TOPICS.orders(WORKER), payloads)
    say(running, BOSS, TOPICS.datastore_orders, payloads)
    say(running, BOSS, TOPICS.boss_presence, payloads)
    for topic in (TOPICS.reports(WORKER), TOPICS.presence(WORKER)):
        say(running, WORKER, topic, payloads)
    for topic in (TOPICS.datastore_reports, TOPICS.datastore_presence):
        say(running, DATASTORE, topic, payloads)
    assert_well(running, before, "junk")
    for log in ("boss", "datastore", WORKER):
        assert "protocol version 99" in running.log(log), running.log(log)


def test_messages_that_lie_change_nothing(running: Deployment) -> None:
    before = running.processes()
    deployment = re.search(r"of deployment (\w+)", running.log())
    assert deployment
    say(running, BOSS, TOPICS.orders(WORKER), [msgspec.json.encode(one) for one in lying_orders(deployment[1])])
    say(running, BOSS, TOPICS.datastore_orders, [msgspec.json.encode(one) for one in lying_stores(deployment[1])])
    say(running, WORKER, TOPICS.reports(WORKER), [msgspec.json.encode(one) for one in lying_reports(deployment[1])])
    said = [msgspec.json.encode(one) for one in lying_datastore(deployment[1])]
    say(running, DATASTORE, TOPICS.datastore_reports, said)
    presence = Presence(version=VERSION, deployment="other", name=WORKER, incarnation="x", online=False)
    for login, topic in ((WORKER, TOPICS.presence(WORKER)), (DATASTORE, TOPICS.datastore_presence)):
        say(running, login, topic, [msgspec.json.encode(presence)])
    assert not (running.tree / "planted").exists()
    assert_well(running, before, "lies")


def lying_orders(deployment: str) -> list[WorkerOrders]:
    """To a worker: of another deployment, for another incarnation, for no receiver."""
    orders = [Stop(now=True), Kill(task=1, attempt=1), Acknowledge(attempts=[(1, 1), (HUGE, 2**31 - 1)])]
    return [
        WorkerOrders(version=VERSION, deployment=whose, receiver=receiver, epoch=HUGE, number=HUGE, orders=orders)
        for whose, receiver in (("other", "x"), (deployment, "x"), (deployment, ""))
    ]


def lying_stores(deployment: str) -> list[DatastoreOrders]:
    orders = [Store(name="planted", digest=DIGEST, size=1, source="/etc/hostname"), Forget(attempts=[(1, 1)])]
    return [
        DatastoreOrders(version=VERSION, deployment=whose, receiver=receiver, epoch=HUGE, number=HUGE, orders=orders)
        for whose, receiver in (("other", "x"), (deployment, "x"), (deployment, ""))
    ]


def lying_reports(deployment: str) -> list[WorkerReports]:
    """From a worker: in another's name, of another deployment, of another start, about what it was never given."""
    place = Place(path="/nowhere")
    hello = WorkerHello(
        pool="x",
        slots=2**31 - 1,
        memory=HUGE,
        place=place,
        held=[HeldAttempt(task=HUGE, attempt=2**31 - 1, phase="executing")],
    )
    reports = [
        hello,
        Outcome(task=1, attempt=1, ended="succeeded"),
        Outcome(task=0, attempt=0, ended="failed", seconds=1e11, reason="\0\udcff".encode(errors="replace").decode()),
        PhaseReached(task=HUGE, attempt=0, phase="executing"),
        Returned(task=0, attempt=2**31 - 1),
    ]
    lies = (("other", WORKER, "x"), (deployment, "local-2", "x"), (deployment, "", ""), (deployment, WORKER, "x"))
    return [
        WorkerReports(
            version=VERSION,
            deployment=whose,
            worker=worker,
            incarnation=incarnation,
            number=HUGE,
            epoch=HUGE,
            confirms=[HUGE],
            reports=reports[1:] if worker == WORKER and whose == deployment else reports,
        )
        for whose, worker, incarnation in lies
    ]


def lying_datastore(deployment: str) -> list[DatastoreReports]:
    files = [PublishedFile(name="../../x", size=HUGE, digest="b2:no")]
    reports = [Published(task=1, attempt=1, files=files), Published(task=HUGE, attempt=2**31 - 1, files=[])]
    return [
        DatastoreReports(
            version=VERSION,
            deployment=whose,
            incarnation="x",
            number=HUGE,
            epoch=HUGE,
            confirms=[HUGE],
            reports=reports,
        )
        for whose in ("other", deployment)
    ]
