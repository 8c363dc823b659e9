"""Logins of programs on other hosts: the files that are kept, what is handed out, and who is refused one."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

import admin
from boss.api.errors import HttpError
from boss.api.schema import LoginRequest
from boss.bootstrap.addresses import Addresses, addresses_of
from boss.bootstrap.grants import Grants, GrantsError
from boss.bootstrap.login_files import LoginFiles, datastore_files, worker_files
from boss.bootstrap.manual import ManualLogins
from boss.bootstrap.ssh_keys import ensure_keys
from boss.core.events import LoginGranted
from boss.core.policy import Grant, Policy, PoolPolicy
from boss.embedded.broker import EmbeddedBroker, accepts_login
from boss.embedded.broker_logins import BrokerLogins
from boss.embedded.logins import MqttLogin
from boss.embedded.passwords import DATASTORE_LOGIN, Passwords
from boss.setup import Setup
from tests.worlds.waiting import scaled
from wire.link import TlsOptions
from wire.topics import Topics

ADDRESSES = Addresses("d1", "plant/$x", "boss host's", 1883, "http://boss:8080")


def logins(
    folder: Path,
    broker: EmbeddedBroker | None = None,
    notify: Callable[[LoginGranted], None] = lambda event: None,
    **settings: object,
) -> ManualLogins:
    ensure_keys(folder)
    pools = (PoolPolicy(name="local", provider="local", min_workers=2, max_workers=2),)
    values: dict[str, object] = {"broker_listen": "0.0.0.0", "http_host": "0.0.0.0", **settings}
    setup = Setup(
        state_directory=folder, tree=folder / "tree", database="", policy=Policy(pools=pools), **values  # type: ignore[arg-type]
    )  # fmt: skip
    kept = BrokerLogins(Passwords(folder), broker)
    files = LoginFiles(folder, addresses_of(setup, "d1", broker_port=1883, http_port=8080), kept)
    return ManualLogins(setup, kept, files, Grants(folder), notify)


def as_a_shell_reads(text: str, folder: Path) -> Mapping[str, str]:
    path = folder / "it.env"
    path.write_text(text)
    command = ["env", "-i", "sh", "-c", f"set -a; . '{path}'; env -0"]
    said = subprocess.run(command, capture_output=True, timeout=scaled(20), check=True).stdout.decode()
    return dict(line.split("=", 1) for line in said.split("\0") if line.startswith("ECLOUD_"))


def as_systemd_reads(text: str) -> Mapping[str, str]:
    """Its rules as far as they matter here: a line a variable, `#` for comments, quotes around a value."""
    import shlex

    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: "".join(shlex.split(value)) for name, value in (line.split("=", 1) for line in lines)}


def test_a_shell_and_systemd_read_the_same_settings(tmp_path: Path) -> None:
    for name, text in (
        *worker_files("w1", "x", ADDRESSES).items(),
        *datastore_files("@d", "x", "t", "k", ADDRESSES).items(),
    ):
        if name.endswith(".env"):
            assert as_a_shell_reads(text, tmp_path) == as_systemd_reads(text)
            assert as_systemd_reads(text)["ECLOUD_BROKER_HOST"] == "boss host's"
            assert as_systemd_reads(text)["ECLOUD_MQTT_PREFIX"] == "plant/$x"


def test_settings_hold_no_secret_and_each_secret_is_where_they_say(tmp_path: Path) -> None:
    answer = logins(tmp_path, datastore_host="store").login("datastore", LoginRequest("/srv/keys/"))
    given = as_systemd_reads(answer.files["datastore.env"])
    for variable, name in (("PASSWORD_FILE", "password"), ("SSH_KEY", "key"), ("HTTP_TOKEN_FILE", "token")):
        assert given[f"ECLOUD_DATASTORE_{variable}"] == f"/srv/keys/datastore.{name}"
        assert answer.files[f"datastore.{name}"].strip() not in answer.files["datastore.env"]
    assert given["ECLOUD_DATASTORE_USERNAME"] == answer.username == DATASTORE_LOGIN
    assert given["ECLOUD_BOSS_URL"].endswith(":8080") and "127.0.0.1" not in given["ECLOUD_BOSS_URL"]
    assert answer.notes == []


def test_other_hosts_are_sent_what_they_call_the_boss(tmp_path: Path) -> None:
    def given(**settings: object) -> str:
        files = logins(tmp_path, **settings).login("w1", LoginRequest("/etc/ecloud")).files
        return as_systemd_reads(files["worker.env"])["ECLOUD_BROKER_HOST"]

    assert given(boss_address="boss.example") == "boss.example"
    assert given(broker_listen="10.0.0.7") == "10.0.0.7"
    assert given(broker_listen="127.0.0.1", boss_address="boss.example") == "127.0.0.1", "no other host reaches it"
    assert given(broker_host="mqtt.example", boss_address="boss.example") == "mqtt.example"


def test_the_certificates_of_a_broker_with_tls_go_along(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    tls = TlsOptions(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem")
    asked = logins(tmp_path, broker_host="mqtt.example", broker_tls=tls)
    for name, program in (("w1", "worker"), ("datastore", "datastore")):
        answer = asked.login(name, LoginRequest("/x"))
        assert as_systemd_reads(answer.files[f"{program}.env"])["ECLOUD_BROKER_TLS_CA"] == "/x/broker-ca.pem"
        assert answer.files["broker-ca.pem"] == "-----BEGIN CERTIFICATE-----\n"
        assert any("ECLOUD_BROKER_TLS_CERT" in note for note in answer.notes)
    assert "broker-ca.pem" not in logins(tmp_path).login("w1", LoginRequest("/x")).files
    (tmp_path / "ca.pem").unlink()
    with pytest.raises(HttpError, match="broker_tls_ca .* cannot be read"):
        asked.login("w1", LoginRequest("/x"))


def test_what_is_still_missing_for_another_host_is_said(tmp_path: Path) -> None:
    local = (
        logins(tmp_path, broker_listen="127.0.0.1", http_host="127.0.0.1").login("datastore", LoginRequest("/x")).notes
    )
    assert [word for word in ("broker_listen", "datastore_host", "http_host") if word in " ".join(local)] == [
        "broker_listen", "datastore_host", "http_host",
    ]  # fmt: skip
    [foreign] = logins(tmp_path, broker_host="mqtt.example").login("w1", LoginRequest("/x")).notes
    assert "mqtt.example is not the boss's own" in foreign and "topic read ecloud/workers/w1/orders" in foreign


@pytest.mark.parametrize("name", ["boss", "chief", "a b", "", "../x", "-x", "@datastore", "x" * 64, "w/1"])
def test_names_that_no_worker_can_have_are_refused(name: str, tmp_path: Path) -> None:
    asked = logins(tmp_path, broker_username="chief")
    for ask in (lambda: asked.login(name, LoginRequest("/x")), lambda: asked.remove_login(name)):
        with pytest.raises(HttpError) as caught:
            ask()
        assert caught.value.status == 400
    assert list(tmp_path.glob("logins/*")) == []


def test_a_worker_of_the_bosss_own_has_its_login_already(tmp_path: Path) -> None:
    with pytest.raises(HttpError, match="the boss starts itself"):
        logins(tmp_path).login("local-2", LoginRequest("/x"))
    assert logins(tmp_path).login("local-3", LoginRequest("/x")).made


def test_asking_again_gives_the_same_password_until_it_is_removed(tmp_path: Path) -> None:
    asked = logins(tmp_path)
    first, again = asked.login("w1", LoginRequest("/x")), logins(tmp_path).login("w1", LoginRequest("/x"))
    assert (first.made, again.made) == (True, False)
    assert first.files == again.files
    asked.remove_login("w1")
    with pytest.raises(HttpError, match="there is no login 'w1'"):
        asked.remove_login("w1")
    assert asked.login("w1", LoginRequest("/x")).files["worker.password"] != first.files["worker.password"]


def test_starts_at_the_same_time_agree_on_one_password(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        said = set(pool.map(lambda _: Passwords(tmp_path).password("w1"), range(16)))
    assert len(said) == 1
    assert [path.name for path in (tmp_path / "logins").iterdir()] == ["mqtt_w1"]
    assert stat.S_IMODE((tmp_path / "logins" / "mqtt_w1").stat().st_mode) == 0o600


def test_the_next_boss_accepts_whoever_has_a_login(tmp_path: Path) -> None:
    kept = Passwords(tmp_path)
    for name in ("w1", "boss", DATASTORE_LOGIN, "x.y"):
        kept.password(name)
    (tmp_path / "logins" / "http_token").write_text("no login of the broker")
    assert [(login.username, login.role) for login in Passwords(tmp_path).workers()] == [
        ("w1", "worker"), ("x.y", "worker"),
    ]  # fmt: skip


@pytest.mark.needs("mosquitto")
def test_a_new_login_is_good_when_it_is_announced_and_a_removed_one_is_not(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "broker", Topics("ecloud"), [MqttLogin("boss", "x", "boss")], kind="mosquitto")
    broker.start()
    try:
        asked = logins(tmp_path, broker)
        password = asked.login("w1", LoginRequest("/x")).files["worker.password"].strip()
        assert accepts_login(broker.host, broker.port, "w1", password) is True
        asked.remove_login("w1")
        assert accepts_login(broker.host, broker.port, "w1", password) is False
    finally:
        broker.stop()


# --- admin.py init -------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ECLOUD_HOME", str(tmp_path / ".ecloud"))
    return tmp_path / ".ecloud"


def test_init_makes_all_once_and_says_what_workers_hosts_need(home: Path) -> None:
    first = CliRunner().invoke(admin.app, ["init"])
    assert first.exit_code == 0, first.output
    lines = [line for line in first.output.splitlines() if line.startswith("restrict ssh-ed25519 ")]
    assert [line.split()[-1].partition("@")[0] for line in lines] == ["ecloud-boss", "ecloud-datastore"]
    files = {path.relative_to(home): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert {str(path) for path in files} == {
        "keys/boss", "keys/boss.pub", "keys/datastore", "keys/datastore.pub",
        "logins/http_token", "logins/mqtt_boss", "logins/mqtt_@datastore",
    }  # fmt: skip
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    again = CliRunner().invoke(admin.app, ["init", "--json"])
    given = json.loads(again.output)
    assert given["authorized_keys"] == lines
    assert not given["keys"]["boss"]["made"]
    assert {path.relative_to(home): path.read_bytes() for path in home.rglob("*") if path.is_file()} == files


def test_init_says_what_it_cannot_use(home: Path) -> None:
    ensure_keys(home)
    (home / "keys" / "boss").chmod(0o640)
    done = CliRunner().invoke(admin.app, ["init"])
    assert done.exit_code == 3
    assert f"chmod 600 {home / 'keys' / 'boss'}" in done.output


def test_logins_want_a_running_boss(home: Path) -> None:
    ensure_keys(home)
    done = CliRunner().invoke(admin.app, ["login", "w1"])
    assert done.exit_code == 3
    assert "only a running boss does this" in done.output


def test_what_a_worker_may_be_goes_with_its_login(tmp_path: Path) -> None:
    events: list[LoginGranted] = []
    asked = logins(tmp_path, notify=events.append)
    said = asked.login("w1", LoginRequest(pool="gpu", labels={"engine": "2.3", "odd": "it's $HOME"}, slots=8))
    variables = as_a_shell_reads(said.files["worker.env"], tmp_path)
    assert variables["ECLOUD_POOL"] == "gpu"
    assert json.loads(variables["ECLOUD_LABELS"]) == {"engine": "2.3", "odd": "it's $HOME"}
    grant = Grant(pool="gpu", labels={"engine": "2.3", "odd": "it's $HOME"}, slots=8)
    assert events == [LoginGranted(worker="w1", grant=grant)]
    assert Grants(tmp_path).all() == {"w1": grant}, "the next boss knows it, too"
    asked.login("w1", LoginRequest())
    assert len(events) == 1, "what is left out stays"
    asked.login("w1", LoginRequest(slots=0))
    assert events[-1] == LoginGranted(worker="w1", grant=Grant(pool="gpu", labels=grant.labels))
    asked.remove_login("w1")
    assert events[-1] == LoginGranted(worker="w1", grant=None)
    assert Grants(tmp_path).all() == {}


@pytest.mark.parametrize(
    "request_",
    [
        LoginRequest(pool="no pool"),
        LoginRequest(pool="local"),
        LoginRequest(labels={"a\n": "b"}),
        LoginRequest(labels={"": "b"}),
        LoginRequest(labels={"a": "b" * 256}),
        LoginRequest(labels={f"l{number}": "" for number in range(65)}),
        LoginRequest(slots=-1),
        LoginRequest(slots=2**16 + 1),
    ],
)
def test_a_grant_that_cannot_be_is_refused_and_changes_nothing(tmp_path: Path, request_: LoginRequest) -> None:
    asked = logins(tmp_path)
    with pytest.raises(HttpError) as refused:
        asked.login("w1", request_)
    assert refused.value.status == 400
    assert Grants(tmp_path).all() == {}
    assert not Passwords(tmp_path).has("w1")


def test_a_damaged_file_of_grants_says_what_to_do(tmp_path: Path) -> None:
    logins(tmp_path).login("w1", LoginRequest(pool="gpu"))
    (tmp_path / "logins" / "grants.json").write_text('{"w1": {"pool": 7}}')
    with pytest.raises(GrantsError, match=r"grants\.json.*remove it and .*admin\.py login NAME --pool POOL"):
        Grants(tmp_path)
