"""Who is accepted by the HTTP API."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from boss.api import guard
from boss.api.app import make_app
from boss.client.in_process_transport import InProcessTransport
from tests.worlds.api import TOKEN, FakeBackend, inside


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> httpx.Client:
    monkeypatch.setattr(guard, "_WRONG_DELAY_SECONDS", 0.0)
    return inside(FakeBackend(tmp_path))


def test_the_right_token_is_accepted(client: httpx.Client) -> None:
    assert client.get("/status").status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"])
def test_every_other_token_is_refused(client: httpx.Client, header: str) -> None:
    answer = client.get("/status", headers={"authorization": header})
    assert answer.status_code == 401
    assert "token" in answer.json()["error"]
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_token_with_odd_bytes_is_refused(client: httpx.Client) -> None:
    answer = client.get("/status", headers=[(b"authorization", b"Bearer \xff\xfe")])
    assert answer.status_code == 401


def test_many_wrong_tokens_are_answered_shortly_and_the_right_one_still_is_accepted(client: httpx.Client) -> None:
    answers = [client.get("/status", headers={"authorization": "Bearer x"}).status_code for _ in range(25)]
    assert answers[:20] == [401] * 20
    assert answers[-1] == 429
    assert client.get("/status").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:80", "10.0.0.1", ""])
def test_a_foreign_host_is_refused_even_with_the_token(client: httpx.Client, host: str) -> None:
    assert client.get("/status", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:9", "LOCALHOST:1"])
def test_loopback_names_are_accepted_on_any_port(client: httpx.Client, host: str) -> None:
    assert client.get("/status", headers={"host": host}).status_code == 200


def test_a_configured_host_is_accepted(tmp_path: Path) -> None:
    client = inside(FakeBackend(tmp_path), allowed_hosts=["Boss.example"])
    assert client.get("/status", headers={"host": "boss.example:80"}).status_code == 200


@pytest.mark.parametrize(
    ("address", "host", "code"),
    [
        ("10.0.0.7", "10.0.0.7:80", 200),
        ("fd00::1", "[fd00::1]:80", 200),
        ("10.0.0.7", "10.0.0.8:80", 403),
        ("evil.example", "evil.example", 403),
    ],
)
def test_the_address_at_which_a_connection_came_in_is_a_name_of_the_boss(
    tmp_path: Path, address: str, host: str, code: int
) -> None:
    app = make_app(FakeBackend(tmp_path), [TOKEN])

    async def at_that_address(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "server": (address, 80)}, receive, send)

    headers = {"authorization": f"Bearer {TOKEN}", "host": host}
    with httpx.Client(transport=InProcessTransport(at_that_address), headers=headers) as client:
        assert client.get("http://localhost/api/v1/status").status_code == code


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://localhost", "http://localhost:8000"])
def test_a_foreign_origin_is_refused_even_with_the_token(client: httpx.Client, origin: str) -> None:
    answer = client.post("/retry", json={"all": True}, headers={"origin": origin})
    assert answer.status_code == 403


def test_the_own_origin_is_accepted(client: httpx.Client) -> None:
    assert client.get("/status", headers={"origin": "http://localhost"}).status_code == 200


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_change_of_a_type_that_a_form_can_send_is_refused(client: httpx.Client, kind: str) -> None:
    answer = client.post("/retry", content=b'{"all": true}', headers={"content-type": kind})
    assert answer.status_code == 415


def test_answers_may_be_neither_framed_nor_cached_nor_guessed_at(client: httpx.Client) -> None:
    headers = client.get("/status").headers
    assert (headers["x-frame-options"], headers["cache-control"]) == ("DENY", "no-store")
    assert headers["x-content-type-options"] == "nosniff"


def test_an_application_without_a_token_cannot_be_made(tmp_path: Path) -> None:
    from boss.api.app import make_app

    with pytest.raises(ValueError, match="token"):
        make_app(FakeBackend(tmp_path), [""])
