"""Files of a worker: the input cache, manifests of results, the journal, the home and what a killed agent left."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.worlds.digests import digest
from tests.worlds.waiting import scaled
from wire.messages import Input, Outcome, ResultItem
from worker.attempt_files import FileThreads
from worker.cache import Cache, InputMissingError, PlacingError, place_all
from worker.home import Home, HomeError, remove_tree
from worker.journal import Journal
from worker.options import OptionError, read_options
from worker.results import ResultsError, list_results
from worker.runner.sessions import Sessions


def cached(cache: Cache, content: bytes, path: str = "net.inp", **more: bool) -> Input:
    name = digest(content)
    (cache.path / name[3:]).write_bytes(content)
    return Input(name=path, path=path, digest=name, size=len(content), **more)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 10**9)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


# -- cache ------------------------------------------------------------------------------------------


def test_an_input_is_copied_so_that_a_task_may_write_into_it(cache: Cache, work: Path) -> None:
    item = cached(cache, b"original", "deep/er/my file.inp", executable=True)
    cache.place(item, work)
    placed = work / "deep/er/my file.inp"
    assert placed.read_bytes() == b"original"
    assert os.access(placed, os.X_OK)
    placed.write_bytes(b"changed")
    other = work / "other"
    other.mkdir()
    cache.place(item, other)
    assert (other / "deep/er/my file.inp").read_bytes() == b"original"


def test_a_large_and_an_empty_input_arrive_whole(cache: Cache, work: Path) -> None:
    large = os.urandom(1024) * 5000
    cache.place(cached(cache, large, "large"), work)
    cache.place(cached(cache, b"", "empty"), work)
    assert (work / "large").read_bytes() == large
    assert (work / "empty").read_bytes() == b""


@pytest.mark.parametrize("verified_before", [False, True])
def test_a_damaged_input_is_removed_from_the_cache_and_reported_missing(
    cache: Cache, work: Path, verified_before: bool
) -> None:
    item = cached(cache, b"original")
    if verified_before:
        (work / "first").mkdir()
        cache.place(item, work / "first")
    (cache.path / item.digest[3:]).write_bytes(b"damaged!!")
    with pytest.raises(InputMissingError):
        cache.place(item, work)
    assert cache.contents() == []
    assert not (work / "net.inp").exists()


def test_all_missing_inputs_are_reported_at_once(cache: Cache, work: Path) -> None:
    there = cached(cache, b"a", "a")
    gone = [Input(name=name, path=name, digest=digest(name.encode())) for name in ("b", "c")]
    assert place_all(cache, [gone[0], there, gone[1]], work) == [item.digest for item in gone]
    assert (work / "a").exists()


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "", "a//b", "./a", "a\0b"])
def test_an_input_never_leaves_the_working_directory(cache: Cache, work: Path, path: str) -> None:
    with pytest.raises(PlacingError):
        cache.place(cached(cache, b"a", path), work)


def test_two_inputs_of_one_path_and_a_digest_that_is_none_are_refused(cache: Cache, work: Path) -> None:
    item = cached(cache, b"a")
    cache.place(item, work)
    with pytest.raises(PlacingError, match="two inputs"):
        cache.place(item, work)
    with pytest.raises(PlacingError, match="no digest"):
        cache.place(Input(name="x", path="x", digest="b2:../../etc/passwd"), work)


# -- results ----------------------------------------------------------------------------------------


def listed(work: Path, *names: str) -> dict[str, tuple[str, int, bool]]:
    items = [ResultItem(source=name, target=f"out/{name}") for name in names]
    return {entry.source: (entry.target, entry.size, entry.executable) for entry in list_results(work, items).manifest}


def test_results_are_listed_with_size_digest_and_executable_bit(work: Path) -> None:
    (work / "a b").write_bytes(b"hello")
    (work / "tool").write_bytes(b"#!")
    (work / "tool").chmod(0o755)
    assert listed(work, "a b", "tool") == {"a b": ("out/a b", 5, False), "tool": ("out/tool", 2, True)}
    (entry,), _ = list_results(work, [ResultItem(source="a b", target="x")])
    assert entry.digest == digest(b"hello")


def test_a_directory_is_listed_file_by_file(work: Path) -> None:
    (work / "d/e").mkdir(parents=True)
    (work / "d/e/f").write_bytes(b"1")
    (work / "d/g").write_bytes(b"22")
    assert listed(work, "d") == {"d/g": ("out/d/g", 2, False), "d/e/f": ("out/d/e/f", 1, False)}


def test_a_result_that_was_not_made_fails_with_its_name(work: Path) -> None:
    with pytest.raises(ResultsError, match="Uploading results failed: result 'x' was not made"):
        listed(work, "x")


def test_a_link_inside_is_replaced_by_what_it_points_to(work: Path) -> None:
    (work / "real").write_bytes(b"hello")
    (work / "link").symlink_to("real")
    assert listed(work, "link") == {"link": ("out/link", 5, False)}
    assert not (work / "link").is_symlink()


@pytest.mark.parametrize("kind", ["file", "directory", "inside-a-directory", "loop", "nothing"])
def test_a_link_that_leaves_the_working_directory_or_leads_nowhere_fails(tmp_path: Path, work: Path, kind: str) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/file").write_text("x")
    targets = {"file": "../secret/file", "directory": "../secret", "loop": "x", "nothing": "gone"}
    if kind == "inside-a-directory":
        (work / "x").mkdir()
        (work / "x/y").symlink_to("../../secret/file")
    else:
        (work / "x").symlink_to(targets[kind])
    with pytest.raises(ResultsError):
        listed(work, "x")


@pytest.mark.parametrize("source", ["../secret", "/etc/passwd", "a/../../secret"])
def test_a_result_outside_fails(work: Path, source: str) -> None:
    with pytest.raises(ResultsError, match="not a path inside"):
        listed(work, source)


def test_a_fifo_is_no_result_and_does_not_hang(work: Path) -> None:
    os.mkfifo(work / "x")
    with pytest.raises(ResultsError, match="not a regular file"):
        listed(work, "x")


# -- journal ----------------------------------------------------------------------------------------


def outcome(task: int, **more: str) -> Outcome:
    return Outcome(task=task, attempt=1, ended="succeeded", **more)


def test_the_journal_gives_back_what_was_kept_and_not_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.adopt("d")
    journal.keep(outcome(1))
    journal.keep(outcome(2, stdout_tail="ünï\n"))
    journal.forget(1, 1)
    journal.remember_init(7)
    journal.close()
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'{"kept": {"task": 3, "att')
    again = Journal(tmp_path / "journal.jsonl")
    assert again.kept == {(2, 1): outcome(2, stdout_tail="ünï\n")}
    assert list(again.initialized) == [7]
    assert again.deployment == "d"
    again.close()


def test_another_deployment_drops_what_was_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.adopt("d")
    journal.keep(outcome(1))
    journal.remember_init(7)
    journal.adopt("other")
    journal.close()
    again = Journal(tmp_path / "journal.jsonl")
    assert (again.kept, list(again.initialized), again.deployment) == ({}, [], "other")
    again.close()


def test_the_journal_does_not_grow_for_ever(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    for task in range(3000):
        journal.keep(outcome(task, stdout_tail="x" * 4000))
        journal.forget(task, 1)
        journal.flush()
    assert (tmp_path / "journal.jsonl").stat().st_size < 5 * 1024 * 1024
    journal.close()


# -- home -------------------------------------------------------------------------------------------


def test_a_second_agent_on_one_home_is_refused_with_a_sentence(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with pytest.raises(HomeError, match=rf"another agent \(process {os.getpid()}\)"):
        Home(tmp_path / "home")
    home.close()
    Home(tmp_path / "home").close()


def test_directories_of_attempts_without_an_outcome_are_removed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for name in ("1.1", "2.1", "junk"):
        (home.attempts / name / "work").mkdir(parents=True)
    home.remove_attempts({(2, 1)})
    assert os.listdir(home.attempts) == ["2.1"]
    home.close()


def test_a_tree_is_removed_whatever_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "t/deep").mkdir(parents=True)
    (tmp_path / "t/deep/file").write_text("x")
    (tmp_path / "t/deep").chmod(0o500)
    (tmp_path / "t/link").symlink_to("/")
    remove_tree(tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_what_a_killed_agent_left_is_ended_by_session_and_by_mark(tmp_path: Path) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(1000)"]
    by_session = subprocess.Popen(["sh", "-c", "sleep 1000 & sleep 1000"], start_new_session=True)
    marked = subprocess.Popen(sleeper, env={"ECLOUD_MARK": f"{tmp_path}:7.1"}, start_new_session=True)
    other = subprocess.Popen(sleeper, env={"ECLOUD_MARK": f"{tmp_path}-other:7.1"}, start_new_session=True)
    reused = subprocess.Popen(sleeper, start_new_session=True)
    home = Home(tmp_path)
    from worker.runner.processes import look

    started = look(by_session.pid)
    assert started is not None
    sessions = Sessions(tmp_path / "sessions")
    sessions.began(by_session.pid, started.start)
    sessions.began(reused.pid, started.start - 100_000)
    sessions.close()
    time.sleep(0.2)
    reapers = [threading.Thread(target=each.wait) for each in (by_session, marked)]
    for each in reapers:
        each.start()
    home.end_leftovers(grace=1.0)
    for each in reapers:
        each.join(scaled(10))
    assert by_session.returncode is not None and marked.returncode is not None
    assert other.poll() is None and reused.poll() is None
    for process in (other, reused):
        process.kill()
        process.wait()
    home.close()


def test_sessions_of_an_earlier_life_of_the_machine_count_for_nothing(tmp_path: Path) -> None:
    from worker.runner.sessions import read_sessions

    (tmp_path / "sessions").write_text("boot 0000\n12 34\n")
    assert read_sessions(tmp_path / "sessions") == {}


def test_the_keeper_does_the_work_of_one_task_in_order_and_survives_a_fault() -> None:
    keeper = FileThreads()
    keeper.start()
    done: list[int] = []
    keeper.do(3, lambda: done.append(1 // 0))
    for number in range(100):
        keeper.do(3, lambda number=number: done.append(number))
    keeper.stop(10.0)
    assert done == list(range(100))


# -- options ----------------------------------------------------------------------------------------


def test_options_come_from_the_command_line_else_the_environment_else_the_default(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    environ = {
        "ECLOUD_WORKER_ID": "w1",
        "ECLOUD_SLOTS": "3",
        "ECLOUD_LABELS": '{"a": "b"}',
        "ECLOUD_WORKER_PASSWORD_FILE": str(tmp_path / "password"),
        "ECLOUD_POOL": "",
    }
    options = read_options(["--slots", "5"], environ)
    assert (options.id, options.username, options.slots, options.password) == ("w1", "w1", 5, "secret")
    assert options.labels == {"a": "b"} and options.memory > 0


def test_all_bad_options_are_reported_at_once() -> None:
    environ = {"ECLOUD_SLOTS": "two", "ECLOUD_LABELS": "[1]", "ECLOUD_WORKER_PASSWORD_FILE": "/no/such"}
    with pytest.raises(OptionError) as caught:
        read_options(["--orphan-after", "-1"], environ)
    text = str(caught.value)
    for word in ("ECLOUD_WORKER_ID", "ECLOUD_SLOTS is 'two'", "ECLOUD_LABELS", "--orphan-after", "/no/such"):
        assert word in text
