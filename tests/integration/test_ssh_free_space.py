"""An rsync that ends without words: the worker's host is asked what room it has. A real sshd, and hosts that lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from datastore.transfers import free_space
from datastore.transfers.children import environment
from datastore.transfers.rsync import RsyncEnded
from datastore.transfers.runs import Errand, Runs
from datastore.transfers.verdicts import FreeSpace
from tests.worlds import ssh_server
from tests.worlds.ssh_server import SshServer
from tests.worlds.ssh_transfers import World
from tests.worlds.waiting import wait_for
from wire.messages import StageDone, StageFailed

server = ssh_server.server
pytestmark = pytest.mark.needs("sshd", "ssh", "rsync", "useradd")
#: What an rsync that sends says when the words of the other one were lost.
WORDLESS = "rsync error: error in file IO (code 11) at receiver.c(380) [receiver=3.2.7]\n"
HERE, THERE = "a" * 64, "b" * 64
#: More than any disk has.
VAST = 10**18


@pytest.fixture
def world(server: SshServer, tmp_path: Path) -> Iterator[World]:
    made = World(server, tmp_path)
    yield made
    made.close()


def program(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)
    return path


@pytest.fixture
def no_ssh(tmp_path: Path) -> str:
    """Stands for ssh, and for a host whose login shell is sh: both are this machine."""
    return str(program(tmp_path / "no-ssh", 'shift; exec sh -c "$*"'))


# --- what comes of it -------------------------------------------------------------------------------


def reason_of(world: World, code: int, sizes: dict[str, int]) -> str:
    """What is said of an rsync that ended so, without words."""
    runs: Runs = world.transfers.runs
    errand = Errand("w1", world.place, "stage", str(world.cache), list(sizes), sum(sizes.values()), sizes=sizes)
    failure = runs.failure(RsyncEnded(code, WORDLESS, "", False), errand)
    assert failure is not None and failure.fault == "transfer"
    assert "127.0.0.1" in str(failure) and str(world.cache) in str(failure)
    return str(failure)


@pytest.mark.parametrize("code", [10, 11, 12])
def test_a_full_disk_whose_words_were_lost_is_reported_with_what_is_free_and_needed(world: World, code: int) -> None:
    world.stage([world.write("opens the connection", b"x")])
    said = reason_of(world, code, {THERE: VAST})
    assert "the worker's disk is full (" in said and f"{VAST:,} are needed" in said


def test_files_that_are_there_already_need_no_room(world: World) -> None:
    cached = world.write("opens the connection", b"x")
    world.stage([cached])
    said = reason_of(world, 11, {cached.digest[3:]: VAST, THERE: 5})
    assert "full" not in said and "a quota, a permission (" in said and "5 are needed" in said
    assert "was cut" in reason_of(world, 12, {THERE: 5})


def test_a_host_that_is_not_there_any_more_is_not_looked_for(world: World) -> None:
    world.stage([world.write("opens the connection", b"x")])
    world.server.stop()
    wait_for(lambda: not world.transfers.runs._connections.has("w1", world.place), "the connection is given up")
    world.server.start()
    before = world.server.logins()
    assert "a quota, a permission" in reason_of(world, 11, {THERE: VAST})
    assert world.server.logins() == before


def test_an_rsync_that_loses_its_words_fails_the_staging_with_an_honest_sentence(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = world.stage([world.write("opens the connection", b"x")])
    assert isinstance(first, StageDone)
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin" / "rsync", f"printf '{WORDLESS.strip()}\\n' >&2", "exit 11")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (failed,) = world.stage([world.write("in", b"12345")])
    assert isinstance(failed, StageFailed) and failed.fault == "transfer"
    assert "could not be written there" in failed.reason and "5 are needed" in failed.reason


# --- the question -----------------------------------------------------------------------------------


def test_a_folder_of_any_name_is_asked_about_and_no_shell_takes_it_apart(tmp_path: Path, no_ssh: str) -> None:
    folder = tmp_path / 'it\'s "so" $(touch pwned) `touch pwned` \\ ; touch pwned #'
    folder.mkdir()
    (folder / HERE).touch()
    found = free_space.ask(no_ssh, environment("x"), str(folder), {HERE: 1, THERE: 2})
    free = os.statvfs(folder)
    assert isinstance(found, FreeSpace) and found.needed == 2
    assert abs(found.free - free.f_bavail * free.f_frsize) < 1024**3  # others use this disk, too
    assert not list(tmp_path.rglob("pwned")) and not Path("pwned").exists()


def test_what_a_shell_prints_at_a_login_does_not_matter(tmp_path: Path) -> None:
    noisy = program(tmp_path / "ssh", "shift", "echo welcome; echo 1 2 3 4% and more", 'exec "$@"')
    found = free_space.ask(str(noisy), environment("x"), str(tmp_path), {THERE: 7})
    assert found is not None and found.needed == 7 and found.free > 1_000_000


@pytest.mark.parametrize(
    "answer",
    [
        "exit 1",
        "cat > /dev/null",
        "yes",
        "echo '/dev/x 1 1 99999999999999999999999 1% /'",
        "kill -9 $$",
        "echo missing",
    ],
    ids=["nothing", "silence", "endless", "too large", "killed", "no room"],
)
def test_a_host_that_answers_nonsense_gives_no_answer(tmp_path: Path, answer: str) -> None:
    assert free_space.ask(str(program(tmp_path / "ssh", answer)), environment("x"), str(tmp_path), {THERE: 7}) is None


def test_a_host_that_does_not_answer_in_time_gives_no_answer_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(free_space, "_SECONDS", 0.2)
    slow = program(tmp_path / "ssh", f"echo $$ > {tmp_path / 'pid'}; exec sleep 1000")
    assert free_space.ask(str(slow), environment("x"), str(tmp_path), {THERE: 7}) is None
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_a_folder_that_is_not_there_gives_no_answer(tmp_path: Path, no_ssh: str) -> None:
    assert free_space.ask(no_ssh, environment("x"), str(tmp_path / "gone"), {THERE: 7}) is None
