"""`python -m datastore` as a process, on a real Mosquitto, with a scripted boss: orders, crashes, its end."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.embedded.broker import EmbeddedBroker
from tests.worlds import brokers
from tests.worlds.brokers import TOPICS, Links
from tests.worlds.datastore_program import ROOT, World
from tests.worlds.digests import digest
from tests.worlds.waiting import scaled, wait_for
from wire.codec import decode, encode
from wire.messages import (
    VERSION,
    Abandon,
    Abandoned,
    DatastoreHeartbeat,
    DatastoreHello,
    Forget,
    Found,
    Input,
    LookUp,
    Presence,
    Published,
    Stage,
    StageDone,
    Store,
    Stored,
)

mosquitto, links = brokers.mosquitto, brokers.links
pytestmark = pytest.mark.needs("mosquitto")


@pytest.fixture
def world(mosquitto: EmbeddedBroker, links: Links, tmp_path: Path) -> Iterator[World]:
    topics = (TOPICS.datastore_reports, TOPICS.datastore_presence)
    link, listener = links.make(mosquitto, topics=topics)
    world = World(mosquitto, link, listener, tmp_path)
    yield world
    for program in world.programs:
        if program.poll() is None:
            program.kill()
        program.wait(scaled(10))


def test_sent_files_are_stored_staged_and_results_collected_and_found(world: World) -> None:
    program = world.start()
    hello = world.hello()
    assert hello.pid == program.pid and hello.disk_free > 0
    (world.directory / "net.inp").write_bytes(b"[TITLE]")
    name = "my net.inp"
    world.order(Store(name=name, digest=digest(b"[TITLE]"), size=7, source=str(world.directory / "net.inp")))
    inputs = [Input(name=name, path="net.inp", digest=digest(b"[TITLE]"), size=7)]
    world.order(Stage(task=1, attempt=1, worker="w", place=world.place, inputs=inputs))
    assert world.wait(Stored).name == name
    assert world.wait(StageDone).bytes_moved == 7
    assert (world.home / "cache" / digest(b"[TITLE]")[3:]).read_bytes() == b"[TITLE]"
    world.order(world.collect(1, {"a b.csv": b"1,2", "empty": b""}))
    published = world.wait(Published)
    assert [(file.name, file.size) for file in published.files] == [("out/a b.csv", 3), ("out/empty", 0)]
    assert (world.tree / "out" / "a b.csv").read_bytes() == b"1,2"
    world.order(Forget(attempts=[(1, 1)]), Abandon(task=2, attempt=1), LookUp(task=3, names=["out/empty", "x"]))
    assert world.wait(Abandoned).fault == "asked"
    found = world.wait(Found)
    assert [file.name for file in found.files] == ["out/empty"] and not found.complete
    world.wait(DatastoreHeartbeat)


def test_orders_that_it_does_not_act_upon_are_logged_by_reason(world: World) -> None:
    world.start()
    world.hello()
    world.order(LookUp(task=1, names=["a"]))
    world.number -= 1
    world.order(LookUp(task=2, names=["b"]))
    world.order(LookUp(task=3, names=["c"]))
    assert [world.wait(Found).task for _ in range(2)] == [1, 3]
    wait_for(lambda: "orders and events not acted upon: 1 not_newer" in world.log(), "the line in its log")


def test_term_ends_it_cleanly_and_its_presence_says_so(world: World) -> None:
    program = world.start()
    world.hello()
    assert decode(world.listener.message(TOPICS.datastore_presence).payload, Presence).online
    program.terminate()
    assert program.wait(scaled(20)) == 0
    assert not decode(world.listener.message(TOPICS.datastore_presence).payload, Presence).online
    assert "Traceback" not in world.log()


def test_killed_in_the_middle_it_completes_or_abandons_at_the_next_start_and_answers_again(world: World) -> None:
    first = world.start()
    world.hello()
    files = {f"f{number}": b"%d" % number * 1000 for number in range(200)}
    orders = [world.collect(task, {f"{task}-{name}": data for name, data in files.items()}) for task in range(1, 11)]
    world.order(*orders)
    wait_for((world.tree / "out").exists, "it has begun to publish", every=0.002)
    first.kill()
    first.wait(scaled(10))
    world.waiting.clear()
    world.start()
    world.hello()
    for order in orders:
        world.order(order)
    answered: set[int] = set()
    while len(answered) < len(orders):  # what the first one recorded is reported unasked as well
        answered.add(world.wait(Published).task)
    assert answered == set(range(1, 11))
    assert len(list((world.tree / "out").iterdir())) == 2000
    assert [path for path in (world.tree / ".ecloud" / "incoming").rglob("*") if path.is_file()] == []


def test_garbage_future_versions_and_orders_of_a_superseded_boss_do_nothing_and_end_nothing(world: World) -> None:
    world.start()
    world.hello()
    for payload in (
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"version": 99}',
        b'{"type": "datastore_orders"}',
    ):
        world.link.publish(TOPICS.datastore_orders, payload)
    world.epoch = 5
    world.order(LookUp(task=1, names=[]))
    assert world.wait(Found).task == 1
    world.epoch = 4
    world.order(LookUp(task=2, names=[]))
    world.epoch = 5
    world.order(LookUp(task=3, names=[]))
    assert world.wait(Found).task == 3
    assert "Traceback" not in world.log() and "version 99" in world.log()


def test_a_superseded_boss_is_refused_by_the_next_start_too(world: World) -> None:
    first = world.start()
    world.hello()
    world.epoch = 5
    world.order(LookUp(task=1, names=[]))
    world.wait(Found)
    first.kill()
    first.wait(scaled(10))
    world.start()
    world.hello()
    world.epoch = 4
    world.order(LookUp(task=2, names=[]))
    world.epoch = 5
    world.order(LookUp(task=3, names=[]))
    assert world.wait(Found).task == 3


def test_a_hello_follows_when_the_broker_comes_back_and_when_a_new_boss_appears(world: World) -> None:
    world.start()
    world.hello()
    presence = Presence(version=VERSION, deployment="d", name="boss", incarnation="b2", online=True, epoch=2)
    world.link.publish(TOPICS.boss_presence, encode(presence))
    world.waiting.clear()
    assert isinstance(world.wait(DatastoreHello), DatastoreHello)


def test_a_second_datastore_on_the_tree_is_refused_with_a_sentence_and_no_traceback(world: World) -> None:
    first = world.start()
    world.hello()
    assert world.start().wait(scaled(20)) == 1
    assert f"in use by the datastore with process id {first.pid}" in world.log()
    assert "Traceback" not in world.log()


def test_it_ends_with_the_process_that_it_was_configured_to_end_with(world: World) -> None:
    other = subprocess.Popen(["sleep", "1000"])
    program = world.start("--die-with", str(other.pid))
    world.hello()
    other.send_signal(signal.SIGKILL)
    other.wait(scaled(10))
    assert program.wait(scaled(20)) == 0


@pytest.mark.parametrize(
    ("environment", "why"),
    [({"ECLOUD_MQTT_PREFIX": "a/#"}, "mqtt_prefix"), ({"ECLOUD_DATASTORE_PASSWORD_FILE": "/no/such"}, "/no/such"),
     ({"ECLOUD_DATASTORE_TREE": "/dev/null/x"}, "/dev/null/x"), ({"ECLOUD_BROKER_PORT": "99999"}, "99999")],
)  # fmt: skip
def test_what_cannot_be_used_is_reported_in_one_line(world: World, environment: dict[str, str], why: str) -> None:
    assert world.start(**environment).wait(scaled(20)) == 1
    assert why in world.log() and "Traceback" not in world.log()


def test_help_names_every_option_with_its_variable() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "datastore", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=scaled(30),
    ).stdout
    for variable in (
        "ECLOUD_DATASTORE_TREE",
        "ECLOUD_DEPLOYMENT",
        "ECLOUD_BROKER_PORT",
        "ECLOUD_DATASTORE_PASSWORD_FILE",
    ):
        assert variable in said
