"""Idle connections of the HTTP API, with and without a token: bounded in time and number, and never in the way of a
client that has something to say."""

from __future__ import annotations

import http.client
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from boss.api import connections
from boss.api.app import make_app
from boss.api.serve import Server
from boss.client.client import Client
from tests.worlds.api import FakeBackend, serve
from tests.worlds.deployment import TOP, Deployment, deployment
from tests.worlds.waiting import scaled, wait_for

__all__ = ["deployment"]

TOKEN = "right"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(connections, "MAX_UNKNOWN", 20)
    running = serve(make_app(FakeBackend(tmp_path), [TOKEN]))
    yield running
    running.stop()


def opened(server: Server, said: bytes = b"") -> socket.socket:
    made = socket.create_connection((server.host, server.port), timeout=scaled(20))
    made.sendall(said)
    return made


def is_closed(connection: socket.socket) -> bool:
    """The server has ended it: what it still had to say is read first."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionResetError:
        pass
    return True


def status_of(server: Server, token: str = TOKEN) -> int:
    client = http.client.HTTPConnection(server.host, server.port, timeout=scaled(20))
    try:
        client.request("GET", "/api/v1/status", headers={"Authorization": f"Bearer {token}"})
        return client.getresponse().status
    finally:
        client.close()


BODY = (
    b"POST /api/v1/batches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /api/v1/status HTTP/1.1\r\nHost: local",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET /",
        BODY + b"{",
    ],
    ids=["nothing", "part of a head", "a head after a request", "part of a body that is not read"],
)
def test_a_connection_that_says_no_more_is_closed(server: Server, said: bytes) -> None:
    with opened(server, said) as connection:
        assert is_closed(connection)


def test_those_without_a_token_are_few_and_one_with_a_token_is_answered(server: Server) -> None:
    with ExitStack() as ends:
        idle = [ends.enter_context(opened(server)) for _ in range(60)]
        assert status_of(server) == 200
        for connection in idle[:20]:
            assert is_closed(connection), "the oldest make room, before their time is over"
        assert status_of(server, "wrong") == 401


def test_a_connection_with_a_token_is_not_among_those_that_make_room(server: Server) -> None:
    mine = http.client.HTTPConnection(server.host, server.port, timeout=scaled(20))
    mine.request("GET", "/api/v1/status", headers={"Authorization": f"Bearer {TOKEN}"})
    assert mine.getresponse().read()
    with ExitStack() as ends:
        for _ in range(60):
            ends.enter_context(opened(server))
        assert mine.sock is not None, "it is the same connection"
        mine.request("GET", "/api/v1/status", headers={"Authorization": f"Bearer {TOKEN}"})
        assert mine.getresponse().status == 200
    mine.close()


def test_with_few_descriptors_and_many_idle_connections_the_boss_answers(deployment: Deployment) -> None:
    """The hard limit is one that no program can raise."""
    few = [sys.executable, "-c", "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); "
           "os.execv(sys.executable, [sys.executable, '-P', '-m', 'boss'])"]  # fmt: skip
    (deployment.home / "logs").mkdir(mode=0o700, parents=True)
    with open(deployment.home / "logs" / "boss.log", "a") as log:
        boss = subprocess.Popen(
            few,
            cwd=deployment.directory,
            env={**deployment.environment(), "PYTHONPATH": str(TOP)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    deployment._started.append(boss)
    wait_for(lambda: deployment._answers(boss), "the boss answers")
    port = int(json.loads((deployment.home / "boss.json").read_text())["url"].rpartition(":")[2])
    with ExitStack() as ends:
        for _ in range(600):
            ends.enter_context(socket.create_connection(("127.0.0.1", port), timeout=scaled(20)))
        assert deployment.look(Client.status)["running"]
        assert deployment.look(Client.status)["running"]
    assert len(os.listdir(f"/proc/{boss.pid}/fd")) < 256


def test_programs_raise_their_limit_and_tasks_have_the_one_that_the_user_had(deployment: Deployment) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    soft, raised = 777, min(hard, 65_536)
    tasks = [
        {"id": "line", "commands": ["ulimit -S -n > out"], "results": [["out", "line"]]},
        {"id": "list", "commands": [["sh", "-c", "sleep 0.3; ulimit -S -n > out"]], "results": [["out", "list"]]},
    ]
    path = deployment.write("tasks.json", tasks)
    script = f'ulimit -S -n {soft}; exec "$0" push_tasks.py --detach "$1"'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable, str(path)],
        cwd=TOP,
        env=deployment.environment(),
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wait_for(lambda: deployment.look(Client.status)["succeeded"] == 2, "both have succeeded", 60)
    assert [(deployment.tree / name).read_text().strip() for name in ("line", "list")] == [str(soft)] * 2
    for role in ("boss", "worker", "datastore"):
        limits = Path(f"/proc/{deployment.pid(role)}/limits").read_text()
        [line] = [line for line in limits.splitlines() if line.startswith("Max open files")]
        assert line.split()[3] == str(raised), f"{role}: {line}"
