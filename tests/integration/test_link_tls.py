"""The link over TLS, against a Mosquitto with certificates that are made here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from boss.embedded.children import start_child
from boss.embedded.logins import write_files
from boss.embedded.ports import choose_port
from boss.embedded.programs import find_mosquitto, mosquitto_configuration
from tests.worlds.brokers import BOSS, LOGINS, TOPICS, Listener, need_mosquitto, never, wait_for_broker
from tests.worlds.certificates import Authority
from tests.worlds.waiting import scaled
from wire.link import Connected, Disconnected, Link, LinkOptions, Received, TlsOptions


@dataclass
class TlsBroker:
    port: int
    ours: Authority


@pytest.fixture
def tls_broker(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[TlsBroker]:
    """Its certificate is for the address in the fixture's parameter; it wants one of every client."""
    need_mosquitto()
    ours = Authority(tmp_path, "ours")
    server = ours.issue("server", getattr(request, "param", "127.0.0.1"))
    write_files(tmp_path, LOGINS, TOPICS)
    port = choose_port()
    lines = [
        mosquitto_configuration(tmp_path, port, as_root=True),
        f"cafile {ours.ca_file}",
        f"certfile {server}",
        f"keyfile {server.with_suffix('.key')}",
        "require_certificate true",
    ]
    (tmp_path / "tls.conf").write_text("\n".join(lines) + "\n")
    program = find_mosquitto() or ""
    child = start_child([program, "-c", str(tmp_path / "tls.conf")], log_path=tmp_path / "log", die_with_parent=True)
    wait_for_broker(child, port, tmp_path / "log")
    yield TlsBroker(port, ours)
    child.terminate(grace=5.0)


def link_to(broker: TlsBroker, tls: TlsOptions | None) -> tuple[Link, Listener]:
    listener = Listener()
    options = LinkOptions("127.0.0.1", broker.port, "boss-1", BOSS.username, BOSS.password, tls)
    link = Link(options, listener)
    link.subscribe("test/#")
    link.start()
    return link, listener


def client_tls(broker: TlsBroker, trusted: Path | None = None) -> TlsOptions:
    certificate = broker.ours.issue("client")
    return TlsOptions(trusted or broker.ours.ca_file, certificate, certificate.with_suffix(".key"))


def test_large_and_small_messages_pass_through_tls(tls_broker: TlsBroker) -> None:
    link, listener = link_to(tls_broker, client_tls(tls_broker))
    listener.wait(Connected)
    sizes = [1, 100_000, 5_000_000, *range(200)]
    for size in sizes:
        assert link.publish("test/x", b"x" * size)
    assert [len(listener.wait(Received).payload) for _ in sizes] == sizes
    assert link.stop(timeout=scaled(20))


def test_a_broker_of_a_foreign_authority_is_not_spoken_to(tls_broker: TlsBroker, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    link, listener = link_to(tls_broker, client_tls(tls_broker, Authority(foreign, "foreign").ca_file))
    assert "certificate verify failed" in listener.wait(Disconnected).reason
    link.stop()


@pytest.mark.parametrize("tls_broker", ["127.0.0.2"], indirect=True)
def test_a_broker_with_a_certificate_for_another_address_is_not_spoken_to(tls_broker: TlsBroker) -> None:
    link, listener = link_to(tls_broker, client_tls(tls_broker))
    assert "127.0.0.1" in listener.wait(Disconnected).reason
    link.stop()


@pytest.mark.parametrize("how", ["no certificate", "no TLS"])
def test_a_client_that_shows_no_certificate_does_not_get_in(tls_broker: TlsBroker, how: str) -> None:
    link, listener = link_to(tls_broker, TlsOptions(tls_broker.ours.ca_file) if how == "no certificate" else None)
    listener.wait(Disconnected)
    never(listener, Connected)
    link.stop()
