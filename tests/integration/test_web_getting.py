"""`admin.py get`, `ls` and `du` against a boss's HTTP API over real sockets, and what can go wrong on the way."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import admin
from boss.api.app import make_app
from boss.api.local_tree import BLOBS, LocalTree
from boss.api.schema import ResultAnswer
from boss.api.serve import Server
from boss.client import download
from boss.client.client import Client, NoAnswerError
from boss.client.download import PARTS, Got, get_results
from boss.state_directory.boss_file import announce, withdraw
from boss.state_directory.tokens import ensure_token
from tests.worlds.api import TOKEN, FakeBackend, serve
from tests.worlds.digests import digest
from tests.worlds.results import result

LARGE = b"0123456789" * 300_000
FILES = {
    "a b.csv": b"1,2\n",
    "runs/1/out": b"",
    "runs/1/large.bin": LARGE,
    "runs/2/ü'\"*.txt": b"two",
    "runs/3/x": b"1",
}


@pytest.fixture
def backend(tmp_path: Path) -> FakeBackend:
    made = FakeBackend(tmp_path)
    made.reads.results = [result(name, content, task) for task, (name, content) in enumerate(FILES.items(), 1)]
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "tree" / BLOBS).mkdir(parents=True)
    return tmp_path / "tree"


@pytest.fixture
def server(backend: FakeBackend, root: Path) -> Iterator[Server]:
    running = serve(make_app(backend, [TOKEN], tree=LocalTree(root)))
    yield running
    running.stop()


def visible(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def fetch(server: Server, directory: Path, match: str = "") -> Got:
    client = Client(server.url, TOKEN)
    try:
        return get_results(client.another, list(client.results("default", match)), directory, lambda *_: None)
    finally:
        client.close()


def test_all_results_land_under_their_names_and_nothing_else(server: Server, tmp_path: Path) -> None:
    got = fetch(server, tmp_path / "here")
    assert (got.fetched, got.there, got.failed) == (5, 0, [])
    assert visible(tmp_path / "here") == FILES
    assert got.bytes == sum(map(len, FILES.values()))


def test_what_is_there_is_left_alone_and_what_differs_is_replaced(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path / "here")
    (tmp_path / "here/a b.csv").write_bytes(b"3,4\n")
    before = (tmp_path / "here/runs/3/x").stat().st_ino
    got = fetch(server, tmp_path / "here")
    assert (got.fetched, got.there, got.bytes) == (1, 4, 4)
    assert (tmp_path / "here/runs/3/x").stat().st_ino == before
    assert visible(tmp_path / "here") == FILES


def test_one_that_broke_off_goes_on(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take = download._Run._take

    def broken(run: object, pieces: Iterator[bytes], part: int, wanted: ResultAnswer) -> None:
        os.write(part, next(iter(pieces))[:1000])
        raise NoAnswerError("cut")

    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(download, "TRIES", 1)
    monkeypatch.setattr(download._Run, "_take", broken)
    with pytest.raises(NoAnswerError):
        fetch(server, tmp_path / "here", "runs/1/large.bin")
    (part,) = (tmp_path / "here" / PARTS).iterdir()
    assert part.stat().st_size == 1000 and len(visible(tmp_path / "here")) == 1
    monkeypatch.setattr(download._Run, "_take", take)
    got = fetch(server, tmp_path / "here", "runs/1/large.bin")
    assert got.bytes == len(LARGE) - 1000
    assert visible(tmp_path / "here") == {"runs/1/large.bin": LARGE}


def test_a_damaged_part_is_found_out_and_the_next_try_is_right(server: Server, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    fetch(server, tmp_path / "other", "runs/3/x")
    wanted = ResultAnswer(
        project="default", name="runs/1/large.bin", size=len(LARGE), digest=digest(LARGE), task="t", number=3,
        attempt=1, time=0.0,
    )  # fmt: skip
    run = download._Run([], tmp_path / "here", lambda *_: None)
    (tmp_path / "here" / PARTS).mkdir()
    with pytest.raises(download._OneFileError):
        client = Client(server.url, TOKEN)
        fill = run._fill
        try:
            run._fill = lambda c, r, part: (os.write(part, b"damaged"), fill(c, r, part))  # type: ignore[method-assign,assignment,func-returns-value]
            run._fetch(client, wanted, tmp_path / "here/x")
        finally:
            client.close()
    assert visible(tmp_path / "here") == {}
    assert fetch(server, tmp_path / "here", wanted.name).failed == []


def test_one_file_that_cannot_be_had_does_not_hold_up_the_others(server: Server, root: Path, tmp_path: Path) -> None:
    (root / "runs/3/x").write_bytes(b"changed manually")
    (tmp_path / "here/a b.csv").mkdir(parents=True)
    got = fetch(server, tmp_path / "here")
    assert got.fetched == 3
    done = "\n".join(sorted(got.failed))
    assert "a file or folder is in its way" in done and "runs/3/x" in done and "holds other content" in done


def test_thousands_of_small_results_come_in_few_requests(
    backend: FakeBackend, server: Server, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {f"many/{number % 7}/{number}": b"%d" % number for number in range(1000)}
    for name, content in many.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    backend.reads.results = [result(name, content) for name, content in many.items()]
    (root / "many/3/10").unlink()
    alone: list[str] = []
    one = download._Run._one

    def noted(run: download._Run, client: Client, each: ResultAnswer) -> None:
        alone.append(each.name)
        one(run, client, each)

    monkeypatch.setattr(download._Run, "_one", noted)
    got = fetch(server, tmp_path / "here")
    assert (got.fetched, len(got.failed), alone) == (999, 1, ["many/3/10"])
    del many["many/3/10"]
    assert visible(tmp_path / "here") == many
    assert fetch(server, tmp_path / "here").there == 999


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b", "a//b", "", ".", f"{PARTS}/x", "a\0b"])
def test_a_name_of_a_hostile_boss_never_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    with pytest.raises(download._OneFileError):
        download.place_of(tmp_path, name)


def test_a_boss_that_goes_away_ends_it_with_its_address(server: Server, tmp_path: Path) -> None:
    client = Client(server.url, TOKEN)
    results = list(client.results("default"))
    server.stop()
    getting_fast = pytest.MonkeyPatch()
    getting_fast.setattr(download, "PAUSE_SECONDS", 0.0)
    with pytest.raises(NoAnswerError, match=r"http://127"):
        get_results(client.another, results, tmp_path / "here", lambda *_: None)
    getting_fast.undo()
    client.close()


# --- the commands ------------------------------------------------------------------------------------


@pytest.fixture
def beside(server: Server, backend: FakeBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory whose boss this is."""
    state = tmp_path / ".ecloud"
    state.mkdir()
    (state / "logins").mkdir()
    (state / "logins/http_token").write_text(TOKEN)
    assert ensure_token(state) == TOKEN
    announce(state, server.url)
    monkeypatch.setenv("ECLOUD_HOME", str(state))
    yield tmp_path
    withdraw(state)


def run(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(admin.app, list(arguments))
    assert done.exit_code == code, (done.output, done.stderr, done.exception)
    return done


def test_get_fetches_names_folders_and_patterns(beside: Path) -> None:
    here = beside / "here"
    done = run("get", "a b.csv", "runs/1", "runs/*/x", str(here))
    assert done.stdout == f"4 files fetched (3.0 MB): {here}\n"
    assert set(visible(here)) == {"a b.csv", "runs/1/out", "runs/1/large.bin", "runs/3/x"}
    again = json.loads(run("get", "**", str(here), "--json").stdout)
    assert (again["fetched"], again["there"], again["failed"], again["exit_code"]) == (1, 4, [], 0)
    assert "existed already" in run("get", "--batch", "1", str(here)).stdout


def test_get_tells_what_it_cannot_do(beside: Path) -> None:
    assert "no result" in run("get", "nothing/*", str(beside / "here"), code=2).stderr
    assert "name results" in run("get", str(beside / "here"), code=2).stderr
    assert "there is no batch 9" in run("get", "--batch", "9", str(beside / "here"), code=2).stderr
    assert not (beside / "here").exists()
    (beside / "tree/runs/3/x").unlink()
    done = run("get", "**", str(beside / "here"), code=1)
    assert "runs/3/x: " in done.stderr and done.stdout.startswith("4 files fetched")
    (beside / "file").write_text("")
    assert "file" in run("get", "runs/1/out", str(beside / "file"), code=1).stderr


def test_ls_lists_and_shows_control_characters(beside: Path, backend: FakeBackend) -> None:
    backend.reads.results.append(result("runs/\x1b[31m", b"", 9))
    assert run("ls").stdout.splitlines() == [*FILES, "runs/\\x1b[31m"]
    backend.reads.results.append(result("runs/0", b"", 9))
    assert run("ls").stdout.splitlines()[-2:] == ["runs/\\x1b[31m", "runs/0"], "of one task by name"
    assert run("ls", "runs/2").stdout == "runs/2/ü'\"*.txt\n"
    (line,) = run("ls", "-l", "a b.csv").stdout.splitlines()
    assert line.split()[0] == "4" and digest(b"1,2\n") in line and line.endswith("a b.csv")
    (done,) = json.loads(run("ls", "--json", "runs/3/x").stdout)
    assert (done["size"], done["task"]) == (1, "t5")


def test_ls_and_du_of_what_is_not_there_say_so(beside: Path, backend: FakeBackend) -> None:
    for wanted in ("run", "runs/*.csv"):
        assert f"no result of project 'default' is called or matches '{wanted}'" in run("ls", wanted, code=2).stderr
    assert run("ls", "run", "--json", code=2).stdout == ""
    assert "is in a folder 'run'" in run("du", "runs", "run", code=2).stderr
    for_all, for_the_top = (run("du", *folder).stdout.splitlines() for folder in ([], ["."]))
    assert for_the_top[:-1] == for_all[:-1]  # the last line is what is free, which others change meanwhile
    assert for_all[-1].startswith("Free on the datastore's disk: ")
    backend.reads.results.clear()
    assert run("ls").stdout == "" and "0 files" in run("du").stdout


def test_du_sums_and_tells_the_room(beside: Path) -> None:
    lines = run("du").stdout.splitlines()
    assert "5 files" in lines[1] and lines[1].endswith(". in all")
    assert lines[-1].startswith("Free on the datastore's disk: ")
    assert json.loads(run("du", "runs", "--json").stdout)["runs"]["files"] == 4
