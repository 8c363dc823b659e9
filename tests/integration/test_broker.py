"""The embedded broker, both kinds: port, logins, its end, and who cannot get in."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boss.common import processes
from boss.embedded import programs
from boss.embedded.broker import BrokerError, EmbeddedBroker, accepts_login
from boss.embedded.children import Child, ChildError, start_child
from boss.embedded.logins import MqttLogin
from boss.embedded.ports import choose_port, listens
from tests.worlds import brokers, raw_mqtt
from tests.worlds.brokers import BOSS, LOGINS, TOPICS, WORKER, need_mosquitto, start_broker
from tests.worlds.raw_mqtt import connect_packet
from tests.worlds.waiting import scaled, wait_for

broker = brokers.broker

KINDS = pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])


def accepts(started: EmbeddedBroker, login: MqttLogin) -> bool | None:
    return accepts_login(started.host, started.port, login.username, login.password)


def wait_until_gone(pid: int, start_time: int | None) -> None:
    wait_for(
        lambda: start_time is None or processes.start_time(pid) != start_time, f"process {pid} ends"
    )  # None: ended already


def test_it_accepts_every_login_when_start_returns_and_no_other(broker: EmbeddedBroker) -> None:
    assert [accepts(broker, login) for login in LOGINS] == [True] * 4
    assert accepts_login(broker.host, broker.port, "boss", "wrong") is False
    assert accepts_login(broker.host, broker.port, "w77", "x") is False
    assert accepts_login(broker.host, broker.port, "", "") is False


def test_who_does_not_answer_a_login_has_said_neither_yes_nor_no() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert accepts_login("127.0.0.1", port, "boss", "x", timeout=0.1) is None, "it accepts, and says nothing"
        server.accept()[0].close()  # the one that had no answer, before anything else takes it
        threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
        assert accepts_login("127.0.0.1", port, "boss", "x", timeout=scaled(5)) is None, "it hangs up"
    assert accepts_login("127.0.0.1", port, "boss", "x", timeout=scaled(5)) is None, "no broker is there"


def test_it_listens_on_loopback_only(broker: EmbeddedBroker) -> None:
    assert broker.pid is not None
    assert listens(broker.pid, broker.port)
    table = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    listening = [line.split()[1] for line in table.splitlines() if f":{broker.port:04X} " in line and " 0A " in line]
    assert listening == [f"0100007F:{broker.port:04X}"]


ANOTHER_LOOPBACK = "127.0.0.2"


def listeners_on(port: int) -> set[str]:
    table = Path("/proc/net/tcp").read_text()
    return {line.split()[1] for line in table.splitlines() if f":{port:04X} " in line and " 0A " in line}


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize(
    ("listen", "addresses"), [("0.0.0.0", {"00000000"}), (ANOTHER_LOOPBACK, {"0100007F", "0200007F"})]
)
def test_it_listens_where_it_is_configured_to_and_always_on_loopback(
    listen: str, addresses: set[str], tmp_path: Path
) -> None:
    started = start_broker(tmp_path / "broker", "mosquitto", listen=listen)
    assert listeners_on(started.port) == {f"{address}:{started.port:04X}" for address in addresses}
    assert accepts_login(ANOTHER_LOOPBACK, started.port, WORKER.username, WORKER.password) is True
    assert accepts_login(ANOTHER_LOOPBACK, started.port, WORKER.username, "wrong") is False
    assert accepts(started, BOSS)
    started.stop()


@pytest.mark.needs("mosquitto")
def test_a_port_that_is_taken_at_the_wanted_address_is_not_chosen(tmp_path: Path) -> None:
    directory = tmp_path / "broker"
    directory.mkdir()
    with socket.create_server((ANOTHER_LOOPBACK, 0)) as foreign:
        taken = foreign.getsockname()[1]
        (directory / "broker.json").write_text(json.dumps({"port": taken}))
        started = start_broker(directory, "mosquitto", listen=ANOTHER_LOOPBACK)
    assert started.port != taken
    assert f"port {taken}" in started.notice
    started.stop()


@pytest.mark.needs("mosquitto")
def test_an_address_that_the_machine_does_not_have_is_reported_with_the_text_of_the_broker(tmp_path: Path) -> None:
    started = EmbeddedBroker(tmp_path / "broker", TOPICS, LOGINS, kind="mosquitto", listen="192.0.2.1")
    with pytest.raises(BrokerError, match="ended at once.*(?s:.*)assign"):
        started.start()


def test_amqtt_is_not_let_onto_a_network() -> None:
    with pytest.raises(BrokerError, match=r"broker_listen is 0\.0\.0\.0.*apt install mosquitto"):
        programs.find_program("amqtt", "0.0.0.0")
    assert programs.find_program("amqtt", ANOTHER_LOOPBACK).kind == "amqtt"


def test_its_files_are_private_and_hold_no_password(broker: EmbeddedBroker, tmp_path: Path) -> None:
    directory = tmp_path / "broker"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "passwords").stat().st_mode) == 0o600
    assert stat.S_IMODE((directory / "broker.log").stat().st_mode) == 0o600
    accepts(broker, WORKER)
    assert broker.pid is not None
    texts = [file.read_text() for file in directory.iterdir()] + [Path(f"/proc/{broker.pid}/cmdline").read_text()]
    assert not [text for text in texts for login in LOGINS if login.password in text]


@KINDS
def test_the_next_boss_gets_the_same_port(kind: programs.Kind, tmp_path: Path) -> None:
    first = start_broker(tmp_path / "broker", kind)
    port = first.port
    first.stop()
    second = start_broker(tmp_path / "broker", kind)
    assert second.port == port
    assert second.notice == ""
    second.stop()


def test_a_port_that_another_program_has_is_left_to_it_and_that_is_logged(tmp_path: Path) -> None:
    directory = tmp_path / "broker"
    directory.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        taken = foreign.getsockname()[1]
        (directory / "broker.json").write_text(json.dumps({"port": taken}))
        started = start_broker(directory)
    assert started.port != taken
    assert f"port {taken}" in started.notice
    assert accepts(started, BOSS)
    started.stop()


def test_a_wanted_port_is_used(tmp_path: Path) -> None:
    port = choose_port()
    started = start_broker(tmp_path / "broker", port=port)
    assert started.port == port
    started.stop()


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"port": "x"}', '{"port": 1, "pid": 1}'])
def test_a_damaged_record_does_no_harm(text: str, tmp_path: Path) -> None:
    directory = tmp_path / "broker"
    directory.mkdir()
    (directory / "broker.json").write_text(text)
    started = start_broker(directory)
    assert [accepts(started, login) for login in LOGINS] == [True] * 4
    started.stop()


def test_one_that_ends_is_started_again_at_its_port_until_it_is_stopped(
    broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    port, pid = broker.port, broker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: broker.pid != pid and accepts(broker, WORKER), "it is started again")
    assert (broker.port, broker.warning) == (port, "")
    assert "the broker has ended, exit code -9; it is started again" in caplog.text
    last = broker.pid
    broker.stop()
    assert broker.pid == last and accepts(broker, WORKER) is None


def test_one_that_cannot_be_started_again_says_so_until_it_can(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boss.embedded.broker._RESTART_SECONDS", 0.05)
    assert broker.pid is not None
    with monkeypatch.context() as broken:
        broken.setattr("boss.embedded.broker.start_child", no_child)
        os.kill(broker.pid, signal.SIGKILL)
        wait_for(lambda: broker.warning, "it cannot be started")
        assert broker.warning == "the broker cannot be started again: no more processes"
    wait_for(lambda: not broker.warning, "it can be started")
    assert accepts(broker, WORKER)


def no_child(*arguments: Any, **options: Any) -> Child:
    raise ChildError("no more processes")


def test_one_that_is_killed_while_it_starts_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_mosquitto()
    started: list[Child] = []

    def start_and_kill_the_first(*arguments: Any, **options: Any) -> Child:
        started.append(start_child(*arguments, **options))
        if len(started) == 1:
            started[0].send(signal.SIGKILL)
        return started[-1]

    monkeypatch.setattr("boss.embedded.broker.start_child", start_and_kill_the_first)
    broker = start_broker(tmp_path / "broker", "mosquitto")
    try:
        assert accepts(broker, BOSS)
        assert [child.exit_code for child in started] == [-signal.SIGKILL, None]
        assert broker.warning == "", "its start was made good"
    finally:
        broker.stop()


def test_a_login_can_be_added_and_taken_away_while_it_runs(broker: EmbeddedBroker) -> None:
    newcomer = MqttLogin("w3", "of-a-newcomer", "worker")
    assert accepts(broker, newcomer) is False
    broker.add_logins([newcomer])
    assert accepts(broker, newcomer)
    assert accepts(broker, WORKER)
    broker.remove_login("w3")
    wait_for(lambda: accepts(broker, newcomer) is False, "the broker refuses the login")


BOSS_PROGRAM = """
import sys, time
from pathlib import Path
from tests.worlds.brokers import start_broker
broker = start_broker(Path(sys.argv[1]), sys.argv[2])
print(broker.pid, broker.port, flush=True)
time.sleep(600)
"""


@pytest.fixture(params=["mosquitto", "amqtt"])
def killed_boss(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, int, int]]:
    """A process that started a broker in tmp_path/broker and was killed at once: kind, the broker's pid and port."""
    if request.param == "mosquitto":
        need_mosquitto()
    arguments = [sys.executable, "-c", BOSS_PROGRAM, str(tmp_path / "broker"), request.param]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as boss:
        assert boss.stdout is not None
        pid, port = map(int, boss.stdout.readline().split())
        boss.kill()
    yield request.param, pid, port


def test_it_ends_when_its_boss_is_killed(killed_boss: tuple[str, int, int]) -> None:
    _, pid, _ = killed_boss
    wait_until_gone(pid, processes.start_time(pid))
    assert processes.start_time(pid) is None


def test_a_boss_that_follows_at_once_has_the_port_of_the_killed_one(
    killed_boss: tuple[programs.Kind, int, int], tmp_path: Path
) -> None:
    kind, _, port = killed_boss
    started = start_broker(tmp_path / "broker", kind)
    assert (started.port, started.notice) == (port, "")
    started.stop()


def test_a_broker_that_cannot_start_is_reported_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_mosquitto()
    monkeypatch.setattr(programs, "mosquitto_configuration", lambda *_: "no_such_option 1\n")
    started = EmbeddedBroker(tmp_path / "broker", TOPICS, LOGINS, kind="mosquitto")
    with pytest.raises(BrokerError, match=r"(?s)mosquitto, port \d+\) ended at once.*no_such_option"):
        started.start()


def test_without_mosquitto_amqtt_serves_and_a_wanted_mosquitto_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "find_mosquitto", lambda: None)
    assert programs.find_program().kind == "amqtt"
    with pytest.raises(BrokerError, match="apt install mosquitto"):
        EmbeddedBroker(tmp_path, TOPICS, LOGINS, kind="mosquitto")


def test_mosquitto_is_found_where_it_is_not_in_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    need_mosquitto()
    monkeypatch.setenv("PATH", "/nonexistent")
    assert programs.find_program().kind == "mosquitto"


def test_a_packet_above_the_limit_costs_only_its_sender_the_connection(broker: EmbeddedBroker) -> None:
    with socket.create_connection((broker.host, broker.port), scaled(20)) as attacker:
        attacker.sendall(connect_packet("attacker", WORKER.username, WORKER.password))
        assert attacker.recv(4) == b"\x20\x02\x00\x00"
        topic = TOPICS.reports("w1").encode()
        attacker.sendall(b"\x30\xff\xff\xff\x7f" + len(topic).to_bytes(2, "big") + topic)
        attacker.settimeout(scaled(20))
        try:
            assert attacker.recv(1) == b""
        except ConnectionResetError:
            pass
    assert accepts(broker, BOSS)


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """Below /tmp and open to all, so that only the broker's own modes keep others out."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@KINDS
def test_another_user_of_the_machine_gets_neither_the_files_nor_in(kind: programs.Kind, public_directory: Path) -> None:
    if os.geteuid() != 0:
        pytest.fail("this test becomes another user: run it as root, as the CI does", pytrace=False)
    started = start_broker(public_directory / "broker", kind)
    try:
        for name in ("passwords", "access", "broker.json", "broker.log"):
            answer = as_other_user("cat", str(public_directory / "broker" / name))
            assert answer.returncode != 0
            assert "Permission denied" in answer.stderr
        question = f"print([connack('127.0.0.1', {started.port}, *each)[3] for each in [('', ''), ('boss', 'guess')]])"
        code = Path(raw_mqtt.__file__).read_text() + question
        answer = as_other_user(os.path.realpath(sys.executable), "-I", "-c", code)
        if "Permission denied" in answer.stderr:  # a Python that only root may run
            answer = as_other_user("/usr/bin/python3", "-I", "-c", code)
        assert answer.stdout.strip() in ("[5, 5]", "[4, 5]", "[5, 4]", "[4, 4]"), (
            answer.stderr
        )  # bad login, not allowed
        signalled = as_other_user("kill", "-9", str(started.pid))
        assert signalled.returncode != 0
    finally:
        started.stop()


def as_other_user(*command: str) -> subprocess.CompletedProcess[str]:
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    return subprocess.run([*become, *command], capture_output=True, text=True, timeout=scaled(20), cwd="/", check=False)


@KINDS
def test_a_copied_directory_does_not_end_the_broker_of_the_original(kind: programs.Kind, tmp_path: Path) -> None:
    original = start_broker(tmp_path / "original", kind)
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    copy = start_broker(tmp_path / "copy", kind)
    assert copy.port != original.port
    assert accepts(original, WORKER) and accepts(copy, WORKER)
    copy.stop()
    original.stop()


def test_its_environment_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ECLOUD_TOKEN", "ECLOUD_DATABASE", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "API_TOKEN", "https_proxy"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("LANG", "C.UTF-8")
    started = start_broker(tmp_path / "broker")
    environment = Path(f"/proc/{started.pid}/environ").read_bytes()
    started.stop()
    assert b"hunter2" not in environment
    assert b"LANG=C.UTF-8" in environment
