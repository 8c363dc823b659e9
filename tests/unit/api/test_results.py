"""Results over HTTP: lists, content of exactly the version that the database names, room; the token for files only."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from boss.api import from_datastore, guard, local_tree, responses
from boss.api.from_datastore import ResultFetcher
from boss.api.handlers.results import fitting
from boss.api.local_tree import BLOBS, LocalTree
from boss.api.result_bundle import RESULT_BYTES, ResultBundleError, packed, unpacked
from boss.api.spool import Spool
from boss.core.effects import Answer
from boss.core.events import SendAsked
from boss.core.reasons import Rejection, RejectionKind
from boss.database.views import ResultLine
from tests.worlds.api import FakeBackend, inside
from tests.worlds.digests import digest
from tests.worlds.results import CONTENT, result
from tests.worlds.waiting import scaled

BYTES = {"content-type": "application/octet-stream"}
FILES_TOKEN = "good-for-files"


@pytest.fixture
def backend(tmp_path: Path) -> FakeBackend:
    made = FakeBackend(tmp_path)
    made.reads.results = [result(f"out/{task}/{name}", task=task) for task in (1, 2, 3) for name in ("a.csv", "b.txt")]
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    (path / BLOBS).mkdir(parents=True)
    (path / "out" / "1").mkdir(parents=True)
    (path / "out/1/a.csv").write_bytes(CONTENT)
    return path


@pytest.fixture
def client(backend: FakeBackend, root: Path) -> httpx.Client:
    return inside(backend, tree=LocalTree(root))


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["name"] for each in answer.json()["results"]]


# --- lists -------------------------------------------------------------------------------------------


def test_results_come_page_by_page(client: httpx.Client) -> None:
    seen, after = [], ""
    while True:
        answer = client.get("/results", params={"limit": 4, "after": after})
        seen += names(answer)
        after = answer.json()["next"]
        if after is None:
            break
    assert seen == [f"out/{task}/{name}" for task in (1, 2, 3) for name in ("a.csv", "b.txt")]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("out/2/a.csv", 1), ("out/2", 2), ("out/*/a.csv", 3), ("out/?", 6), ("**", 6), ("**/*.txt", 3), ("", 6),
        (".", 6), ("*.csv", 0), ("out/[12]/b.txt", 2), ("ou", 0), ("out/", 6),
    ],
)  # fmt: skip
def test_names_folders_and_patterns_are_matched(client: httpx.Client, match: str, expected: int) -> None:
    assert len(names(client.get("/results", params={"match": match}))) == expected


def test_a_name_that_looks_like_a_pattern_means_itself_first(backend: FakeBackend, client: httpx.Client) -> None:
    backend.reads.results.append(result("out/[1]/a.csv"))
    assert names(client.get("/results", params={"match": "out/[1]/a.csv"})) == ["out/[1]/a.csv"]


def test_results_of_a_batch_or_a_task_only(client: httpx.Client) -> None:
    assert len(names(client.get("/results", params={"batch": 1}))) == 6
    assert names(client.get("/results", params={"task": "make", "match": "**/*.csv"})) == ["out/1/a.csv"]
    assert client.get("/results", params={"batch": 9}).status_code == 404
    assert client.get("/results", params={"task": "mak"}).status_code == 404
    assert client.get("/results", params={"task": "make", "batch": 1}).status_code == 400
    assert client.get("/results", params={"after": "x"}).status_code == 400


def test_a_folder_is_no_beginning_of_a_name() -> None:
    assert not fitting("out")("output")
    assert fitting("out")("out/x")


# --- content -----------------------------------------------------------------------------------------


def test_the_content_comes_whole_or_from_an_offset_on(client: httpx.Client) -> None:
    whole = client.get("/results/default/out/1/a.csv")
    assert (whole.content, whole.headers["etag"]) == (CONTENT, f'"{digest(CONTENT)}"')
    rest = client.get("/results/default/out/1/a.csv", headers={"range": "bytes=5990-"})
    assert (rest.status_code, rest.content) == (206, CONTENT[5990:])
    assert rest.headers["content-range"] == "bytes 5990-5999/6000"
    for wrong in ("bytes=6001-", "bytes=0-5", "lines=3-"):
        assert client.get("/results/default/out/1/a.csv", headers={"range": wrong}).status_code == 416


@pytest.mark.parametrize("name", ["a\nb", "ends\n", " x ", "%2F?#&", "ü/'\"/-", "[1]*"])
def test_awkward_names_are_found(backend: FakeBackend, client: httpx.Client, root: Path, name: str) -> None:
    backend.reads.results.append(result(name))
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(CONTENT)
    assert client.get(f"/results/default/{quote(name)}").content == CONTENT


def test_large_content_comes_in_pieces(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "_PIECE_BYTES", 1000)
    assert client.get("/results/default/out/1/a.csv").content == CONTENT
    answer = client.get("/results/default/out/1/a.csv", headers={"range": "bytes=100-"})
    assert answer.content == CONTENT[100:]


def test_no_descriptor_stays_open(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "_PIECE_BYTES", 1000)
    client.get("/results/default/out/1/a.csv")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        client.get("/results/default/out/1/a.csv")
        client.get("/results/default/out/1/a.csv", headers={"range": "bytes=9999-"})
        client.get("/results/default/out/1/b.txt")
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_version_of_the_row_is_given_and_no_other(client: httpx.Client, root: Path) -> None:
    (root / "out/1/a.csv").write_bytes(b"x" * len(CONTENT))  # as large as what the task left
    answer = client.get("/results/default/out/1/a.csv")
    assert (answer.status_code, "holds other content" in answer.json()["error"]) == (409, True)
    (root / BLOBS / digest(CONTENT)[3:]).write_bytes(CONTENT)
    assert client.get("/results/default/out/1/a.csv").content == CONTENT
    (root / "out/1/a.csv").unlink()
    assert client.get("/results/default/out/1/a.csv").content == CONTENT
    (root / BLOBS / digest(CONTENT)[3:]).unlink()
    assert "is not there any more" in client.get("/results/default/out/1/a.csv").json()["error"]


def test_links_devices_and_escapes_are_never_followed(
    backend: FakeBackend, client: httpx.Client, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    backend.reads.results += [
        result(name) for name in ("link", "folder/secret", "pipe", "../secret", str(tmp_path / "secret"))
    ]
    for line in backend.reads.results[6:]:
        answer = client.get(f"/results/default/{line.name.replace('..', '%2E%2E')}")
        assert answer.status_code in (404, 409), line.name


def test_a_result_that_was_made_again_meanwhile_is_reported(client: httpx.Client) -> None:
    answer = client.get("/results/default/out/1/a.csv", params={"digest": digest(b"old")})
    assert (answer.status_code, "written again" in answer.json()["error"]) == (409, True)
    assert client.get("/results/default/none").status_code == 404


def test_without_a_boss_content_elsewhere_is_reported_to_need_one(backend: FakeBackend) -> None:
    answer = inside(backend).get("/results/default/out/1/a.csv")
    assert (answer.status_code, "no boss runs" in answer.json()["error"]) == (503, True)


def test_a_small_file_is_read_for_its_digest_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(root / "out/1/a.csv", (1000, 1000))
    known = LocalTree(root)
    for _ in range(3):
        os.close(known.open_version("out/1/a.csv", digest(CONTENT), len(CONTENT)))
    monkeypatch.setattr(local_tree, "digest_of", lambda _file: pytest.fail("read again"))
    os.close(known.open_version("out/1/a.csv", digest(CONTENT), len(CONTENT)))


def test_usage_tells_sums_and_room(client: httpx.Client, root: Path) -> None:
    (root / BLOBS / "aa").write_bytes(b"12345")
    usage = client.get("/usage").json()
    assert (usage["files"], usage["bytes"], usage["kept_files"], usage["kept_bytes"]) == (6, 36_000, 1, 5)
    assert usage["free_bytes"] > 0


# --- many at once ------------------------------------------------------------------------------------


def bundle(client: httpx.Client, *asked: ResultLine) -> dict[int, bytes]:
    items = [{"name": line.name, "digest": line.digest} for line in asked]
    answer = client.post("/results/bundle", json={"results": items})
    assert answer.status_code == 200, answer.text
    return dict(unpacked([answer.content]))


def test_small_results_come_together_and_what_cannot_is_left_out(
    backend: FakeBackend, client: httpx.Client, root: Path
) -> None:
    large = result("large", b"x" * (RESULT_BYTES + 1))
    more = [large, result("gone"), result("empty", b"")]
    backend.reads.results += more
    (root / "large").write_bytes(b"x" * (RESULT_BYTES + 1))
    (root / "empty").write_bytes(b"")
    known = backend.reads.results[0]
    old = result(known.name, b"another")
    assert bundle(client, known, *more, old, known) == {0: CONTENT, 3: b"", 5: CONTENT}
    assert client.post("/results/bundle", json={"results": [{"name": "a", "digest": "b"}] * 501}).status_code == 413


def test_a_bundle_is_read_in_whatever_pieces_it_comes() -> None:
    whole = b"".join(packed(at, content) for at, content in enumerate((b"", b"\n\n", b"abc" * 100)))
    for size in (1, 2, 7, len(whole)):
        pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
        assert list(unpacked(pieces)) == [(0, b""), (1, b"\n\n"), (2, b"abc" * 100)]


@pytest.mark.parametrize(
    "pieces",
    [[b"x" * 1000], [b"{}\n"], [packed(0, b"abc")[:-1]], [b'{"at":0,"size":99999999999}\n'], [b'{"at":-1'] * 50],
)
def test_a_bundle_that_is_none_is_found_out(pieces: list[bytes]) -> None:
    with pytest.raises(ResultBundleError):
        list(unpacked(pieces))


# --- from a datastore elsewhere ----------------------------------------------------------------------


class ElsewhereBackend(FakeBackend):
    """Its datastore sends what it is asked for at once, into `fetching`."""

    fetching: ResultFetcher
    sends: bytes | None = CONTENT
    asked_for = 0

    def ask(self, event: object) -> Answer:  # type: ignore[override]
        assert isinstance(event, SendAsked)
        self.asked_for += 1
        if self.sends is None:
            return Answer(reply=0, rejections=[Rejection(RejectionKind.NOT_SENT, "it is gone")])
        with self.fetching.spool.upload(event.digest, 0, len(self.sends)) as upload:
            upload.write(self.sends)
            upload.close()
        return Answer(reply=0)


@pytest.fixture
def elsewhere(tmp_path: Path) -> ElsewhereBackend:
    made = ElsewhereBackend(tmp_path)
    made.reads.results = [result("out")]
    made.fetching = ResultFetcher(tmp_path / "outgoing", 10_000)
    return made


def test_content_elsewhere_is_fetched_once(elsewhere: ElsewhereBackend) -> None:
    client = inside(elsewhere, fetching=elsewhere.fetching)
    assert [client.get("/results/default/out").content for _ in range(2)] == [CONTENT, CONTENT]
    assert elsewhere.asked_for == 1


def test_small_results_elsewhere_come_together(elsewhere: ElsewhereBackend) -> None:
    client = inside(elsewhere, fetching=elsewhere.fetching)
    assert bundle(client, elsewhere.reads.results[0], result("none")) == {0: CONTENT}
    elsewhere.sends = None
    elsewhere.reads.results.append(result("other", b"other"))
    assert bundle(client, *elsewhere.reads.results) == {0: CONTENT}


def test_what_the_datastore_cannot_send_is_reported_and_asked_for_again(elsewhere: ElsewhereBackend) -> None:
    client = inside(elsewhere, fetching=elsewhere.fetching)
    elsewhere.sends = None
    answer = client.get("/results/default/out")
    assert (answer.status_code, answer.json()["error"].endswith("it is gone")) == (409, True)
    elsewhere.sends = CONTENT
    assert client.get("/results/default/out").content == CONTENT


def test_who_waited_long_is_asked_to_ask_again(elsewhere: ElsewhereBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setattr(from_datastore, "WAIT_SECONDS", 0.05)
    go = threading.Event()
    send = elsewhere.ask
    monkeypatch.setattr(elsewhere, "ask", lambda event: (go.wait(scaled(10)), send(event))[1])
    client = inside(elsewhere, fetching=elsewhere.fetching)
    for _ in range(3):
        answer = client.get("/results/default/out")
        assert (answer.status_code, answer.json()["have"]) == (202, 0)
    go.set()
    monkeypatch.setattr(from_datastore, "WAIT_SECONDS", 10)
    assert client.get("/results/default/out").content == CONTENT
    assert elsewhere.asked_for == 1


def test_what_was_fetched_longest_ago_makes_way(elsewhere: ElsewhereBackend) -> None:
    spool = elsewhere.fetching.spool
    for age, content in ((10, b"a" * 4000), (20, b"b" * 4000)):
        with spool.upload(digest(content), 0, 4000) as upload:
            upload.write(content)
            upload.close()
        os.utime(spool.directory / digest(content)[3:], (age, age))
    spool.free_space(digest(CONTENT), len(CONTENT))
    assert not spool.has(digest(b"a" * 4000)) and spool.has(digest(b"b" * 4000))


# --- the datastore's own door ------------------------------------------------------------------------


@pytest.fixture
def datastore(elsewhere: ElsewhereBackend, monkeypatch: pytest.MonkeyPatch) -> httpx.Client:
    monkeypatch.setattr(guard, "_WRONG_DELAY_SECONDS", 0.0)
    client = inside(elsewhere, fetching=elsewhere.fetching, files_tokens=[FILES_TOKEN])
    client.headers["authorization"] = f"Bearer {FILES_TOKEN}"
    return client


def test_the_datastore_fetches_what_was_sent_from_any_offset_on(
    elsewhere: ElsewhereBackend, datastore: httpx.Client
) -> None:
    with Spool(elsewhere.spool, 10_000).upload(digest(CONTENT), 0, len(CONTENT)) as upload:
        upload.write(CONTENT)
        upload.close()
    assert datastore.get(f"/blobs/{digest(CONTENT)}").content == CONTENT
    assert datastore.get(f"/blobs/{digest(CONTENT)}", headers={"range": "bytes=10-"}).content == CONTENT[10:]
    assert datastore.get(f"/blobs/{digest(b'none')}").status_code == 404
    assert datastore.get("/blobs/b2:xyz").status_code == 400


def test_the_datastore_sends_and_goes_on_sending(datastore: httpx.Client) -> None:
    path = f"/outgoing/{digest(CONTENT)}"
    assert datastore.get(path).status_code == 404
    first = datastore.put(path, params={"size": len(CONTENT)}, content=CONTENT[:100], headers=BYTES)
    assert first.json() == {"digest": digest(CONTENT), "have": 100, "complete": False}
    rest = datastore.put(path, params={"offset": 100, "size": len(CONTENT)}, content=CONTENT[100:], headers=BYTES)
    assert rest.json()["complete"] is True
    too_large = datastore.put(f"/outgoing/{digest(b'x')}", params={"size": 10**6}, content=b"", headers=BYTES)
    assert too_large.status_code == 507


def test_the_files_token_opens_nothing_else(datastore: httpx.Client) -> None:
    for path in ("/status", "/results", "/results/default/out", "/files/b2:x", "/blobs", "/usage", "/blobs/../status"):
        answer = datastore.request("GET", httpx.URL(f"http://localhost/api/v1{path}"))
        assert answer.status_code == 403, path
    assert datastore.post("/retry", json={"all": True}).status_code == 403
    assert datastore.get("/blobs/b2:x", headers={"authorization": f"Bearer {FILES_TOKEN}x"}).status_code == 401


def test_a_boss_with_its_datastore_on_this_disk_takes_nothing_from_one(client: httpx.Client) -> None:
    assert client.get(f"/outgoing/{digest(CONTENT)}").status_code == 409


# --- what need not be sent again ---------------------------------------------------------------------


def test_a_file_that_the_datastore_has_is_not_missing(backend: FakeBackend, root: Path) -> None:
    backend.reads.stored = {digest(CONTENT): len(CONTENT)}
    question = {"digests": [digest(CONTENT)]}
    assert inside(backend).post("/files/missing", json=question).json() == {"missing": []}
    here = inside(backend, tree=LocalTree(root))
    assert len(here.post("/files/missing", json=question).json()["missing"]) == 1, "it was emptied the tree"
    (root / BLOBS / digest(CONTENT)[3:]).write_bytes(CONTENT)
    assert here.post("/files/missing", json=question).json() == {"missing": []}
    (root / BLOBS / digest(CONTENT)[3:]).write_bytes(CONTENT[::-1])
    assert len(here.post("/files/missing", json=question).json()["missing"]) == 1, "it was edited it"
