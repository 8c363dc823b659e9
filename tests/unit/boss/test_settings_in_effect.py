"""Every setting does something: a value other than the default changes what the part that it is for does.

Each row names a setting, another value, and an effect: a function of the settings that drives the part in question and
answers what it did. A setting without a row fails, and so does a row whose effect is the same as with the default.
That the program uses each value of `Setup` is the matter of tests/integration/test_setup_in_use.py.
"""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

import admin
import datastore.__main__
import settings
from boss.__main__ import _log, _setup
from boss.bootstrap import bootstrap
from boss.bootstrap.addresses import Addresses
from boss.configuration.pools import POOL_SETTINGS, TABLES
from boss.database.upkeep import Upkeep
from boss.deploy import deploying, templates
from boss.deploy.record import DeployRecord
from boss.providers.opennebula.make import make_client, options_of
from boss.providers.provider import ProviderError
from boss.providers.registry import find
from boss.providers.static.hosts import place_of, read_hosts
from boss.setup import PoolSetup, Setup
from settings import SETTINGS, Settings
from tests.worlds.api import FakeBackend, inside
from tests.worlds.course import history
from worker.options import WorkerOptions, read_options

Effect = Callable[["Here"], object]

CLOUD = {
    "opennebula_endpoint": "http://cloud:2633/RPC2",
    "opennebula_user": "alice",
    "opennebula_password": "secret",
    "opennebula_template": "worker",
    "opennebula_image": "debian-12",
}
CERTIFICATE = {"broker_tls_cert": "/cert.pem", "broker_tls_key": "/key.pem"}
FINGERPRINT = "SHA256:" + "A" * 43


@dataclass
class Here:
    """Where an effect is looked for: the settings that hold, and a directory for what is made."""

    values: Settings
    folder: Path
    patch: pytest.MonkeyPatch

    def setup(self) -> Setup:
        return _setup(self.folder, self.values, while_followed=False)

    def pool(self) -> PoolSetup:
        return self.setup().pools[-1]


@dataclass
class Row:
    """`beside`: what else must be set for it to matter."""

    value: object
    effect: Effect
    beside: Mapping[str, object] = field(default_factory=dict)


# --- effects -----------------------------------------------------------------------------------------


def to_program(name: str) -> Effect:
    """What the program is made with."""
    return lambda here: getattr(here.setup(), name)


def scheduler(here: Here) -> object:
    return history(here.setup().policy)


def worker(name: str) -> Effect:
    """An option of the workers that the boss starts beside itself."""

    def effect(here: Here) -> object:
        given = {**here.setup().child_environment, "ECLOUD_WORKER_ID": "local-1"}
        options: WorkerOptions = read_options([], given)
        return getattr(options, name)

    return effect


def of_datastore(here: Here) -> Namespace:
    """The options of the datastore that the boss starts beside itself."""
    for name, value in here.setup().child_environment.items():
        here.patch.setenv(name, value)
    return datastore.__main__._parser().parse_args(["--deployment", "d"])


def transfers(here: Here) -> object:
    return of_datastore(here).transfers


def logs(here: Here) -> object:
    """Of the boss, of a worker, of the datastore."""
    given: list[object] = []
    here.patch.setattr(logging, "basicConfig", lambda **options: given.append(options["level"]))
    _log(here.values.log_level)
    levels = (*given, worker("log_level")(here), of_datastore(here).log_level)
    assert len(set(levels)) == 1
    return levels


def pushed(size: int) -> Effect:
    """How a push of two tasks, each of so many bytes, is answered."""

    def effect(here: Here) -> object:
        setup = here.setup()
        client = inside(
            FakeBackend(here.folder),
            submit_limit_bytes=setup.submit_limit_bytes,
            task_limit_bytes=setup.task_limit_bytes,
        )
        line = '{"id":"%s","execution":{"env":{"X":"' + "x" * size + '"}}}\n'
        content = '{"version":1}\n' + line % "a" + line % "b"
        answer = client.post("/batches", content=content, headers={"content-type": "application/x-ndjson"})
        return answer.status_code, answer.json().get("details")

    return effect


def journal(here: Here) -> object:
    pruned: list[float] = []

    def prune(before: float, turns: int) -> int:
        pruned.append(before)
        return 0

    database: Any = SimpleNamespace(keep_alive=lambda: None, prune_events=prune)
    Upkeep(database, here.setup().journal_days)(0.0, 1e9)
    return pruned


def command(here: Here) -> object:
    """Where admin.py looks for the boss, and what it says to it."""
    for setting in ("boss_url", "token"):
        here.patch.setenv(f"ECLOUD_{setting.upper()}", getattr(here.values, setting))
    here.patch.chdir(here.folder)
    here.patch.setenv("ECLOUD_HOME", str(here.folder / "absent"))
    return CliRunner().invoke(admin.app, ["status"]).output


def account(here: Here) -> object:
    client = make_client(here.pool().options, None)
    return client.endpoint, client.user, client.secret


def machines(here: Here) -> object:
    """How the last pool's machines are made."""
    return options_of(here.pool(), "d")


def template(here: Here) -> object:
    return templates.render("worker", here.values)


def deploy(here: Here) -> object:
    """What `admin.py deploy` makes first: the datastore's disk, and a machine of this template in this network."""
    made: list[object] = []

    class Made(Exception):
        pass

    def ensure(self: object, template: str, network: str, seconds: float, another: bool) -> None:
        made.append((template, network))
        raise Made

    here.patch.setattr(deploying.Maker, "ensure", ensure)
    client: Any = SimpleNamespace(images=list, make_image=made.append, accepts=lambda token: True)
    record = DeployRecord(mark="m", endpoint="", user="", http_token="", cloud_token="t", cloud_token_until=1e12)
    kept: Any = SimpleNamespace(record=record, save=lambda: None)
    with pytest.raises(Made):
        deploying.Deploy(kept, client, here.values, lambda *_: (here.folder, ""), lambda _: None).run(here.folder)
    return made


def provider(here: Here) -> object:
    return find(here.pool().provider)


def bootstrap_data(here: Here) -> object:
    """What a machine of the last pool is given at its start, and with its login."""
    bundles = SimpleNamespace(offered=lambda role: {})
    here.patch.setattr(bootstrap, "PoolBundles", lambda *_: bundles)
    logins: Any = SimpleNamespace(is_own_broker=True, renew=lambda worker, role: None)
    login_files: Any = SimpleNamespace(of=lambda name, folder: {})
    setup = here.setup()
    made = bootstrap.InstanceBootstrap(
        Path(mkdtemp(dir=here.folder)),
        setup.pools,
        Addresses("d", "ecloud", "boss", 1883, "http://boss:8080"),
        logins,
        login_files,
        authorized_keys=[],
        settings=setup.child_environment,
        notify=lambda event: None,
        clear_presence=lambda worker: None,
        wall=lambda: 1e9,
    )
    try:
        name = "datastore" if here.pool().role == "datastore" else f"{here.pool().name}-1"
        started = dict(made.data(1, name).variables)
        answer = made.exchange(name, started.pop("ECLOUD_START_TOKEN"), "/", "")
        return started, answer.variables
    finally:
        made.close()


def hosts(here: Here) -> object:
    return [place_of(host, here.pool()) for host in read_hosts(here.pool())]


# --- the table ---------------------------------------------------------------------------------------

#: A cloud with one pool, and a second one that is used after it.
POOLS = '[pools.other]\nprovider = "opennebula"\ncost = 2\nmax = 2\n[pools.p]\nprovider = "opennebula"\nmax = 3\n'
STATIC = f'[pools.p]\nprovider = "static"\nhosts = ["me@here {FINGERPRINT}"]\n'

ROWS: dict[str, Row] = {
    "database": Row("sqlite:///elsewhere.sqlite", to_program("database")),
    "datastore_tree": Row("/elsewhere", to_program("tree")),
    "datastore_host": Row("store", to_program("datastore_host")),
    "boss_address": Row("boss.lan", to_program("boss_address")),
    "http_host": Row("0.0.0.0", to_program("http_host")),
    "http_port": Row(8080, to_program("http_port")),
    "boss_url": Row("http://127.0.0.1:9", command, {"token": "t"}),
    "token": Row("t", command, {"boss_url": "http://127.0.0.1:9"}),
    "broker_host": Row("broker", to_program("broker_host")),
    "broker_port": Row(1884, to_program("broker_port")),
    "broker_listen": Row("0.0.0.0", to_program("broker_listen")),
    "broker_username": Row("chief", to_program("broker_username")),
    "broker_password": Row("secret", to_program("broker_password")),
    "broker_tls_ca": Row("/ca.pem", to_program("broker_tls")),
    "broker_tls_cert": Row("/other.pem", to_program("broker_tls"), CERTIFICATE),
    "broker_tls_key": Row("/other.pem", to_program("broker_tls"), CERTIFICATE),
    "embedded_broker": Row("amqtt", to_program("embedded_broker")),
    "mqtt_prefix": Row("water", to_program("mqtt_prefix")),
    "local_workers": Row(2, scheduler),
    "slots": Row(3, to_program("slots")),
    "heartbeat_seconds": Row(2.0, scheduler),
    "lease_seconds": Row(60.0, scheduler),
    "orphan_after_seconds": Row(300.0, scheduler),
    "prefetch_seconds": Row(0.0, scheduler),
    "prefetch_max": Row(4, scheduler),
    **{name: Row(f"{value}2", account, CLOUD) for name, value in list(CLOUD.items())[:3]},
    "opennebula_template": Row("other", machines, CLOUD),
    "opennebula_network": Row("lan", machines, CLOUD),
    "opennebula_boss_template": Row("large", deploy, CLOUD),
    "opennebula_datastore_template": Row("disk", machines, {**CLOUD, "pools": '[pools.p]\nrole = "datastore"\n'}),
    "opennebula_datastore_disk": Row("other", deploy, CLOUD),
    "opennebula_datastore_disk_bytes": Row(10**9, deploy, CLOUD),
    "opennebula_image": Row("debian-13", template, CLOUD),
    "opennebula_cpus": Row(4, template, CLOUD),
    "opennebula_memory_bytes": Row(10**9, template, CLOUD),
    "opennebula_mark": Row("m", machines, CLOUD),
    "max_workers": Row(1, scheduler, CLOUD),
    "retries": Row(2, scheduler),
    "retry_delay_seconds": Row(20.0, scheduler, {"retries": 2}),
    "retry_delay_max_seconds": Row(1.0, scheduler, {"retries": 5}),
    "output_limit_bytes": Row(4096, worker("output_limit")),
    "attempt_disk_bytes": Row(123_456, worker("attempt_disk")),
    "max_task_bytes": Row(4096, pushed(5000)),
    "max_push_bytes": Row(1024**2, pushed(600_000)),
    "probe_seconds": Row(5.0, scheduler, {"local_workers": 2}),
    "transfers_at_once": Row(3, transfers),
    "cache_limit_bytes": Row(4096, worker("cache_limit")),
    "placement": Row("copy", worker("placement")),
    "spool_limit_bytes": Row(1024**2, to_program("spool_limit_bytes")),
    "journal_days": Row(1.0, journal),
    "log_level": Row("debug", logs),
}

POOL_ROWS: dict[str, Row] = {
    "provider": Row("static", provider, {"pools": STATIC.replace('provider = "static"\n', "")}),
    "role": Row("datastore", bootstrap_data),
    "min": Row(2, scheduler),
    "max": Row(1, scheduler),
    "spare": Row(1, scheduler),
    "cost_weight": Row(1.0, scheduler),
    "idle_seconds": Row(5.0, scheduler),
    "vm_hours_month": Row(0.01, scheduler),
    "vm_hours_batch": Row(0.0001, scheduler),
    "boot_seconds": Row(200.0, scheduler),
    "boot_timeout_seconds": Row(30.0, scheduler),
    "orphan_after_seconds": Row(300.0, bootstrap_data),
    "slots": Row(4, scheduler),
    "cost": Row(3.0, scheduler),
    "priority": Row(-1, scheduler),
    "placement": Row("copy", bootstrap_data),
    "template": Row("other", machines),
    "network": Row("lan", machines),
    "init_network": Row("internet", scheduler),
    "halt_when_orphaned": Row(False, bootstrap_data),
    "known_hosts": Row("known_hosts", hosts, {"pools": STATIC.replace(f" {FINGERPRINT}", "")}),
    "home": Row("elsewhere", hosts, {"pools": STATIC}),
    "labels": Row('{ gpu = "no" }', bootstrap_data),
    "hosts": Row('["me@there SHA256:' + "B" * 43 + '"]', hosts, {"pools": STATIC}),
    "options": Row("{ poll_seconds = 1.0 }", machines),
}


# --- the tests ---------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Mapping[str, object]], Here]]:
    """Settings with these options, and with the tables of `pools` in their file."""

    def make(options: Mapping[str, object]) -> Here:
        options = dict(options)
        (tmp_path / settings.FILE).write_text(str(options.pop("pools", "")))
        return Here(settings.load(tmp_path, options, {}, tmp_path / "absent.toml"), tmp_path, monkeypatch)

    return make


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_changes_something(setting: settings.Setting, here: Callable[..., Here]) -> None:
    row = ROWS[setting.name]
    without, with_it = row.effect(here(row.beside)), row.effect(here({**row.beside, setting.name: row.value}))
    differs = without != with_it  # long records, of which pytest would show nothing that helps
    assert differs, f"{setting.name} = {row.value!r} changes nothing"


@pytest.mark.parametrize("name", [*(setting.name for setting in POOL_SETTINGS), *TABLES])
def test_a_setting_of_a_pool_changes_something(name: str, here: Callable[..., Here]) -> None:
    row = POOL_ROWS[name]
    tables = str(row.beside.get("pools", POOLS))
    value = row.value if isinstance(row.value, str) and row.value[0] in "[{" else settings_text(row.value)
    former = [line for line in tables.splitlines() if not (name == "hosts" and line.startswith("hosts"))]
    if name == "max":
        former.remove("max = 3")
    changed = "\n".join([*former, f"{name} = {value}"])
    (without, with_it) = ({**CLOUD, "pools": text} for text in (tables, changed))
    differs = answer(row.effect, here(without)) != answer(row.effect, here(with_it))
    assert differs, f"{name} = {value} changes nothing"


def settings_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def answer(effect: Effect, here: Here) -> object:
    """A refusal of the provider is an effect as well."""
    try:
        return effect(here)
    except ProviderError as error:
        return str(error)


def test_no_row_is_of_a_setting_that_is_not_there() -> None:
    assert set(ROWS) == set(settings.BY_NAME)
    assert set(POOL_ROWS) == {*(setting.name for setting in POOL_SETTINGS), *TABLES}
