"""Whose fault it is when what an attempt left cannot be listed: this machine's if it is out of something, else not."""

from __future__ import annotations

import errno
import os
import queue
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from tests.worlds.agent import run
from tests.worlds.waiting import scaled
from wire.messages import Outcome, ResultItem
from worker import attempt_files
from worker.agent.events import Event, ExecutionEnded
from worker.attempt_files import AttemptFiles, FileThreads, Inbox
from worker.cache import Cache
from worker.results import ResultsError, list_results

MACHINE = {"ENOSPC", "EDQUOT", "EIO", "EMFILE", "ENFILE", "ENOMEM", "EROFS", "ESTALE", "ENODEV"}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def listed(work: Path, name: str) -> list[str]:
    return [entry.source for entry in list_results(work, [ResultItem(source=name, target="out")]).manifest]


def test_a_socket_is_no_result_and_is_named(work: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(work / "x"))
        with pytest.raises(ResultsError, match="result 'x' cannot be read: No such device or address"):
            listed(work, "x")


@pytest.mark.parametrize("kind", ["link to elsewhere", "link to itself", "file", "nothing"])
def test_a_working_directory_that_the_task_replaced_has_no_results(tmp_path: Path, work: Path, kind: str) -> None:
    (work / "x").write_text("mine")
    work.rename(tmp_path / "other")
    if kind.startswith("link"):
        work.symlink_to("other" if kind == "link to elsewhere" else "work")
    elif kind == "file":
        work.write_text("")
    with pytest.raises(ResultsError, match="removed its working directory, or put something else in its place"):
        listed(work, "x")


def test_a_home_that_is_reached_by_a_link_is_no_replaced_directory(tmp_path: Path, work: Path) -> None:
    (work / "x").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path.parent)
    assert listed(tmp_path / "link" / tmp_path.name / "work", "x") == ["x"]


@pytest.mark.parametrize("name", sorted(errno.errorcode.values()))
def test_only_what_the_machine_is_out_of_is_its_fault(work: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (work / "d").mkdir()
    for path in ("x", "d/y", "d/p.csv"):
        (work / path).write_text("x")
    number = getattr(errno, name)

    def fails(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number), "d")

    for call, wanted in (("open", "x"), ("open", "d"), ("scandir", "d"), ("fstat", "x"), ("pread", "x")):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fails)
            with pytest.raises(OSError if name in MACHINE else ResultsError) as failure:
                listed(work, wanted)
        if name not in MACHINE:
            assert wanted in str(failure.value) and os.strerror(number) in str(failure.value)


def test_a_folder_without_rights_is_the_tasks_fault(work: Path) -> None:
    """As a user whom rights hold: tests may run as root."""
    (work / "out").mkdir()
    (work / "out/x").write_text("x")
    program = (
        "import os, sys; from worker.results import *; from wire.messages import ResultItem\n"
        "work = sys.argv[1]\n"
        "if os.geteuid() == 0: os.chown(f'{work}/out', 65534, 65534); os.setuid(65534)\n"
        "os.chmod(f'{work}/out', 0)\n"
        "for pattern in sys.argv[2:]:\n"
        "    try: print(list_results(work, [ResultItem(source=pattern, target='x')]))\n"
        "    except ResultsError as error: print(error)\n"
    )
    for above in [work, *work.parents]:
        if above.stat().st_uid == os.geteuid() and above != Path("/"):
            above.chmod(above.stat().st_mode | 0o011)
    names = ["out", "out/*", "out/x", "**/*"]
    command = [sys.executable, "-c", program, str(work), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    lines = done.stdout.splitlines()
    assert len(lines) == 4 and not done.stderr, done
    assert all(line.startswith("Uploading results failed: ") for line in lines), lines
    assert [line for line in lines if "Permission denied" in line and "out" in line], lines


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "worker"),
        (ResultsError("Uploading results failed: result 'x' was not made"), "task"),
        (RuntimeError("never thought of"), "worker"),
    ],
    ids=["machine", "task", "internal"],
)
def test_whatever_listing_comes_upon_the_attempt_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, fault: str
) -> None:
    inbox: Inbox = queue.SimpleQueue()
    threads = FileThreads()
    threads.start()
    files = AttemptFiles(inbox, tmp_path, Cache(tmp_path / "cache", 10**9), threads)

    def fails(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(attempt_files, "list_results", fails)
    order = run(7, commands=["true"], results=[ResultItem(source="x", target="x")])
    files.finished(order, Outcome(task=7, attempt=1, ended="succeeded", exit_code=0), True)
    event: Event | object = inbox.get(timeout=scaled(10))
    threads.stop(scaled(10))
    assert isinstance(event, ExecutionEnded)
    assert (event.outcome.ended, event.outcome.fault) == ("failed", fault)
    assert str(error) in event.outcome.reason and event.outcome.reason.startswith("Uploading results failed")
