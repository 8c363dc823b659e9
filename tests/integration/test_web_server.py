"""The HTTP API over real sockets: another user, broken connections, followers, and the client as programs use it."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from boss.api.app import make_app
from boss.api.serve import ServeError, Server
from boss.client.client import Client, ClientError, NoAnswerError, RequestRefusedError
from boss.client.find import boss_of, configured_boss
from boss.client.upload import Sendable, send_files
from boss.common.processes import start_time
from boss.intake.reader import encode_stream, read_file
from boss.state_directory.boss_file import announce, running_boss, withdraw
from boss.state_directory.tokens import TOKEN_FILE, ensure_token, read_token
from tests.worlds.api import FakeBackend, serve
from tests.worlds.digests import digest
from tests.worlds.waiting import scaled, wait_for


@pytest.fixture
def state_directory(tmp_path: Path) -> Path:
    path = tmp_path / ".ecloud"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def backend(tmp_path: Path) -> FakeBackend:
    return FakeBackend(tmp_path)


@pytest.fixture
def server(backend: FakeBackend, state_directory: Path) -> Iterator[Server]:
    running = serve(make_app(backend, [ensure_token(state_directory)]))
    announce(state_directory, running.url)
    yield running
    running.stop()


@pytest.fixture
def client(server: Server, state_directory: Path) -> Iterator[Client]:
    found = boss_of(state_directory)
    assert found is not None
    yield found
    found.close()


def test_the_boss_of_a_state_directory_is_found_and_answers(client: Client) -> None:
    assert client.status().succeeded == 1
    assert [task.id for task in client.tasks("succeeded")] == ["make"]
    assert client.task("default", "fail/ä \x1b[31m").task.number == 2


def test_a_boss_that_listens_on_every_address_is_found_and_answers(backend: FakeBackend, state_directory: Path) -> None:
    running = serve(make_app(backend, [ensure_token(state_directory)]), host="0.0.0.0")
    try:
        announce(state_directory, running.url)
        found = boss_of(state_directory)
        assert found is not None
        with closing(found):
            assert found.status().succeeded == 1
    finally:
        running.stop()


def test_the_token_file_is_private_and_made_only_once(state_directory: Path) -> None:
    tokens = {ensure_token(state_directory) for _ in range(3)}
    path = state_directory / TOKEN_FILE
    assert len(tokens) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == [path.name]


#: Everything is imported before: another user may not be able to read this Python's library.
_AS_ANOTHER_USER = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
port, token_file = sys.argv[1:]
try:
    open(token_file).read()
    print("read the token")
except PermissionError:
    print("token refused")
for token in ("", "guessed"):
    with socket.socket() as connection:
        connection.connect(("127.0.0.1", int(port)))
        head = f"GET /api/v1/status HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nAuthorization: Bearer {token}\\r\\n\\r\\n"
        connection.sendall(head.encode())
        print(connection.recv(100).split()[1].decode())
"""


def test_another_user_of_the_machine_is_refused(server: Server, state_directory: Path) -> None:
    if os.geteuid() != 0:  # only root can become another user; others check that the mode keeps them out
        assert stat.S_IMODE((state_directory / TOKEN_FILE).stat().st_mode) == 0o600
        return
    os.chmod(state_directory, 0o755)  # even where a user opened the directory itself
    command = [sys.executable, "-c", _AS_ANOTHER_USER, str(server.port), state_directory / TOKEN_FILE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=scaled(30))
    assert done.stdout.split("\n")[:3] == ["token refused", "401", "401"], done.stderr


def test_a_boss_that_is_gone_is_not_found(server: Server, state_directory: Path) -> None:
    boss = running_boss(state_directory)
    assert boss is not None and boss.pid == os.getpid()
    path = state_directory / "boss.json"
    text = path.read_text()
    path.write_text(text.replace(str(boss.start_time), str(boss.start_time + 1)))  # the number is used again
    assert boss_of(state_directory) is None
    path.write_text("{broken")
    assert boss_of(state_directory) is None
    path.write_text(text)
    withdraw(state_directory)
    assert not path.exists()
    assert start_time(2**22 + 1) is None


def test_a_configured_boss_needs_a_token(state_directory: Path, server: Server) -> None:
    with pytest.raises(ClientError, match="token"):
        configured_boss(server.url, "", None)
    with closing(configured_boss(server.url, "", state_directory)) as client:
        assert client.status().workers == 1
    with (
        closing(configured_boss(server.url, "wrong", state_directory)) as client,
        pytest.raises(RequestRefusedError, match="token"),
    ):
        client.status()


def test_no_program_there_is_reported_with_the_address(state_directory: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with closing(Client(url, "token")) as client, pytest.raises(NoAnswerError, match=url):
        client.status()


def test_a_port_that_is_taken_is_refused_with_a_sentence(server: Server, backend: FakeBackend) -> None:
    with pytest.raises(ServeError, match="cannot listen on 127.0.0.1"):
        serve(make_app(backend, ["t"]), port=server.port)


def test_following_ends_when_the_batch_does_and_is_counted_meanwhile(backend: FakeBackend, client: Client) -> None:
    backend.set_batch(7, queued=2)
    seen = []
    for answer in client.follow(7):
        seen.append((answer.counts.ended, answer.finished))
        if backend.followers == 1 and len(seen) == 1:
            backend.set_batch(7, queued=1, succeeded=1)
        elif len(seen) == 2:
            backend.set_batch(7, succeeded=1, failed=1)
    assert seen == [(0, False), (1, False), (2, True)]
    assert backend.max_followers == 1
    wait_for(lambda: backend.followers == 0, "no client follows any more")


def test_a_follower_that_goes_away_is_no_longer_counted(backend: FakeBackend, client: Client) -> None:
    backend.set_batch(7, queued=2)
    lines = client.follow(7)
    next(lines)
    wait_for(lambda: backend.followers == 1, "one follows")
    lines.close()  # type: ignore[attr-defined]  # a generator
    wait_for(lambda: backend.followers == 0, "no client follows any more")


def test_waiting_for_a_batch_ends_early_on_completion(backend: FakeBackend, client: Client) -> None:
    backend.set_batch(7, queued=1)
    threading.Timer(0.2, lambda: backend.set_batch(7, succeeded=1)).start()
    began = time.monotonic()
    assert client.batch(7, wait=50).finished
    assert time.monotonic() - began < scaled(30)


def test_an_upload_that_broke_off_goes_on_where_it_stopped(server: Server, client: Client, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    head = (
        f"PUT /api/v1/files/{digest(content)}?offset=0&size={len(content)} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {read_token(tmp_path / '.ecloud')}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + content[:2_500_000])
    wait_for(lambda: bool(client.missing([digest(content)])[0].have), "a part of it has arrived")
    # The part that came is taken over by an ordinary push of the same file.
    path = tmp_path / "net.inp"
    path.write_bytes(content)
    path.with_name("tasks.json").write_text('[{"id": "a", "commands": [], "requirements": ["net.inp"]}]')
    found = read_file(path.with_name("tasks.json")).files
    files = [Sendable(file.path, file.sent.digest, file.sent.size) for file in found]
    wait_for(lambda: _free(client, digest(content)), "the upload is free")
    sent = send_files(client, files, lambda done, total: None)
    assert 0 < sent < len(content)
    assert client.missing([digest(content)]) == []
    assert (tmp_path / "spool" / digest(content)[3:]).read_bytes() == content


def _free(client: Client, digest: str) -> bool:
    """The broken connection was noticed: what is here does not grow any more."""
    before = client.missing([digest])[0].have
    time.sleep(0.1)
    return client.missing([digest])[0].have == before


def test_a_push_that_breaks_off_leaves_nothing(server: Server, backend: FakeBackend, state_directory: Path) -> None:
    head = (
        "POST /api/v1/batches HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\n"
        f"Authorization: Bearer {read_token(state_directory)}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    body = b'{"version":1}\n{"id":"a"}\n'
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + b"%x\r\n%s\r\n" % (len(body), body))
    time.sleep(0.3)
    assert backend.asked == []


def test_a_graph_of_many_tasks_is_streamed(backend: FakeBackend, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    path.write_text("[" + ",".join(f'{{"id":"{n}","commands":["true"]}}' for n in range(20_000)) + "]")
    accepted = client.submit(encode_stream(read_file(path)))
    assert accepted.done["tasks"] == 20_000


def test_an_early_refusal_reaches_a_client_that_is_still_sending(client: Client) -> None:
    def endless() -> Iterator[bytes]:
        yield b'{"version": 9}\n'
        for _ in range(200):
            yield b" " * 100_000 + b"\n"

    with pytest.raises(RequestRefusedError) as refused:
        client.submit(endless())
    assert refused.value.status == 400
    assert "version 9" in refused.value.details[0]


def test_a_page_open_in_a_browser_cannot_submit(server: Server, state_directory: Path, backend: FakeBackend) -> None:
    headers = {
        "authorization": f"Bearer {read_token(state_directory)}",
        "origin": "http://evil.example",
        "content-type": "application/x-ndjson",
    }
    answer = httpx.post(f"{server.url}/api/v1/batches", content=b'{"version":1}\n{"id":"a"}\n', headers=headers)
    assert (answer.status_code, backend.asked) == (403, [])


def test_the_server_ends_while_a_client_follows(backend: FakeBackend, state_directory: Path) -> None:
    backend.set_batch(7, queued=2)
    running = serve(make_app(backend, ["t"]))
    with closing(Client(running.url, "t")) as client:
        lines = client.follow(7)
        next(lines)
        running.stop()
        assert [answer.finished for answer in lines] in ([], [False])
        with pytest.raises(NoAnswerError):
            client.status()
    assert not any(thread.name == "http" and thread.is_alive() for thread in threading.enumerate())
