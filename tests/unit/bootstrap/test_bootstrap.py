"""What machines of workers are given: variables and script, the bundle by token, the login once; and its end."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from boss.api import guard
from boss.api.handlers import logins as bootstrap_routes
from boss.bootstrap.addresses import Addresses
from boss.bootstrap.bootstrap import InstanceBootstrap
from boss.bootstrap.bundle import own_machine, own_python
from boss.bootstrap.bundle.contents import PYTHONS
from boss.bootstrap.login_files import LoginFiles
from boss.core.events import BundlesKnown, InstanceEnded, InstanceStarted, InstanceStartFailed, StartTokenRefused
from boss.embedded.broker_logins import BrokerLogins
from boss.embedded.logins import MqttLogin
from boss.setup import PoolSetup
from boss.state_directory.tokens import DATASTORE_TOKEN_FILE, ensure_token
from tests.worlds.api import TOKEN, FakeBackend, inside
from tests.worlds.bundles import FakeBundles
from tests.worlds.waiting import scaled
from wire.messages import VERSION, Drain, Replace, WorkerOrders

PYTHON = own_python() if own_python() in PYTHONS else PYTHONS[0]
KIND = f"{PYTHON}-{own_machine()}"
OTHER = f"{next(python for python in PYTHONS if python != PYTHON)}-{own_machine()}"
SECRET = "the-password"
CLOUD = PoolSetup(
    name="cloud",
    provider="opennebula",
    max=3,
    options={
        "boot_timeout_seconds": 900.0, "orphan_after_seconds": 7200.0, "halt_when_orphaned": True, "slots": 4,
        "labels": {"engine": "2.3"}, "placement": "link",
    },
)  # fmt: skip
FIXED = PoolSetup(name="lab-hosts", provider="static", max=1, options={"halt_when_orphaned": True})
STORE = PoolSetup(name="store", provider="opennebula", role="datastore", max=1, options={"halt_when_orphaned": True})


@dataclass
class FakeLogins:
    """The logins at the broker; what is asked of them is recorded."""

    done: list[str] = field(default_factory=list)
    is_own_broker: bool = True

    def login(self, name: str, role: str) -> MqttLogin:
        return MqttLogin(name, SECRET, role)  # type: ignore[arg-type]

    def renew(self, name: str, role: str) -> None:
        self.done.append(f"make {name}")

    def remove(self, name: str) -> bool:
        self.done.append(f"end {name}")
        return True


class World:
    """A boss's bootstrap of instances, with a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logins = FakeLogins()
        self.addresses = Addresses("d1", "ecloud", "boss.example", 1883, "http://boss.example:8000")
        self.notified: list[BundlesKnown | StartTokenRefused] = []
        self.now = 1e9
        ensure_token(folder, DATASTORE_TOKEN_FILE)
        (folder / "keys").mkdir()
        (folder / "keys" / "datastore").write_text("the datastore's key")
        self.bootstrap = self.new()

    def new(self) -> InstanceBootstrap:
        """As the next boss makes it."""
        logins = cast(BrokerLogins, self.logins)
        self.bootstrap = InstanceBootstrap(
            self.folder, [CLOUD, FIXED, STORE], self.addresses, logins,
            LoginFiles(self.folder, self.addresses, logins),
            authorized_keys=["restrict ssh-ed25519 AAAA boss"],
            settings={"ECLOUD_OUTPUT_LIMIT_BYTES": "7", "ECLOUD_TRANSFERS_AT_ONCE": "16"},
            notify=self.notified.append,
            clear_presence=lambda worker: self.logins.done.append(f"clear {worker}"),
            wall=lambda: self.now,
        )  # fmt: skip
        self.bootstrap.prepare()
        return self.bootstrap

    def token(self, instance: int = 1, worker: str = "cloud-1") -> str:
        return self.bootstrap.data(instance, worker).variables["ECLOUD_START_TOKEN"]

    def settle(self) -> None:
        """All that was to end has ended."""
        self.bootstrap.close()

    def client(self, token: str = "") -> httpx.Client:
        client = inside(FakeBackend(self.folder), bootstrap=self.bootstrap)
        if token:
            client.headers["authorization"] = f"Bearer {token}"
        return client


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("boss.bootstrap.bootstrap.Bundles", FakeBundles)
    monkeypatch.setattr(guard, "_WRONG_DELAY_SECONDS", 0.0)
    made = World(tmp_path)
    yield made
    made.bootstrap.close()


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def said(**faults: str) -> None:
        monkeypatch.setattr(FakeBundles, "faults", {name.replace("_", "."): text for name, text in faults.items()})

    return said


def login(client: httpx.Client, worker: str = "cloud-1", **body: object) -> httpx.Response:
    return client.post(f"/guests/{worker}/login", json=body)


# --- what it is given -----------------------------------------------------------------------------------


def test_a_machine_gets_all_that_it_needs_and_no_password(world: World) -> None:
    data = world.bootstrap.data(7, "cloud-1")
    variables = dict(data.variables)
    token = variables.pop("ECLOUD_START_TOKEN")
    assert variables == {
        "ECLOUD_BOSS_URL": "http://boss.example:8000",
        "ECLOUD_DEPLOYMENT": "d1",
        "ECLOUD_WORKER_ID": "cloud-1",
        "ECLOUD_POOL": "cloud",
        "ECLOUD_INSTANCE": "7",
        "ECLOUD_BUNDLES": f"3.11-{own_machine()}=b2:a{'0' * 63} 3.12-{own_machine()}=b2:c{'0' * 63}",
        "ECLOUD_AUTHORIZED_KEYS": base64.b64encode(b"restrict ssh-ed25519 AAAA boss\n").decode(),
        "ECLOUD_ROLE": "worker",
        "ECLOUD_HALT_WHEN_ORPHANED": "1",
        "ECLOUD_LABELS": '{"engine": "2.3"}',
        "ECLOUD_SLOTS": "4",
        "ECLOUD_ORPHAN_AFTER": "7200",
    }
    assert token not in data.script and data.script.startswith("#!/bin/sh\n")
    assert SECRET not in json.dumps([variables, data.script])


def test_only_machines_that_the_boss_started_may_be_halted(world: World) -> None:
    assert world.bootstrap.data(1, "lab-hosts-1").variables["ECLOUD_HALT_WHEN_ORPHANED"] == "0"
    assert world.bootstrap.data(2, "datastore").variables["ECLOUD_HALT_WHEN_ORPHANED"] == "0"


def test_the_login_is_made_when_the_instance_is_and_again_for_the_next_one(world: World) -> None:
    world.token(1)
    world.token(1)  # asked again for the same instance
    assert world.logins.done == ["make cloud-1"]
    world.token(2)
    assert world.logins.done == ["make cloud-1", "make cloud-1"]


def test_a_login_is_on_record_before_it_is_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A boss that is killed meanwhile leaves none that would never be ended."""
    seen = []
    path = world.folder / "guests" / "cloud-1.json"
    monkeypatch.setattr(world.logins, "renew", lambda *about: seen.append(path.exists()))
    world.token()
    assert seen == [True]


def test_a_boss_that_no_machine_reaches_says_so_instead_of_starting_one(world: World) -> None:
    world.addresses = replace(world.addresses, unreachable="the broker listens on this machine only")
    world.new()
    with pytest.raises(OSError, match="listens on this machine only"):
        world.bootstrap.data(1, "cloud-1")
    world.bootstrap.data(1, "lab-hosts-1")  # perhaps by a tunnel


def test_a_worker_of_no_pool_is_refused(world: World) -> None:
    for worker in ("local-1", "other-1", "cloud"):
        with pytest.raises(OSError, match=f"no pool of the settings has a worker '{worker}'"):
            world.bootstrap.data(1, worker)


def test_a_bundle_that_cannot_be_made_is_not_offered_and_reported_when_it_is_asked_for(
    world: World, without: Callable[..., None]
) -> None:
    without(**{OTHER.partition("-")[0].replace(".", "_"): "no index is reached"})
    world.new()
    data = world.bootstrap.data(1, "cloud-1")
    assert [item.partition("=")[0] for item in data.variables["ECLOUD_BUNDLES"].split()] == [KIND]
    assert world.bootstrap.warnings() == []
    answer = world.client(data.variables["ECLOUD_START_TOKEN"]).get(f"/guests/cloud-1/bundle/{OTHER}")
    assert answer.status_code == 404
    assert answer.json()["error"] == f"there is no bundle for {OTHER!r}: no index is reached; there are: {KIND}"
    (warning,) = world.bootstrap.warnings()
    assert warning.text.startswith("the machine of worker cloud-1 was refused its program: there is no bundle for")


def test_without_any_bundle_no_machine_is_started(world: World, without: Callable[..., None]) -> None:
    without(**{"3_11": "the disk is full", "3_12": "the disk is full"})
    world.new()
    with pytest.raises(OSError, match="there is no bundle for a machine of the worker: the disk is full"):
        world.bootstrap.data(1, "cloud-1")


def test_which_bundles_workers_are_to_run_from_is_reported(world: World) -> None:
    world.token()
    known = [event for event in world.notified if isinstance(event, BundlesKnown)]
    assert known[-1].bundles == {f"3.11-{own_machine()}": "b2:a" + "0" * 63, f"3.12-{own_machine()}": "b2:c" + "0" * 63}


# --- the two routes ------------------------------------------------------------------------------------


def test_the_token_fetches_the_bundle_with_its_digest(world: World) -> None:
    client = world.client(world.token())
    answer = client.get(f"/guests/cloud-1/bundle/{KIND}")
    assert answer.status_code == 200 and answer.headers["etag"].startswith('"b2:')
    assert gzip.decompress(answer.content) == f"worker {PYTHON}".encode()
    digest = answer.headers["etag"].strip('"')
    assert client.get(f"/guests/cloud-1/bundle/{KIND}", params={"digest": digest}).content == answer.content
    gone = client.get(f"/guests/cloud-1/bundle/{KIND}", params={"digest": "b2:" + "9" * 64})
    assert gone.status_code == 404 and "is not kept any more" in gone.json()["error"]


def test_no_more_than_a_few_machines_fetch_at_once_and_the_others_are_to_ask_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = world.client(world.token())
    monkeypatch.setattr(bootstrap_routes, "AT_ONCE", 1)
    for _ in range(3):
        assert client.get(f"/guests/cloud-1/bundle/{KIND}").status_code == 200, (
            "the one before is not under way any more"
        )
    monkeypatch.setattr(bootstrap_routes, "AT_ONCE", 0)
    answer = client.get(f"/guests/cloud-1/bundle/{KIND}")
    assert answer.status_code == 503 and "ask again" in answer.json()["error"]


def test_the_datastores_machine_gets_the_datastores_program_and_login(world: World) -> None:
    client = world.client(world.token(3, "datastore"))
    content = gzip.decompress(client.get(f"/guests/datastore/bundle/{KIND}").content)
    assert content == f"datastore {PYTHON}".encode()
    given = login(client, "datastore").json()
    assert set(given["files"]) == {"datastore.env", "datastore.key", "datastore.password", "datastore.token"}
    assert given["variables"] == {"ECLOUD_TRANSFERS_AT_ONCE": "16"}
    assert world.logins.done == []  # its login is there as long as the boss


def test_the_token_is_exchanged_once_and_a_second_time_is_refused_and_reported(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client = world.client(world.token())
    first = login(client, folder="/somewhere")
    assert first.status_code == 200
    assert first.json()["variables"] == {"ECLOUD_OUTPUT_LIMIT_BYTES": "7", "ECLOUD_PLACEMENT": "link"}
    files = first.json()["files"]
    assert files.keys() == {"worker.env", "worker.password"} and files["worker.password"] == f"{SECRET}\n"
    assert "ECLOUD_WORKER_ID=cloud-1\n" in files["worker.env"]
    assert "ECLOUD_WORKER_PASSWORD_FILE=/somewhere/worker.password\n" in files["worker.env"]
    with caplog.at_level(logging.WARNING):
        second = login(client)
    assert second.status_code == 409 and SECRET not in second.text
    assert second.json()["error"] == "the login of worker cloud-1 was given out already; it is given once"
    assert "its start token was used again" in caplog.text
    (warning,) = world.bootstrap.warnings()
    assert warning.about == "worker cloud-1"
    assert warning.text.startswith("worker cloud-1: its start token was used again at ")
    refused = [event for event in world.notified if isinstance(event, StartTokenRefused)]
    assert [event.worker for event in refused] == ["cloud-1"]


def test_the_next_boss_knows_tokens_and_exchanges(world: World) -> None:
    token, other = world.token(), world.token(2, "cloud-2")
    assert login(world.client(token)).status_code == 200
    world.new()
    assert login(world.client(token)).status_code == 409
    assert login(world.client(other), "cloud-2").status_code == 200
    world.new()
    assert len(world.bootstrap.warnings()) == 1


def test_a_token_has_its_time(world: World) -> None:
    client = world.client(world.token())
    world.now += 901.0
    for answer in (client.get(f"/guests/cloud-1/bundle/{KIND}"), login(client)):
        assert answer.status_code == 403
        assert answer.json()["error"] == "the time of this start token of worker cloud-1 is over"
    assert login(world.client(world.token())).status_code == 200


def test_no_token_is_on_disk_and_what_is_there_is_for_its_owner_only(world: World) -> None:
    token = world.token()
    login(world.client(token))
    files = [path for path in world.folder.rglob("*") if path.is_file() and "guests" in path.parts]
    assert [path.name for path in files] == ["cloud-1.json"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    assert all(token not in path.read_text() and SECRET not in path.read_text() for path in files)
    assert (world.folder / "guests").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("path", ["/status", "/files/b2:" + "0" * 64, "/logins/cloud-1", "/blobs/b2:" + "0" * 64])
def test_a_start_token_opens_nothing_else(world: World, path: str) -> None:
    client = world.client(world.token())
    assert client.get(path).status_code == 401
    assert client.post(path, json={}).status_code == 401


def test_the_users_token_opens_neither_of_the_two_routes(world: World) -> None:
    world.token()
    client = world.client(TOKEN)
    assert client.get("/status").status_code == 200
    assert client.get(f"/guests/cloud-1/bundle/{KIND}").status_code == 401
    assert login(client).status_code == 401


def test_a_token_of_one_worker_opens_nothing_of_another(world: World) -> None:
    client = world.client(world.token())
    world.token(2, "cloud-2")
    for worker in ("cloud-2", "cloud-3", "datastore", "..%2Fcloud-1", "cloud-1%2Fx"):
        assert client.get(f"/guests/{worker}/bundle/{KIND}").status_code in (401, 404)
        assert login(client, worker).status_code in (401, 404)


def test_without_a_boss_the_routes_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_WRONG_DELAY_SECONDS", 0.0)
    client = inside(FakeBackend(tmp_path))
    assert client.get(f"/guests/cloud-1/bundle/{KIND}").status_code == 401


def test_openapi_says_which_token_opens_them(world: World) -> None:
    document: dict[str, Any] = world.client().get("http://localhost/openapi.json").json()
    paths = document["paths"]
    assert paths["/api/v1/guests/{worker}/login"]["post"]["security"] == [{"start_token": []}]
    assert paths["/api/v1/guests/{worker}/bundle/{kind}"]["get"]["security"] == [{"start_token": []}]
    assert set(document["components"]["securitySchemes"]) == {"token", "start_token"}


# --- the end ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event", [InstanceEnded(instance=1, reason="gone"), InstanceStartFailed(instance=1, reason="no room")]
)
def test_when_the_instance_is_gone_its_login_ends_and_then_its_presence_is_cleared(
    world: World, event: InstanceEnded | InstanceStartFailed
) -> None:
    client = world.client(world.token())
    world.bootstrap.on_event(InstanceStarted(instance=1, reference="x"))
    world.bootstrap.on_event(event)
    world.settle()
    assert world.logins.done == ["make cloud-1", "end cloud-1", "clear cloud-1"]
    assert login(client).status_code == 401
    assert not (world.folder / "guests" / "cloud-1.json").exists()


def test_the_end_of_an_instance_does_not_take_the_login_of_its_successor(world: World) -> None:
    world.token(1)
    token = world.token(2)
    world.bootstrap.on_event(InstanceEnded(instance=1, reason="gone at last"))
    world.bootstrap.on_event(InstanceEnded(instance=7, reason="a process ended"))  # processes keep theirs
    world.settle()
    assert "end cloud-1" not in world.logins.done
    assert login(world.client(token)).status_code == 200


def test_the_next_boss_ends_the_logins_of_instances_that_are_on_record_no_more(world: World) -> None:
    for number in (1, 2, 3):
        world.token(number, f"cloud-{number}")
    world.new()
    world.logins.done.clear()
    world.bootstrap.adopt([(1, "cloud-1"), (9, "cloud-2")])
    world.settle()
    assert sorted(world.logins.done) == ["clear cloud-2", "clear cloud-3", "end cloud-2", "end cloud-3"]


# --- replacing ---------------------------------------------------------------------------------------------


def orders(*content: Any) -> WorkerOrders:
    return WorkerOrders(version=VERSION, deployment="d1", receiver="i", epoch=1, number=1, orders=list(content))


def test_an_order_to_replace_is_sent_with_a_token_that_is_good_for_the_bundle_only(world: World) -> None:
    login(world.client(world.token()))
    world.now += 1e6
    digest = dict(item.split("=") for item in world.bootstrap.data(1, "cloud-1").variables["ECLOUD_BUNDLES"].split())[
        KIND
    ]
    message = world.bootstrap.fill("cloud-1", orders(Drain(), Replace(kind=KIND, digest=digest)))
    drain, replace = message.orders
    assert isinstance(drain, Drain) and isinstance(replace, Replace)
    path = f"/api/v1/guests/cloud-1/bundle/{KIND}?digest={digest}"
    assert replace.url == f"http://boss.example:8000{path}"
    client = world.client(replace.token)
    assert client.get(f"http://localhost{path}").status_code == 200
    assert login(client).json()["error"] == "this token is good for the bundle only"
    assert world.bootstrap.warnings() == []


def test_an_order_to_replace_is_filled_in_while_a_machine_is_being_started(world: World) -> None:
    """The loop sends it: it waits for no broker and no disk."""
    world.token()
    with world.bootstrap._lock:
        filled: list[WorkerOrders] = []
        sender = threading.Thread(
            target=lambda: filled.append(world.bootstrap.fill("cloud-1", orders(Replace(kind=KIND, digest="b2:x"))))
        )
        sender.start()
        sender.join(scaled(10))
    assert filled


def test_whoever_has_no_machine_of_ours_is_sent_no_such_order_and_others_go_through_as_they_are(world: World) -> None:
    plain = orders(Drain())
    assert world.bootstrap.fill("cloud-1", plain) is plain
    assert world.bootstrap.fill("w1", orders(Replace(kind=KIND, digest="b2:x"), Drain())).orders == [Drain()]


def test_half_a_file_of_a_token_opens_nothing(world: World) -> None:
    token = world.token()
    path = world.folder / "guests" / "cloud-1.json"
    path.write_text(path.read_text()[:20])
    world.new()
    assert login(world.client(token)).status_code == 401
    assert not os.path.exists(path)
