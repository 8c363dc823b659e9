"""Agents of the former release, by their own bytes, at a boss of today: from MQTT to the scheduler and back."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec
import pytest

from boss import messages as messages_module
from boss.core.events import BundlesKnown, Event, InstanceStarted
from boss.core.model import WorkerState
from boss.core.policy import Policy, PoolPolicy
from boss.core.reasons import ReportRejection
from boss.inbox import Inbox
from boss.messages import MqttMessages
from boss.status import LINES, OtherVersionLog, StatusReasons
from tests.worlds.scheduler import World
from tests.worlds.stored_release import wire_payloads
from wire.codec import UnknownVersionError, decode, decode_other, encode
from wire.link import LinkEvent, LinkOptions, Received
from wire.messages import VERSION, DatastoreReports, HeldAttempt, Replace, SayHello, Stop, WorkerOrders, WorkerReports
from wire.topics import Topics

FORMER = wire_payloads()
KIND, DIGEST = "3.11-x86_64", "b2:" + "b" * 64
REPLACE = Replace(kind=KIND, digest=DIGEST)
TOPICS = Topics()
CLOUD = PoolPolicy(name="cloud", provider="cloud", min_workers=1)
LOCAL = PoolPolicy(name="cloud", min_workers=1)
NONE = PoolPolicy(name="cloud", provider="cloud", min_workers=0, max_workers=0)


class Boss:
    """A boss that was started again: before that, worker cloud-1 said hello to it in its own version."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pool: PoolPolicy, *, executing: bool = False) -> None:
        self.world = World(Policy(pools=(pool,)))
        if pool.min_workers:
            self.world.turn(InstanceStarted(instance=1, reference="17 100"))
        worker = self.world.worker("cloud-1", pool="cloud")
        if executing:
            self.world.push({"a": ""})
            worker.began((1, 1))
        self.world.restart()
        if pool.min_workers:
            self.world.turn(InstanceStarted(instance=1, reference="17 100"))
        self.world.ignore()
        #: What the MQTT side puts into the inbox.
        self.inbox = Inbox()
        receivers: list[Callable[[LinkEvent], None]] = []

        class FakeLink:
            def __init__(self, options: LinkOptions, receive: Callable[[LinkEvent], None]) -> None:
                receivers.append(receive)

            def subscribe(self, topic: str) -> None: ...

        monkeypatch.setattr(messages_module, "Link", FakeLink)
        MqttMessages(LinkOptions(host="broker", port=1, client_id="boss"), TOPICS, self.inbox)
        (self._receive,) = receivers

    def gets(self, name: str, topic: str = TOPICS.reports("cloud-1"), **changed: str) -> list[Event]:
        """The stored payload arrives, with texts of it changed."""
        payload = FORMER[name]
        for former, present in changed.items():
            assert former.encode() in payload
            payload = payload.replace(former.encode(), present.encode())
        self._receive(Received(topic, payload, retained=False))
        events: list[Event] = []
        while isinstance(item := self.inbox.take(), msgspec.Struct):
            events.append(item)
        if events:
            self.world.turn(*events)
        return events

    def sent(self) -> list[object]:
        """The orders to former agents since this was last asked, each a message of version 1 to cloud-1."""
        payloads, self.world.other_versions = self.world.other_versions, []
        found: list[object] = []
        for worker, payload in payloads:
            message = msgspec.json.decode(payload, type=WorkerOrders)
            assert (worker, message.version, message.receiver) == ("cloud-1", 1, "cloud-1.1")
            found += message.orders
        return found

    def status(self) -> list[str]:
        reasons = StatusReasons()
        reasons.observe(self.world.state, [])
        self.world.now += 6.0
        self.world.state.now = self.world.now
        return [one.text for one in reasons.observe(self.world.state, []) if "of the protocol" in one.text]


def bundles() -> BundlesKnown:
    return BundlesKnown(bundles={KIND: DIGEST})


# --- the wire --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in FORMER if not name.startswith(("order", "presence"))])
def test_reports_of_the_former_version_are_read_as_far_as_they_are_answered(name: str) -> None:
    kind = DatastoreReports if name.startswith("datastore") else WorkerReports
    with pytest.raises(UnknownVersionError, match=r"version 1; this program speaks version 2: update the older side"):
        decode(FORMER[name], kind)
    message = decode_other(FORMER[name])
    assert (message.version, message.deployment) == (1, "d")
    assert (message.hello is not None) == ("hello" in name)
    assert message.executes == (name == "hello_executing")


@pytest.mark.parametrize(
    ("name", "number", "order"),
    [
        ("order_say_hello", 1, SayHello()),
        ("order_stop", 1, Stop()),
        ("order_replace", 2, Replace(kind=KIND, digest=DIGEST, url="http://boss/bundle", token="t0ken")),
    ],
)
def test_these_orders_are_to_the_byte_what_the_former_version_sends(
    name: str, number: int, order: SayHello | Stop | Replace
) -> None:
    message = WorkerOrders(version=1, deployment="d", receiver="cloud-1.1", epoch=2, number=number, orders=[order])
    assert encode(message) == FORMER[name]


# --- a worker whose machine the boss made ----------------------------------------------------------


def test_it_is_ordered_to_fetch_the_program_of_the_boss(monkeypatch: pytest.MonkeyPatch) -> None:
    boss = Boss(monkeypatch, CLOUD)
    boss.world.turn(bundles())
    boss.gets("hello")
    assert boss.sent() == [REPLACE]
    assert boss.status() == [
        "worker cloud-1 speaks version 1 of the protocol and the boss version 2: it fetches the boss's program, "
        "finishes what it executes and comes back with that program"
    ]
    assert boss.world.state.rejected == {ReportRejection.OTHER_VERSION: 1}


def test_its_orders_are_newer_than_all_that_it_got(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes what has a higher epoch and number than the last order: the epoch is that of this boss."""
    boss = Boss(monkeypatch, CLOUD)
    boss.world.turn(bundles())
    boss.gets("heartbeat")
    boss.gets("hello")
    numbers = []
    for _, payload in boss.world.other_versions:
        message = msgspec.json.decode(payload, type=WorkerOrders)
        numbers.append((message.epoch, message.number))
    assert numbers == sorted(set(numbers)) and {epoch for epoch, _ in numbers} == {boss.world.store.epoch}


def test_one_that_has_not_said_hello_to_this_boss_is_asked_to_once(monkeypatch: pytest.MonkeyPatch) -> None:
    boss = Boss(monkeypatch, CLOUD)
    boss.world.turn(bundles())
    boss.gets("heartbeat")
    boss.gets("heartbeat")
    assert boss.sent() == [SayHello()]
    boss.gets("hello")
    boss.gets("heartbeat")
    assert boss.sent() == [REPLACE]


def test_bundles_that_are_made_after_its_hello_are_ordered_at_its_next_report(monkeypatch: pytest.MonkeyPatch) -> None:
    boss = Boss(monkeypatch, CLOUD)
    boss.gets("hello")
    assert boss.sent() == []
    boss.world.turn(bundles())
    boss.gets("heartbeat")
    assert boss.sent() == [REPLACE]


def test_an_order_that_is_lost_is_sent_again_after_a_hello(monkeypatch: pytest.MonkeyPatch) -> None:
    boss = Boss(monkeypatch, CLOUD)
    boss.world.turn(bundles())
    boss.gets("hello")
    boss.sent()
    boss.world.now += boss.world.policy.ask_again
    boss.gets("heartbeat")
    assert boss.sent() == [SayHello()]
    boss.gets("hello")
    assert boss.sent() == [REPLACE]


def test_its_lease_holds_while_it_executes_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    boss = Boss(monkeypatch, CLOUD, executing=True)
    boss.world.turn(bundles())
    boss.gets("hello_executing")
    for _ in range(4):
        boss.world.wait(boss.world.policy.lease / 2)
        boss.gets("heartbeat")
    worker = boss.world.state.workers["cloud-1"]
    assert worker.state is WorkerState.ONLINE and not worker.connected
    assert boss.world.states("a") == "running"
    boss.gets("hello")
    boss.world.wait(boss.world.policy.lease + 1)
    assert worker.state is WorkerState.LOST


def test_what_comes_back_in_its_place_has_what_it_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    boss = Boss(monkeypatch, CLOUD, executing=True)
    boss.world.turn(bundles())
    boss.gets("hello_executing")
    worker = boss.world.workers["cloud-1"]
    worker.about["bundle"] = f"{KIND}={DIGEST}"
    worker.restarted(HeldAttempt(task=1, attempt=1, phase="ended"))
    worker.ended(1)
    assert boss.world.states("a") == "succeeded"
    assert boss.status() == []
    before = dict(boss.world.state.rejected)
    boss.sent()
    boss.gets("heartbeat")  # late, of the one that was replaced
    assert boss.sent() == [] and boss.status() == []
    assert boss.world.state.rejected[ReportRejection.FORMER_INCARNATION] == before.get("former_incarnation", 0) + 1


# --- others ----------------------------------------------------------------------------------------


def test_a_process_beside_the_boss_is_ordered_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    boss = Boss(monkeypatch, LOCAL)
    boss.gets("heartbeat")
    boss.gets("heartbeat")
    assert boss.sent() == [Stop()]
    assert boss.status() == [
        "worker cloud-1 speaks version 1 of the protocol and the boss version 2: it finishes what it executes and "
        "stops; the boss starts another one in its place"
    ]


@pytest.mark.parametrize("name", ["hello", "heartbeat"])
def test_any_other_worker_is_refused_and_sent_nothing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    boss = Boss(monkeypatch, NONE)
    boss.world.turn(bundles())
    boss.gets(name)
    assert boss.sent() == []
    assert boss.status() == [
        "worker cloud-1 speaks version 1 of the protocol and the boss version 2: it is refused and gets no tasks; "
        "update ecloud where it runs and start it again"
    ]
    journal = [move.cause for move in boss.world.state.story if move.key == "cloud-1"]
    assert journal[-1] == "it uses version 1 of the protocol: refused"


def test_one_that_was_started_manually_and_never_met_its_boss_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    boss = Boss(monkeypatch, NONE)
    boss.gets("hello", **{'"deployment":"d"': '"deployment":""'})
    assert len(boss.status()) == 1


def test_a_newer_version_is_refused_whoever_made_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    boss = Boss(monkeypatch, CLOUD)
    boss.world.turn(bundles())
    boss.gets("hello", **{'"version":1': f'"version":{VERSION + 1}'})
    assert boss.sent() == []
    assert boss.status()[0].endswith("it is refused and gets no tasks; update ecloud where the boss runs")


def test_no_bundle_of_its_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    boss = Boss(monkeypatch, CLOUD)
    boss.world.turn(BundlesKnown(bundles={"3.12-aarch64": DIGEST}))
    boss.gets("hello")
    assert boss.sent() == []
    assert "it is refused" in boss.status()[0]


@pytest.mark.parametrize("name", ["datastore_hello", "datastore_heartbeat"])
def test_the_datastore_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    boss = Boss(monkeypatch, NONE)
    boss.gets(name, TOPICS.datastore_reports)
    assert boss.status() == [
        "the datastore speaks version 1 of the protocol and the boss version 2: it is refused, and tasks with files "
        "wait; update ecloud where it runs and start it again"
    ]
    assert boss.world.datastore.orders() == []
    boss.world.datastore.hello()
    assert boss.status() == []


def test_another_deployment_another_name_and_what_is_no_report_are_none_of_ours(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    boss = Boss(monkeypatch, CLOUD)
    boss.gets("hello", **{'"deployment":"d"': '"deployment":"e"'})
    boss.gets("hello", TOPICS.reports("cloud-2"))
    assert boss.gets("presence", TOPICS.presence("cloud-1")) == []
    assert not caplog.records
    assert boss.gets("hello", **{'"incarnation":"cloud-1.1"': '"incarnation":7'}) == []
    assert "no reports of protocol version" in caplog.text
    assert boss.sent() == [] and boss.status() == []
    assert boss.world.state.rejected == {ReportRejection.OTHER_DEPLOYMENT: 1, ReportRejection.OTHER_WORKER: 1}


def test_it_is_not_in_status_any_more_when_it_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    boss = Boss(monkeypatch, NONE)
    boss.gets("hello")
    boss.world.now += boss.world.policy.lease
    assert boss.status() == []


# --- the log ---------------------------------------------------------------------------------------


def test_the_log_names_each_once_and_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    boss = Boss(monkeypatch, NONE)
    log = OtherVersionLog()
    caplog.set_level(logging.WARNING, "boss.status")
    for number in range(LINES + 10):
        name = f"lab-{number}"
        boss.gets("hello", TOPICS.reports(name), **{'"worker":"cloud-1"': f'"worker":"{name}"'})
        log.observe(boss.world.state, 0.0)
    assert len(caplog.messages) == LINES
    assert caplog.messages[0].startswith("worker lab-0 speaks version 1 of the protocol and the boss version 2: ")
    log.observe(boss.world.state, 70.0)
    assert len(caplog.messages) == len(set(caplog.messages)) == LINES + 10
