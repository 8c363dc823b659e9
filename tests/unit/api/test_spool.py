"""Files sent with pushes: in parts, verified, bounded."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from boss.api.spool import Spool, SpoolBusyError, SpoolContentError, SpoolFullError, blob_path
from tests.worlds.api import FakeBackend, inside
from tests.worlds.digests import digest

CONTENT = b"a network\n" * 1000
BYTES = {"content-type": "application/octet-stream"}


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", 20_000)


@pytest.fixture
def client(tmp_path: Path) -> httpx.Client:
    return inside(FakeBackend(tmp_path), spool_limit_bytes=20_000)


def put(client: httpx.Client, content: bytes, offset: int = 0, name: str = "", size: int = -1) -> httpx.Response:
    """The bytes of `content` from `offset` on."""
    query = {"offset": offset, "size": len(content) if size < 0 else size}
    return client.put(f"/files/{name or digest(content)}", params=query, content=content[offset:], headers=BYTES)


def test_a_file_is_kept_under_its_digest_once_it_is_whole(tmp_path: Path, client: httpx.Client) -> None:
    assert put(client, CONTENT).json() == {"digest": digest(CONTENT), "have": len(CONTENT), "complete": True}
    path = blob_path(tmp_path / "spool", digest(CONTENT))
    assert path.read_bytes() == CONTENT
    assert os.listdir(tmp_path / "spool") == [path.name]


def test_an_empty_file_can_be_sent(client: httpx.Client) -> None:
    assert put(client, b"").json()["complete"] is True
    assert client.post("/files/missing", json={"digests": [digest(b"")]}).json() == {"missing": []}


def test_missing_names_what_is_not_here_and_how_far_it_is(spool: Spool, client: httpx.Client) -> None:
    put(client, CONTENT)
    with spool.upload(digest(b"half"), 0, 4) as upload:
        upload.write(b"ha")
        assert upload.close() is False
    asked = [digest(CONTENT), digest(b"half"), digest(b"none"), digest(b"none")]
    assert client.post("/files/missing", json={"digests": asked}).json()["missing"] == [
        {"digest": digest(b"half"), "have": 2},
        {"digest": digest(b"none"), "have": 0},
    ]
    assert client.get(f"/files/{digest(b'half')}").json() == {
        "digest": digest(b"half"),
        "have": 2,
        "complete": False,
    }
    assert client.get(f"/files/{digest(b'none')}").status_code == 404


def test_sending_goes_on_where_it_broke_off_and_nowhere_else(spool: Spool, client: httpx.Client) -> None:
    with spool.upload(digest(CONTENT), 0, len(CONTENT)) as upload:
        upload.write(CONTENT[:3000])
        upload.abandon()
    for offset in (0, 2999, 3001):
        answer = put(client, CONTENT, offset)
        assert (answer.status_code, "3,000 bytes" in answer.json()["error"]) == (409, True)
    assert put(client, CONTENT, 3000).json()["complete"] is True


def test_content_that_is_not_what_its_digest_says_is_thrown_away(client: httpx.Client) -> None:
    answer = put(client, CONTENT, name=digest(b"other"))
    assert answer.status_code == 400
    assert client.get(f"/files/{digest(b'other')}").status_code == 404
    longer = put(client, CONTENT, size=10)
    assert longer.status_code == 400


def test_a_file_that_is_here_already_may_be_sent_again(client: httpx.Client) -> None:
    put(client, CONTENT)
    assert put(client, CONTENT, len(CONTENT)).json()["complete"] is True


@pytest.mark.parametrize("name", ["b2:xyz", "..", "b2:" + "0" * 63, "b2:" + "A" * 64, "sha256:" + "0" * 64])
def test_what_is_no_digest_is_refused(client: httpx.Client, name: str) -> None:
    assert put(client, CONTENT, name=name).status_code in (400, 404)
    assert client.post("/files/missing", json={"digests": [name]}).status_code == 400


def test_a_full_spool_is_reported_with_507_and_counts_what_is_under_way(spool: Spool, client: httpx.Client) -> None:
    put(client, CONTENT)
    answer = put(client, CONTENT + CONTENT)
    assert answer.status_code == 507
    assert "spool_limit_bytes" in answer.json()["error"]
    with (
        spool.upload(digest(b"first"), 0, 9000),
        pytest.raises(SpoolFullError),
        spool.upload(digest(b"second"), 0, 9000),
    ):
        pass


def test_one_file_is_sent_by_one_sender_at_a_time(spool: Spool) -> None:
    with spool.upload(digest(CONTENT), 0, 10), pytest.raises(SpoolBusyError), spool.upload(digest(CONTENT), 0, 10):
        pass
    with spool.upload(digest(CONTENT), 0, 10):
        pass


def test_a_disk_that_is_full_is_reported(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with spool.upload(digest(CONTENT), 0, 10) as upload:
        with pytest.raises(SpoolFullError, match="full"):
            upload.write(b"1234567890")
        upload.abandon()


def test_sweeping_takes_what_is_old_and_not_wanted(spool: Spool) -> None:
    for content in (b"wanted", b"new", b"old"):
        with spool.upload(digest(content), 0, len(content)) as upload:
            upload.write(content)
            upload.close()
        age = 1000 if content == b"new" else 10
        os.utime(blob_path(spool.directory, digest(content)), (age, age))
    with spool.upload(digest(b"part"), 0, 4) as upload:
        upload.write(b"pa")
        upload.close()
    part = blob_path(spool.directory, digest(b"part"))
    os.utime(part.with_name(part.name + ".part"), (10, 10))
    assert sorted(spool.sweep({digest(b"wanted")}, 500)) == sorted([digest(b"old"), digest(b"part")])
    assert spool.has(digest(b"wanted")) and spool.has(digest(b"new"))


def test_wrong_content_leaves_nothing(spool: Spool) -> None:
    with spool.upload(digest(b"right"), 0, 5) as upload:
        upload.write(b"wrong")
        with pytest.raises(SpoolContentError):
            upload.close()
    assert os.listdir(spool.directory) == []
