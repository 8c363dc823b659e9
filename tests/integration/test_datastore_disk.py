"""The datastore on real files: staging, fetching, publishing, storing; hostile workers, crashes, syncs, a full disk."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datastore.agent.events import FetchFailed, ResultsFetched
from datastore.agent.records import Record
from datastore.disk import content, syncs
from datastore.disk.index import Index, IndexUnusableError
from datastore.disk.tree import Tree, TreeError
from datastore.publish import StepFailedError
from tests.worlds.datastore import Disk, digest
from tests.worlds.waiting import wait_for
from wire.messages import Input, LookUp, Place, StageDone, StageFailed, Store, Stored


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "tree").start()
    yield disk
    disk.close()


def wanted(name: str, data: bytes | None = None) -> Input:
    return Input(name=name, path="in", digest="" if data is None else digest(data), size=len(data or b""))


# --- names as users have them -----------------------------------------------------------------------

NAMES = [
    "my file.inp",
    "two\nlines",
    "ünï/测试.csv",
    "-rf",
    "--delete",
    "a'b\"c",
    "$(reboot)",
    "*?[x]",
    "x\\y",
    "a/b/c/d/e",
]


def test_names_of_every_kind_go_from_the_attempt_to_the_tree_and_on_to_a_cache(disk: Disk) -> None:
    files = {name: f"content of {name}".encode() for name in NAMES} | {"empty": b""}
    disk.publish(disk.collect(1, files))
    assert disk.visible() == files
    answer = disk.stage(*[wanted(name, data) for name, data in files.items()])
    assert isinstance(answer, StageDone)
    for data in files.values():
        cached = disk.home / "cache" / content.hex_of(digest(data))
        assert cached.read_bytes() == data
        assert cached.stat().st_mode & 0o777 == 0o444
    assert answer.bytes_moved == sum(map(len, files.values()))
    again = disk.stage(*[wanted(name) for name in files])
    assert isinstance(again, StageDone) and again.bytes_moved == 0
    assert [each.digest for each in again.inputs] == [digest(data) for data in files.values()]


def test_an_executable_result_stays_executable_and_what_is_published_shares_nothing_with_the_attempt(
    disk: Disk,
) -> None:
    order = disk.collect(1, {"tool": b"#!/bin/sh\n"}, executable=True)
    disk.publish(order)
    assert (disk.root / "tool").stat().st_mode & 0o777 == 0o755
    with open(disk.work(1) / "tool", "ab") as file:
        file.write(b"more")
    assert disk.visible() == {"tool": b"#!/bin/sh\n"}


# --- hostile workers --------------------------------------------------------------------------------


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link to a file outside": (link_to("/etc/passwd"), "link"),
    "a dangling link": (link_to("nowhere"), "link"),
    "a pipe": (lambda path: os.mkfifo(path), "pipe"),
    "a folder": (lambda path: path.mkdir(), "folder"),
    "a device": (lambda path: os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5)), "device"),
    "nothing": (lambda path: None, "not there"),
    "a shorter file": (lambda path: path.write_bytes(b"ab"), "2 bytes, the worker said 3"),
    "a longer file": (lambda path: path.write_bytes(b"abcd"), "4 bytes, the worker said 3"),
    "other content": (lambda path: path.write_bytes(b"abd"), "has the digest"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_result_that_is_not_what_the_worker_said_is_refused_and_nothing_of_it_stays(disk: Disk, what: str) -> None:
    make, why = HOSTILE[what]
    order = disk.collect(1, {"good": b"abc", "bad": b"abc"})
    (disk.work(1) / "bad").unlink()
    make(disk.work(1) / "bad")
    (answer,) = disk.fetch(order)
    may_have_been_written_meanwhile = what in ("a shorter file", "a longer file", "other content")
    assert isinstance(answer, FetchFailed)
    assert answer.fault == ("changed" if may_have_been_written_meanwhile else "result")
    assert why in answer.reason and "'bad'" in answer.reason
    assert disk.incoming() == [] and disk.visible() == {}


def test_a_linked_folder_on_the_way_to_a_result_is_not_followed(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    order = disk.collect(1, {"out/x": b"abc"})
    (tmp_path / "secret" / "x").write_bytes(b"abc")
    (disk.work(1) / "out" / "x").unlink()
    (disk.work(1) / "out").rmdir()
    (disk.work(1) / "out").symlink_to(tmp_path / "secret")
    (answer,) = disk.fetch(order)
    assert isinstance(answer, FetchFailed) and answer.fault == "result" and "not followed" in answer.reason


@pytest.mark.parametrize(
    ("part", "fault"), [("attempts", "transfer"), ("attempts/1.1", "result"), ("attempts/1.1/work", "result")]
)
def test_a_linked_folder_of_the_worker_itself_is_not_followed(
    disk: Disk, tmp_path: Path, part: str, fault: str
) -> None:
    """One that the attempt may have put there is not fetched for ever."""
    order = disk.collect(1, {"x": b"abc"})
    (disk.home / part).rename(tmp_path / "moved")
    (disk.home / part).symlink_to(tmp_path / "moved")
    (answer,) = disk.fetch(order)
    assert isinstance(answer, FetchFailed) and answer.fault == fault


def test_a_file_that_grows_for_ever_is_read_no_further_than_was_stated(disk: Disk, tmp_path: Path) -> None:
    source, target = os.open("/dev/zero", os.O_RDONLY), os.open(tmp_path / "t", os.O_RDWR | os.O_CREAT)
    with pytest.raises(content.SizeDiffersError, match="more than the 10,000,000"):
        content.copy(source, target, 10_000_000)
    assert os.fstat(target).st_size <= 10_000_000
    os.close(source)
    os.close(target)


def test_a_hard_link_to_another_users_file_is_refused(disk: Disk) -> None:
    if os.geteuid() != 0:
        pytest.fail("this test makes a file of another user: run it as root")
    order = disk.collect(1, {"x": b"abc"})
    other = disk.home / "others"
    other.write_bytes(b"abc")
    os.chown(other, 65534, 65534)
    (disk.work(1) / "x").unlink()
    os.link(other, disk.work(1) / "x")
    (answer,) = disk.fetch(order)
    assert isinstance(answer, FetchFailed) and answer.fault == "result" and "hard link" in answer.reason


def test_an_attempt_whose_directory_or_worker_is_gone_is_a_failed_transfer(disk: Disk) -> None:
    order = disk.collect(1, {"x": b"abc"})
    subprocess.run(["rm", "-r", str(disk.work(1).parent)], check=True)
    (answer,) = disk.fetch(order)
    assert isinstance(answer, FetchFailed) and answer.fault == "transfer" and "1.1" in answer.reason
    gone = disk.stage(place=Place(path=str(disk.home / "gone")))
    assert isinstance(gone, StageFailed) and gone.fault == "transfer"
    far = disk.stage(place=Place(kind="ssh", path="/", host="h"))
    assert isinstance(far, StageFailed) and "'h'" in far.reason


def test_a_linked_cache_is_not_written_through(disk: Disk, tmp_path: Path) -> None:
    disk.publish(disk.collect(1, {"x": b"abc"}))
    (tmp_path / "elsewhere").mkdir()
    (disk.home / "cache").symlink_to(tmp_path / "elsewhere")
    answer = disk.stage(wanted("x"))
    assert isinstance(answer, StageFailed) and answer.fault == "transfer"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_an_attempt_that_is_not_wanted_any_more_is_left_out(disk: Disk) -> None:
    orders = [disk.collect(task, {f"r{task}": b"x"}) for task in (1, 2)]
    answers: list[object] = []
    disk.local.fetch(orders, answers.append, lambda key: key == (1, 1))
    assert answers == [FetchFailed((1, 1), "stopped"), ResultsFetched((2, 1))]
    assert len(disk.incoming()) == 1


# --- staging by version -----------------------------------------------------------------------------


def test_a_required_name_that_is_not_there_fails_with_the_legacy_sentence(disk: Disk) -> None:
    answer = disk.stage(wanted("no such.inp"))
    assert isinstance(answer, StageFailed) and answer.fault == "input"
    assert answer.reason.startswith("fetching required files failed: 'no such.inp' is not on the datastore")


@pytest.mark.parametrize("make", [link_to("/etc/passwd"), lambda path: os.mkfifo(path), lambda path: path.mkdir()])
def test_a_required_name_that_is_no_plain_file_is_not_staged(disk: Disk, make: Callable[[Path], object]) -> None:
    make(disk.root / "x")
    answer = disk.stage(wanted("x"))
    assert isinstance(answer, StageFailed) and answer.fault == "input"


def test_what_is_staged_is_the_version_that_was_bound_whatever_its_name_means_by_then(disk: Disk) -> None:
    disk.publish(disk.collect(1, {"r": b"first"}))
    disk.publish(disk.collect(1, {"r": b"second"}, attempt=2))
    assert disk.visible() == {"r": b"second"}
    answer = disk.stage(wanted("r", b"first"), wanted("r", b"second"))
    assert isinstance(answer, StageDone)
    assert (disk.home / "cache" / content.hex_of(digest(b"first"))).read_bytes() == b"first"
    never = disk.stage(wanted("r", b"never"))
    assert isinstance(never, StageFailed) and never.fault == "input" and "'r' in the version b2:" in never.reason


def test_a_file_changed_manually_is_noticed_and_its_new_digest_reported(disk: Disk) -> None:
    disk.publish(disk.collect(1, {"r": b"first"}))
    (disk.root / "r").write_bytes(b"manual")
    answer = disk.stage(wanted("r"))
    assert isinstance(answer, StageDone) and answer.inputs[0].digest == digest(b"manual")
    bound = disk.stage(wanted("r", b"first"))
    assert isinstance(bound, StageFailed) and bound.fault == "input"


def test_a_digest_is_computed_once_for_a_version(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = disk.root / "big"
    path.write_bytes(b"x" * 1000)
    os.utime(path, ns=(0, time.time_ns() - 10**9))
    counted = []
    real = content.digest_of
    monkeypatch.setattr("datastore.disk.versions.digest_of", lambda *a: counted.append(1) or real(*a))  # type: ignore[func-returns-value]
    for _ in range(3):
        disk.storage.look_up(LookUp(task=1, names=["big"]))
    assert len(counted) == 1
    os.utime(path, ns=(0, time.time_ns() - 2 * 10**9))
    disk.storage.look_up(LookUp(task=1, names=["big"]))
    assert len(counted) == 2


def test_parts_that_a_former_incarnation_left_in_a_cache_are_removed(disk: Disk) -> None:
    disk.publish(disk.collect(1, {"x": b"abc"}))
    (disk.home / "cache").mkdir()
    (disk.home / "cache" / ".part-before-1").write_bytes(b"half")
    assert isinstance(disk.stage(wanted("x")), StageDone)
    assert [path.name for path in (disk.home / "cache").iterdir()] == [content.hex_of(digest(b"abc"))]


# --- publishing: names, crashes, syncs --------------------------------------------------------------


def test_names_that_cannot_be_given_are_reported_before_anything_is_recorded(disk: Disk, tmp_path: Path) -> None:
    (disk.root / "folder").mkdir()
    (disk.root / "file").write_bytes(b"")
    (disk.root / "link").symlink_to(tmp_path)
    orders = [
        disk.collect(task, {name: b"x"})
        for task, name in enumerate(["folder", "file/x", "link/x", "folder/ok"], start=1)
    ]
    disk.fetch(*orders)
    refused = disk.publisher.sync_incoming([disk.record(order) for order in orders]).refused
    assert [key for key, _ in refused] == [(1, 1), (2, 1), (3, 1)]
    assert "folder" in refused[0][1] and "not followed" in refused[2][1]


def crashing(disk: Disk, monkeypatch: pytest.MonkeyPatch, call: str, times: int) -> None:
    """Let the program die at the nth call of this function of the operating system."""
    real = getattr(os, call)
    left = [times]

    def dying(*args: object, **others: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(*args, **others)

    monkeypatch.setattr(os, call, dying)


@pytest.mark.parametrize("call", ["rename", "link", "rmdir", "fsync"])
@pytest.mark.parametrize("times", range(5))
def test_a_crash_anywhere_while_placing_is_completed_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, times: int
) -> None:
    disk = Disk(tmp_path / "tree").start()
    disk.publish(disk.collect(9, {"a": b"former a", "b": b"former b"}))
    order = disk.collect(1, {"a": b"aa", "b": b"bb", "new/c": b"cc"})
    other = disk.collect(2, {"d": b"dd"})
    disk.fetch(order, other)
    disk.publisher.sync_incoming([disk.record(order)])
    disk.publisher.write_records([disk.record(order)])
    with monkeypatch.context() as patch:
        crashing(disk, patch, call, times)
        try:
            disk.publisher.place_files([disk.record(order)])
        except KeyboardInterrupt:
            pass
    disk.close()
    after = Disk(tmp_path / "tree", "two").start()
    assert after.visible() == {"a": b"aa", "b": b"bb", "new/c": b"cc"}
    assert after.incoming() == []
    assert isinstance(after.stage(wanted("a", b"former a"), wanted("b", b"former b"), wanted("a", b"aa")), StageDone)
    assert [record.key for record in after.index.records()] == [(1, 1), (9, 1)]
    after.close()


@pytest.mark.parametrize("steps", [0, 1])
def test_a_crash_before_the_record_leaves_nothing_visible_and_nothing_behind(tmp_path: Path, steps: int) -> None:
    disk = Disk(tmp_path / "tree").start()
    order = disk.collect(1, {"a": b"aa", "b": b"bb"})
    disk.fetch(order)
    if steps:
        disk.publisher.sync_incoming([disk.record(order)])
    disk.close()
    after = Disk(tmp_path / "tree", "two").start()
    assert after.visible() == {} and after.incoming() == []
    after.publish(order)
    assert after.visible() == {"a": b"aa", "b": b"bb"}
    after.close()


def test_a_folder_made_in_the_way_of_a_recorded_file_is_waited_for_and_then_it_is_completed(disk: Disk) -> None:
    order = disk.collect(1, {"a": b"aa"})
    disk.fetch(order)
    records = [disk.record(order)]
    disk.publisher.sync_incoming(records)
    disk.publisher.write_records(records)
    (disk.root / "a").mkdir()
    with pytest.raises(StepFailedError, match="'a' is a folder"):
        disk.publisher.place_files(records)
    (disk.root / "a").rmdir()
    disk.publisher.place_files(records)
    assert disk.visible() == {"a": b"aa"}


def count_syncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    one, everything = syncs.sync_one, syncs.sync_all

    def sync_one(fd: int) -> None:
        calls.append("one")
        one(fd)

    def sync_all(fd: int) -> None:
        calls.append("all")
        everything(fd)

    monkeypatch.setattr(syncs, "sync_one", sync_one)
    monkeypatch.setattr(syncs, "sync_all", sync_all)
    monkeypatch.setattr("datastore.disk.names.sync_one", sync_one)
    return calls


def test_ten_thousand_small_files_are_published_with_a_handful_of_syncs(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [disk.collect(task, {f"out/{task % 50}/{task}": b"%d" % task}) for task in range(1, 10_001)]
    calls = count_syncs(monkeypatch)
    disk.publish(*orders)
    assert len(calls) <= 4, calls
    wait_for(lambda: not list(disk.root.glob(".ecloud/incoming/*/*")), "the emptied folders are gone")
    assert len(disk.visible()) == 10_000
    assert disk.incoming() == []


def test_one_result_is_synced_alone_and_not_with_the_whole_file_system(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count_syncs(monkeypatch)
    disk.publish(disk.collect(1, {"out/a": b"x"}))
    assert "all" not in calls and len(calls) <= 6


# --- sent files -------------------------------------------------------------------------------------


def sent(tmp_path: Path, name: str, data: bytes, **other: object) -> Store:
    spool = tmp_path / "spool"
    spool.mkdir(exist_ok=True)
    (spool / content.hex_of(digest(data))).write_bytes(data)
    fields = {"digest": digest(data), "size": len(data), "source": str(spool / content.hex_of(digest(data)))}
    return Store(name=name, **{**fields, **other})  # type: ignore[arg-type]


def test_sent_files_get_their_names_and_every_version_can_be_staged(disk: Disk, tmp_path: Path) -> None:
    orders = [
        sent(tmp_path, "net.inp", b"v1"),
        sent(tmp_path, "in/tool", b"t", executable=True),
        sent(tmp_path, "e", b""),
    ]
    answers, full = disk.storage.store(orders)
    assert [type(answer) for answer in answers] == [Stored] * 3 and full == ""
    assert disk.visible() == {"net.inp": b"v1", "in/tool": b"t", "e": b""}
    assert (disk.root / "in/tool").stat().st_mode & 0o777 == 0o755
    disk.storage.store([sent(tmp_path, "net.inp", b"v2"), sent(tmp_path, "net.inp", b"v3")])
    assert disk.visible()["net.inp"] == b"v3"
    (disk.root / "net.inp").unlink()
    assert isinstance(disk.stage(*[wanted("net.inp", data) for data in (b"v1", b"v2", b"v3")]), StageDone)
    assert disk.incoming() == []


def test_a_sent_file_stored_twice_is_answered_twice_and_copied_once(disk: Disk, tmp_path: Path) -> None:
    order = sent(tmp_path, "a", b"x")
    disk.storage.store([order])
    inode = (disk.root / "a").stat().st_ino
    assert [type(answer) for answer in disk.storage.store([order]).answers] == [Stored]
    assert (disk.root / "a").stat().st_ino == inode


def test_a_sent_file_edited_in_place_is_whole_again_once_it_is_sent_again(disk: Disk, tmp_path: Path) -> None:
    order = sent(tmp_path, "a", b"good")
    disk.storage.store([order])
    with open(disk.root / "a", "r+b") as file:
        file.write(b"evil")
    failed = disk.stage(wanted("a", b"good"))
    assert isinstance(failed, StageFailed) and failed.fault == "input"
    disk.storage.store([order])
    (disk.root / "a").unlink()
    assert isinstance(disk.stage(wanted("a", b"good")), StageDone)


def test_a_sent_file_that_is_not_what_was_announced_is_refused_one_by_one(disk: Disk, tmp_path: Path) -> None:
    (disk.root / "folder").mkdir()
    orders = [
        sent(tmp_path, "a", b"x", digest=digest(b"y")), sent(tmp_path, "b", b"xyz", size=2), sent(tmp_path, "c", b"c"),
        sent(tmp_path, "d", b"x", source=str(tmp_path / "gone")), sent(tmp_path, "folder", b"x"),
        sent(tmp_path, "f", b"x", source="https://boss/files/x"), sent(tmp_path, "g", b"x", digest="md5:1"),
    ]  # fmt: skip
    answers, _ = disk.storage.store(orders)
    failed = {answer.name for answer in answers if not isinstance(answer, Stored)}
    assert failed == {"a", "b", "d", "folder", "f", "g"}
    assert disk.visible() == {"c": b"c"} and disk.incoming() == []


def test_a_look_up_tells_what_is_there_and_whether_that_is_all(disk: Disk) -> None:
    disk.publish(disk.collect(1, {"a": b"1", "b": b"22"}))
    both = disk.storage.look_up(LookUp(task=1, names=["a", "b"]))
    assert both.complete and [(file.name, file.size, file.digest) for file in both.files] == [
        ("a", 1, digest(b"1")), ("b", 2, digest(b"22")),
    ]  # fmt: skip
    some = disk.storage.look_up(LookUp(task=1, names=["a", "c", "../x", ".ecloud/lock", "/etc/passwd"]))
    assert not some.complete and [file.name for file in some.files] == ["a"]


# --- the tree and the index -------------------------------------------------------------------------


def test_a_second_datastore_on_a_tree_is_refused_with_a_sentence(disk: Disk) -> None:
    with pytest.raises(TreeError, match=f"in use by the datastore with process id {os.getpid()}"):
        Tree(disk.root, "two")


def test_a_tree_that_cannot_be_made_and_a_damaged_index_are_reported_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TreeError, match="file"):
        Tree(tmp_path / "file", "one")
    (tmp_path / "index.sqlite").write_bytes(b"no database at all, but long enough" * 100)
    with pytest.raises(IndexUnusableError, match=r"index\.sqlite"):
        Index(tmp_path / "index.sqlite")


def test_epochs_and_records_survive_and_belong_to_their_deployment(disk: Disk) -> None:
    disk.index.keep_epoch("d", 4)
    mine = disk.record(disk.collect(1, {"a": b"x"}))
    other = Record("e", "one", 1, 1, mine.files)
    disk.index.write_records([mine, other], [])
    disk.index.drop_records("e", [(1, 1)])
    path = disk.tree.index_path
    disk.index.close()
    disk.index = Index(path)
    assert (disk.index.epoch("d"), disk.index.epoch("e")) == (4, 0)
    assert disk.index.records() == [mine]


# --- a full disk ------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Disk]:
    """A tree on a file system of 2 MB; the worker is on another one."""
    if os.geteuid() != 0:
        pytest.fail("this test mounts a small tmpfs: run it as root")
    (tmp_path / "small").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path / "small")], check=True)
    disk = None
    try:
        disk = Disk(tmp_path / "small" / "tree", home=tmp_path / "worker").start()
        yield disk
    finally:
        if disk is not None:
            disk.close()
        subprocess.run(["umount", str(tmp_path / "small")], check=True)


def test_a_full_disk_stops_fetching_with_a_sentence_and_leaves_nothing_half(small: Disk) -> None:
    big = small.collect(1, {"big": b"x" * 3_000_000})
    little = small.collect(2, {"little": b"y"})
    first, second = small.fetch(big, little)
    assert isinstance(first, FetchFailed) and first.fault == "full" and str(small.root) in first.reason
    assert isinstance(second, ResultsFetched)
    assert [path.read_bytes() for path in small.incoming()] == [b"y"]


def test_a_full_disk_while_recording_records_nothing_and_is_made_good_later(small: Disk) -> None:
    order = small.collect(1, {"a": b"aa"})
    small.fetch(order)
    records = [small.record(order)]
    small.publisher.sync_incoming(records)
    filler = small.root / "filler"
    fill = os.open(filler, os.O_WRONLY | os.O_CREAT)
    while True:
        try:
            os.write(fill, b"x" * 4096)
        except OSError:
            break
    os.close(fill)
    more = [Record("d", "one", task, 1, records[0].files * 100) for task in range(2, 100)]
    with pytest.raises(OSError, match="full"):
        small.index.write_records(more, [])
    with pytest.raises(StepFailedError, match="disk is full") as caught:
        small.publisher.write_records(records)
    assert caught.value.full
    filler.unlink()
    assert small.index.records() == []
    small.publisher.write_records(records)
    small.publisher.place_files(records)
    assert small.visible() == {"a": b"aa"}


def test_a_sent_file_that_does_not_fit_waits_and_those_before_it_are_done(small: Disk, tmp_path: Path) -> None:
    orders = [sent(tmp_path, "a", b"a"), sent(tmp_path, "b", b"b" * 3_000_000), sent(tmp_path, "c", b"c")]
    answers, full = small.storage.store(orders)
    assert [answer.name for answer in answers] == ["a"] and "full" in full
    assert small.visible() == {"a": b"a"}
