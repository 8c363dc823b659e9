"""What transfers over SSH start and leave: children that end with the program, connections that are shared."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from datastore.agent.events import FetchFailed, ResultsFetched
from datastore.disk.content import CopyStoppedError
from datastore.transfers import connections, fetching, rsync, verdicts
from datastore.transfers.children import MARK, TransferProcess, TransferStartError, end_leftovers, environment, mark_of
from datastore.transfers.rsync import RsyncEnded
from datastore.transfers.runs import Errand, Runs
from tests.worlds import ssh_server
from tests.worlds.hosts.proxy import Proxy
from tests.worlds.ssh_server import SshServer
from tests.worlds.ssh_transfers import World
from tests.worlds.waiting import scaled, wait_for

server = ssh_server.server
pytestmark = pytest.mark.needs("sshd", "ssh", "rsync", "useradd", "setpriv")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def world(server: SshServer, tmp_path: Path) -> Iterator[World]:
    made = World(server, tmp_path)
    yield made
    made.close()


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def marked(mark: str) -> list[int]:
    """Processes with this mark that run."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


# --- children ---------------------------------------------------------------------------------------


def test_a_child_ends_with_the_program_that_started_it() -> None:
    script = (
        "import time; from datastore.transfers.children import TransferProcess, environment\n"
        "child = TransferProcess(['sleep', '1000'], environment('x'))\n"
        "print(child._process.pid, flush=True); time.sleep(1000)"
    )
    program = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    assert program.stdout is not None
    with program.stdout:
        child = int(program.stdout.readline())
    assert runs(child)
    program.kill()
    program.wait(scaled(20))
    wait_for(lambda: not runs(child), "the child ends")


def test_what_a_former_start_left_is_found_by_its_mark_and_ended_and_nothing_else() -> None:
    left = subprocess.Popen(["sleep", "1000"], env={**os.environ, MARK: "1:2"})
    other = subprocess.Popen(["sleep", "1000"], env={**os.environ, MARK: "1:23"})
    try:
        wait_for(lambda: end_leftovers("1:2") == 1, "it is found (it has its environment only after its start)")
        assert left.wait(scaled(20)) == -signal.SIGKILL
        assert other.poll() is None
        assert end_leftovers("1:2") == 0
    finally:
        for each in (left, other):
            each.kill()
            each.wait(scaled(20))


def test_a_child_cannot_write_a_file_larger_than_it_was_given(tmp_path: Path) -> None:
    target = tmp_path / "file"
    child = TransferProcess(
        ["dd", "if=/dev/zero", f"of={target}", "bs=4096", "count=1000"], environment("x"), largest_file=8192
    )
    assert child.wait(scaled(20)) == -signal.SIGXFSZ
    assert target.stat().st_size <= 8192 + 512


def test_what_a_child_has_moved_counts_what_its_children_did() -> None:
    child = TransferProcess(
        ["sh", "-c", "dd if=/dev/zero of=/dev/null bs=1000000 count=5; sleep 1000"], environment("x")
    )
    wait_for(lambda: child.moved() > 5_000_000, "it is counted")
    child.end()
    child.wait(scaled(20))


def test_the_end_of_a_child_is_that_of_its_whole_session(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    child = TransferProcess(["sh", "-c", f"sleep 1000 & echo $! > {note}; wait"], environment("x"))
    wait_for(lambda: note.exists() and note.read_text().strip() != "", "it has started its own")
    assert child.wait(0) is None
    child.end(signal.SIGTERM)
    assert child.wait(scaled(20)) == -signal.SIGTERM
    wait_for(lambda: not runs(int(note.read_text())), "what it started ends")


def test_a_program_that_is_not_installed_is_named() -> None:
    with pytest.raises(TransferStartError, match="no-such-program"):
        TransferProcess(["no-such-program"], environment("x"))


def test_nothing_of_our_environment_changes_what_rsync_and_ssh_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSYNC_RSH", "false")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/x")
    assert not {"RSYNC_RSH", "SSH_AUTH_SOCK"} & environment("x").keys()


# --- connections ------------------------------------------------------------------------------------


def test_both_directions_share_a_connection_and_it_is_closed_when_it_is_not_used(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.stage([world.write("a", b"a")])
    assert world.fetch(world.attempt(1, {"a": b"a"})) == {1: ResultsFetched((1, 1))}
    assert world.server.logins() == 1 and world.server.processes()
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.05)
    world.stage([world.write("b", b"b")])
    wait_for(lambda: not world.server.processes(), "the connection is closed")
    world.stage([world.write("c", b"c")])
    assert world.server.logins() == 2


def test_a_lost_connection_is_opened_again(world: World) -> None:
    world.stage([world.write("a", b"a")])
    world.server.cut()
    job = world.attempt(1, {"a": b"a"})
    answer = world.fetch(job)[1]
    if isinstance(answer, FetchFailed):  # the end of the old one was not noticed yet
        assert answer.fault == "transfer"
        answer = world.fetch(job)[1]
    assert answer == ResultsFetched((1, 1))


def test_a_host_that_moves_or_shows_another_of_its_keys_is_reached_again(world: World) -> None:
    world.stage([world.write("a", b"a")])
    world.server.change_host_key()
    world.place = world.server.place(world.home)
    assert world.fetch(world.attempt(1, {"a": b"a"})) == {1: ResultsFetched((1, 1))}


def test_a_stop_ends_what_is_under_way_at_once_and_leaves_no_process_and_no_private_folder(world: World) -> None:
    proxy = Proxy((world.server.host, world.server.port))
    with proxy.running():
        world.place = msgspec.structs.replace(world.place, port=proxy.port)
        job = world.attempt(1, {"a": b"a" * 5_000_000})
        proxy.delay = 0.02
        ended: list[type[BaseException]] = []

        def fetch() -> None:
            try:
                world.fetch(job)
            except CopyStoppedError as error:
                ended.append(type(error))

        thread = threading.Thread(target=fetch)
        thread.start()
        wait_for(lambda: proxy.from_target > 20_000, "it is under way")
        (folder,) = [Path((world.tree.root / ".ecloud" / "ssh-folder").read_text().strip())]
        assert folder.is_dir()
        world.stopped = True
        world.transfers.runs.stop()
        thread.join(scaled(20))
        assert ended == [CopyStoppedError]
        assert not folder.exists() and not marked(mark_of(world.tree.fd))


def test_the_private_folder_of_a_killed_start_is_removed_by_the_next(world: World, tmp_path: Path) -> None:
    world.stage([world.write("a", b"a")])
    note = world.tree.root / ".ecloud" / "ssh-folder"
    folder = Path(note.read_text().strip())
    assert folder.stat().st_mode & 0o777 == 0o700 and (folder / "key").is_symlink()
    other = tmp_path / "precious"
    other.mkdir()
    next_start = world.make(world.server.key)  # on the same tree: ends the master, too
    assert not folder.exists()
    note.write_text(f"{other}\n")
    world.make(world.server.key).runs.stop()
    assert other.is_dir()
    next_start.runs.stop()


def test_without_a_key_an_order_for_another_host_is_answered_with_what_to_do(world: World) -> None:
    world.transfers.runs.stop()
    world.transfers = world.make(None)
    failed = world.failure(world.attempt(1, {"a": b"a"}))
    assert failed.fault == "transfer" and "--ssh-key" in failed.reason


# --- what is kept between tries ---------------------------------------------------------------------


def test_what_came_before_a_cut_is_kept_for_the_next_try_until_it_is_discarded(world: World) -> None:
    proxy = Proxy((world.server.host, world.server.port))
    with proxy.running():
        world.place = msgspec.structs.replace(world.place, port=proxy.port)
        small, large = world.attempt(1, {"a": b"a"}), world.attempt(2, {"b": b"b", "c": os.urandom(3_000_000)})
        proxy.cut_after = 1_500_000
        answers = world.fetch(small, large)
        assert answers[1] == ResultsFetched((1, 1))  # was whole before the cut
        failed = answers[2]
        assert isinstance(failed, FetchFailed) and failed.fault == "transfer"
        assert any(name.startswith(".ecloud-partial") for name in world.left()) and world.incoming(2).keys() == {"0"}
        proxy.cut_after = None
        assert world.fetch(world.attempt(3, {"d": b"d"})) == {3: ResultsFetched((3, 1))}  # its place is not disturbed
        assert any(name.startswith(".ecloud-partial") for name in world.left())
        world.transfers.fetching.discard([(2, 1)])
        assert world.left() == ["0", "0", "1.1", "3.1"]


def test_long_lists_are_cut_into_several_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_FETCHED", 3)
    jobs = [world.attempt(task, {f"{number}": b"%d" % number for number in range(task)}) for task in range(1, 8)]
    assert world.fetch(*jobs) == {task: ResultsFetched((task, 1)) for task in range(1, 8)}
    assert world.incoming(7).keys() == {f"{number}" for number in range(7)}


def test_what_brings_more_than_all_its_files_were_reported_to_have_is_ended(tmp_path: Path) -> None:
    """Each file alone is below the largest: together they are a hundred times what was reported."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    names = [f"{number}" for number in range(100)]
    for name in names:
        (source / name).write_bytes(os.urandom(2_000_000))
    arguments = ["rsync", "-r", "--whole-file", "--bwlimit=60000", f"{source}/", f"{target}/"]
    honest = rsync.Rsync().run(arguments, names, environment("x"), 2_000_000, 200_000_000)
    assert (honest.code, honest.too_much) == (0, False)
    shutil.rmtree(target)
    target.mkdir()
    ended = rsync.Rsync().run(arguments, names, environment("x"), 2_000_000, 2_000_000)
    assert ended.too_much and ended.code != 0
    assert len(os.listdir(target)) < 100


def test_a_host_that_sent_too_much_is_not_trusted(world: World) -> None:
    runs = Runs(world.tree, connections.Connections(None, "x", world.tree.root / "note"), {}, lambda: False)
    errand = Errand("w1", world.place, "collect", "/srv/attempts", ["a"], 1000, 1000)
    failure = runs.failure(RsyncEnded(-signal.SIGKILL, "", "", False, too_much=True), errand)
    assert failure is not None and failure.fault == "host" and "more bytes than were reported" in str(failure)


# --- whose disk is full -----------------------------------------------------------------------------


def test_a_host_that_says_that_our_disk_is_full_is_believed_only_if_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(world.tree, connections.Connections(None, "x", world.tree.root / "note"), {}, lambda: False)
    errand = Errand("w1", world.place, "collect", "/srv/attempts", ["a"], 1000, 1000)
    ended = RsyncEnded(11, 'rsync: [sender] write failed on "/x": No space left on device (28)', "", False)
    failure = runs.failure(ended, errand)
    assert (
        isinstance(failure, verdicts.TransferFailedError) and failure.fault == "transfer" and "No space" in str(failure)
    )
    monkeypatch.setattr(world.tree, "free_bytes", lambda: 999)
    failure = runs.failure(ended, errand)
    assert failure is not None and failure.fault == "full" and "999 bytes are free" in str(failure)
