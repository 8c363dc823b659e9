"""Looking at a worker's host: paramiko against a real sshd."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from boss.bootstrap.ssh_keys import ensure_keys
from boss.ssh import ConnectionBrokenError, HostKeyError, HostUnreachableError, LoginRefusedError, connect
from boss.ssh.connection import Ran
from tests.worlds import ssh_server
from tests.worlds.fingerprints import fingerprint
from tests.worlds.ssh_server import SshServer
from tests.worlds.waiting import scaled
from wire.messages import Place

server = ssh_server.server

pytestmark = pytest.mark.needs("sshd", "ssh-keygen")


@pytest.fixture
def key(server: SshServer, tmp_path: Path) -> Path:
    """The boss's, accepted by the server."""
    boss, _ = ensure_keys(tmp_path)
    (server.own / "authorized").write_text(boss.authorized_keys_line + "\n")
    return boss.path


@pytest.fixture
def place(server: SshServer) -> Place:
    return server.place(server.folder)


def output(place: Place, key: Path, command: str, given: bytes = b"", seconds: float = 20.0) -> tuple[bytes, Ran]:
    ran = Ran()
    with connect(place, key) as connection:
        return b"".join(connection.run(command, given, ran, seconds, 100_000)), ran


def test_a_command_runs_there_with_its_input_and_says_how_it_ended(place: Place, key: Path) -> None:
    said, ran = output(place, key, "cat; id -un >&2; exit 3", b"given\n")
    assert said.splitlines() == [b"given", place.user.encode()]
    assert (ran.exit_code, ran.cut) == (3, False)


def test_output_comes_while_the_command_still_runs(place: Place, key: Path) -> None:
    with connect(place, key) as connection:
        pieces = connection.run("echo first; cat; sleep 60", b"", Ran(), 20.0, 1000)
        assert next(pieces) == b"first\n"


def test_the_host_key_that_is_reported_is_the_pinned_one(place: Place, key: Path, server: SshServer) -> None:
    with connect(place, key) as connection:
        assert connection.host_key == fingerprint(server.host_key)


def test_a_host_with_another_key_is_refused_before_the_login_and_both_keys_are_named(
    place: Place, key: Path, server: SshServer
) -> None:
    before = server.host_key
    server.change_host_key()
    with pytest.raises(HostKeyError) as caught:
        connect(place, key)
    assert fingerprint(before) in str(caught.value) and fingerprint(server.host_key) in str(caught.value)
    assert "admin.py release" in str(caught.value)
    assert server.logins() == 0


def test_a_host_of_which_nothing_is_pinned_is_refused(place: Place, key: Path, server: SshServer) -> None:
    for keys in ([], ["", "ssh-ed25519", "ssh-ed25519 %%%"]):
        with pytest.raises(HostKeyError, match="pinned for this worker is none"):
            connect(replace(place, host_keys=keys), key)
    assert server.logins() == 0


def test_the_pinned_one_of_several_host_keys_is_asked_for(server: SshServer, key: Path, tmp_path: Path) -> None:
    rsa = tmp_path / "rsa"
    ssh_server.make_key(rsa, kind="rsa")
    server.stop()
    server.options = (f"HostKey {rsa}",)
    server.start()
    for line in (ssh_server.public_key(rsa), server.host_key):
        with connect(replace(server.place(server.folder), host_keys=[line]), key) as connection:
            assert connection.host_key == fingerprint(line)


def test_a_login_that_is_refused_names_user_host_and_key(place: Place, key: Path, server: SshServer) -> None:
    (server.own / "authorized").write_text("")
    with pytest.raises(LoginRefusedError, match=f"{place.user}@127.0.0.1:{place.port}.*{key}.pub.*authorized_keys"):
        connect(place, key)


def test_a_key_that_is_none_is_named(place: Place, key: Path) -> None:
    key.write_text("nonsense\n")
    with pytest.raises(LoginRefusedError, match=f"{key} cannot be used"):
        connect(place, key)


def test_where_nothing_answers_is_said(place: Place, key: Path) -> None:
    with pytest.raises(HostUnreachableError, match=r"nothing answers at 127\.0\.0\.1:\d+ \(Connection refused\)"):
        connect(replace(place, port=ssh_server.free_port()), key)


@pytest.fixture
def silent() -> Iterator[int]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_what_is_no_sshd_is_given_up_in_time(place: Place, key: Path, silent: int) -> None:
    began = time.monotonic()
    with pytest.raises(HostUnreachableError, match="no sshd that we can speak to"):
        connect(replace(place, port=silent), key, seconds=0.5)
    assert time.monotonic() - began < scaled(20)


def test_a_command_that_does_not_end_is_left(place: Place, key: Path) -> None:
    with pytest.raises(ConnectionBrokenError, match="did not end within 0.5 s"):
        output(place, key, "sleep 60", seconds=0.5)


def test_endless_output_is_cut(place: Place, key: Path) -> None:
    said, ran = output(place, key, "yes")
    assert len(said) <= 100_000
    assert (ran.exit_code, ran.cut) == (None, True)


def test_a_host_that_goes_away_meanwhile_is_said(place: Place, key: Path, server: SshServer) -> None:
    ran = Ran()
    with connect(place, key) as connection:
        pieces = connection.run("echo there; sleep 60", b"", ran, 20.0, 1000)
        assert next(pieces) == b"there\n"
        server.stop()
        try:
            assert list(pieces) == []
        except ConnectionBrokenError as error:
            assert "127.0.0.1" in str(error)
    assert ran.exit_code in (None, -1)
