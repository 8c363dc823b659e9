"""A worker whose disk takes nothing: its records wait, its attempts end, and all goes on when there is room."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.worlds.agent import result, run, succeeded
from tests.worlds.runner import Harness, alive
from tests.worlds.waiting import scaled, wait_for
from worker import journal as journals
from worker.home import Home, HomeError, remove_tree
from worker.journal import Journal
from worker.runner import launch
from worker.runner.processes import become_subreaper
from worker.runner.sessions import Sessions, read_sessions
from worker.runner.watch import Watch


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB and 60 files."""
    if os.geteuid() != 0:
        pytest.fail("this test mounts a small tmpfs: run it as root")
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=60,mode=700", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path) -> Path:
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 512):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return ballast


def as_read(path: Path) -> Journal:
    """By an agent that starts elsewhere: a journal is written again when it is opened."""
    copy = path.parent.parent / "copy.jsonl"
    copy.write_bytes(path.read_bytes())
    return Journal(copy)


def test_a_journal_on_a_full_disk_keeps_all_in_memory_and_writes_it_when_there_is_room(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_AGAIN_SECONDS", 0.0)
    path = small / "journal.jsonl"
    journal = Journal(path)
    journal.adopt("d")
    journal.keep(succeeded(1, stdout_tail="first"))
    journal.flush()
    ballast = fill(small)
    for task in range(2, 40):
        journal.keep(succeeded(task, stdout_tail="x" * 200))
        journal.flush()
    journal.forget(1, 1)
    journal.remember_init(7)
    journal.flush()
    assert set(as_read(path).kept) >= {(1, 1)}, "what was written before is there still"
    ballast.unlink()
    journal.flush()
    again = as_read(path)
    assert set(again.kept) == {(task, 1) for task in range(2, 40)} and again.initialized == {7: None}
    assert again.deployment == "d"
    journal.keep(succeeded(50))
    journal.close()
    assert (50, 1) in as_read(path).kept


def test_a_journal_that_cannot_even_be_made_is_made_later(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "_AGAIN_SECONDS", 0.0)
    ballast = fill(small)
    journal = Journal(small / "journal.jsonl")
    journal.keep(succeeded(1))
    journal.flush()
    ballast.unlink()
    journal.flush()
    assert (1, 1) in as_read(small / "journal.jsonl").kept
    journal.close()


def test_sessions_on_a_full_disk_are_written_when_there_is_room(small: Path) -> None:
    sessions = Sessions(small / "sessions")
    sessions.began(1, 11)
    ballast = fill(small)
    for pid in range(2, 2000):
        sessions.began(pid, pid)
    sessions.ended([1, *range(2, 1990)])
    ballast.unlink()
    sessions.began(5000, 1)
    assert read_sessions(small / "sessions") == {**{pid: pid for pid in range(1990, 2000)}, 5000: 1}
    sessions.close()


def test_what_the_tasks_import_is_kept_whole_on_a_full_disk(small: Path, tmp_path: Path) -> None:
    home = Home(small)
    source = tmp_path / "ecloud.py"
    source.write_text("# as it is\n")
    module = home.provide_module(source) / "ecloud.py"
    fill(small)
    assert home.provide_module(source) == module.parent, "unchanged: nothing is to be written"
    source.write_text("# another one " + "x" * 100_000)
    with pytest.raises(HomeError, match="which tasks import: No space left on device"):
        home.provide_module(source)
    assert module.read_text() == "# as it is\n"
    home.close()


def test_attempts_on_a_full_disk_end_by_the_workers_fault_and_later_ones_run(small: Path) -> None:
    become_subreaper()
    harness = Harness(small)
    assert harness.do("echo one > out", results=[]).ended == "succeeded"
    files = []
    with pytest.raises(OSError, match="No space left"):
        while True:
            files.append(small / f"file{len(files)}")
            files[-1].touch()
    ends = [harness.do("cat", task=task, results=[result("out")]) for task in range(2, 12)]
    assert len(files) > 10 and {(end.ended, end.fault) for end in ends} == {("failed", "worker")}, ends
    assert "cannot prepare the attempt: [Errno 28] No space left" in ends[-1].reason
    for path in files:
        path.unlink(missing_ok=True)
    assert harness.do("echo three", task=99).stdout_tail == "three\n"
    harness.runner.stop()


def fails(number: int) -> Any:
    def failing(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return failing


def test_a_process_that_cannot_be_watched_is_ended_and_its_attempt_fails_by_the_workers_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become_subreaper()
    harness = Harness(tmp_path)
    started: list[int] = []
    spawn = os.posix_spawn

    def noting(*arguments: Any, **named: Any) -> int:
        started.append(spawn(*arguments, **named))
        return started[-1]

    with monkeypatch.context() as patch:
        patch.setattr(launch.os, "posix_spawn", noting)
        patch.setattr(os, "pidfd_open", fails(errno.EMFILE))
        outcome = harness.do("sleep 1000 & sleep 1000")
    assert (outcome.ended, outcome.fault) == ("failed", "worker") and "Too many open files" in outcome.reason
    wait_for(lambda: started and not alive(started[0]), "its process is gone")
    assert harness.do("echo on", task=2).stdout_tail == "on\n"
    harness.runner.stop()


def test_a_callback_that_fails_harms_no_other() -> None:
    watch = Watch()
    (bad, bad_end), (good, good_end) = os.pipe(), os.pipe()
    seen: list[bytes] = []
    watch.add(bad, lambda: seen.append(b"never"[1 // 0 :]))
    watch.add(good, lambda: seen.append(os.read(good, 10)))
    os.write(bad_end, b"x")
    os.write(good_end, b"y")
    watch.wait(0.0)
    watch.wait(0.0)
    assert seen == [b"y"], "and the one that failed is not called again and again"
    for fd in (bad, bad_end, good_end):
        os.close(fd)
    watch.close_all()


def test_a_directory_that_cannot_be_removed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t/deep").mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", fails(errno.EIO))
        assert not remove_tree(tmp_path / "t")
    assert remove_tree(tmp_path / "t") and remove_tree(tmp_path / "t")


@pytest.mark.parametrize("module", ["boss.common.threads", "worker.threads", "datastore.threads"])
def test_a_thread_that_ends_by_an_error_takes_its_program_with_it(module: str) -> None:
    program = (
        f"import threading, time, logging; from {module} import end_with_lost_threads\n"
        "logging.basicConfig(); end_with_lost_threads()\n"
        "threading.Thread(target=lambda: 1 // 0, name='the-one', daemon=True).start()\n"
        "time.sleep(600)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=scaled(30)
    )
    assert done.returncode == 70
    assert "the thread the-one ended by an error" in done.stderr and "ZeroDivisionError" in done.stderr


def test_a_thread_that_ends_as_it_should_ends_nothing() -> None:
    program = (
        "import threading; from worker.threads import end_with_lost_threads\n"
        "end_with_lost_threads(); one = threading.Thread(target=lambda: None); one.start(); one.join()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=scaled(30))
    assert done.returncode == 0


def test_the_runner_s_own_thread_takes_the_worker_with_it(tmp_path: Path) -> None:
    program = (
        "import sys, time, threading; from pathlib import Path\n"
        "from worker.threads import end_with_lost_threads\n"
        "from worker.runner import Runner, RunnerOptions\n"
        "end_with_lost_threads()\n"
        "runner = Runner(RunnerOptions(home=Path(sys.argv[1]), worker='w', environment={}), print, print)\n"
        "runner._shared.watch.wait = lambda seconds: 1 // 0\n"
        "runner.start(); time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=scaled(30))
    assert done.returncode == 70 and "the thread runner ended" in done.stderr, done.stderr


def test_a_run_that_cannot_even_be_prepared_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from worker.runner import runner

    harness = Harness(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "RunningAttempt", fails(errno.ENOMEM))
        harness.runner.execute(run(1))
        outcome = harness.outcome()
    assert (outcome.ended, outcome.fault) == ("failed", "worker")
    assert harness.do("true", task=2).ended == "succeeded"
    harness.runner.stop()
