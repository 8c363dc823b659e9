"""Directories as results on real files: built, recorded, put in the place of the former one; crashes at each step."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from datastore.agent.events import ResultsFetched
from datastore.agent.records import Record
from datastore.disk import folders
from tests.worlds.datastore import Disk, digest
from wire.messages import Collect, Input, ResultFolder, StageDone


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "tree").start()
    yield disk
    disk.close()


def with_folder(order: Collect, *names: str, empty: tuple[str, ...] = ()) -> Collect:
    folders = [ResultFolder(source=name, target=name, empty=list(empty)) for name in names]
    return msgspec.structs.replace(order, folders=folders)


def recorded(disk: Disk, *orders: Collect) -> list[Record]:
    """Fetched, built and on record; nothing has its name yet."""
    assert all(isinstance(answer, ResultsFetched) for answer in disk.fetch(*orders))
    synced = disk.publisher.sync_incoming([disk.record(order) for order in orders])
    assert synced.refused == []
    built = dict(synced.folders)
    records = []
    for record in map(disk.record, orders):
        known = [
            msgspec.structs.replace(folder, inode=inode)
            for folder, inode in zip(record.folders, built.get(record.key, []), strict=True)
        ]
        records.append(msgspec.structs.replace(record, folders=known))
    disk.publisher.write_records(records)
    return records


def publish(disk: Disk, *orders: Collect) -> None:
    disk.publisher.place_files(recorded(disk, *orders))


def wanted(name: str, data: bytes) -> Input:
    return Input(name=name, path="in", digest=digest(data))


def test_a_directory_replaces_the_former_one_whole(disk: Disk) -> None:
    publish(disk, with_folder(disk.collect(1, {"d/a": b"1", "d/gone": b"2", "d/sub/b": b"3"}), "d"))
    assert disk.visible() == {"d/a": b"1", "d/gone": b"2", "d/sub/b": b"3"}
    (disk.root / "d" / "manual").write_bytes(b"x")
    publish(disk, with_folder(disk.collect(1, {"d/a": b"new", "d/c": b"4"}, attempt=2), "d", empty=("none/inner",)))
    assert disk.visible() == {"d/a": b"new", "d/c": b"4"}
    assert (disk.root / "d/none/inner").is_dir()
    assert list((disk.root / ".ecloud/incoming/one").iterdir()) == []


def test_the_former_files_are_found_by_their_digests(disk: Disk) -> None:
    publish(disk, with_folder(disk.collect(1, {"d/a": b"1", "d/sub/b": b"3"}), "d"))
    publish(disk, with_folder(disk.collect(1, {"d/a": b"new"}, attempt=2), "d"))
    answer = disk.stage(wanted("d/a", b"1"), wanted("d/sub/b", b"3"), wanted("d/a", b"new"))
    assert isinstance(answer, StageDone)


def test_an_empty_directory_can_be_published_and_can_replace_one(disk: Disk) -> None:
    publish(disk, with_folder(disk.collect(1, {"p/d/a": b"1"}), "p/d"))
    publish(disk, with_folder(disk.collect(1, {}, attempt=2), "p/d"))
    assert (disk.root / "p/d").is_dir() and disk.visible() == {}


def test_a_directory_takes_the_place_of_a_file_which_is_kept_by_its_digest(disk: Disk) -> None:
    disk.publish(disk.collect(1, {"d": b"a file"}))
    publish(disk, with_folder(disk.collect(1, {"d/a": b"1"}, attempt=2), "d"))
    assert disk.visible() == {"d/a": b"1"}
    assert isinstance(disk.stage(wanted("d", b"a file")), StageDone)


def test_a_link_at_its_place_is_replaced_and_not_followed(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/file").write_bytes(b"x")
    (disk.root / "d").symlink_to(tmp_path / "elsewhere")
    publish(disk, with_folder(disk.collect(1, {"d/a": b"1"}), "d"))
    assert not (disk.root / "d").is_symlink()
    assert (tmp_path / "elsewhere/file").read_bytes() == b"x"


def test_a_link_above_its_place_is_refused(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (disk.root / "above").symlink_to(tmp_path / "elsewhere")
    order = with_folder(disk.collect(1, {"above/d/a": b"1"}), "above/d")
    disk.fetch(order)
    ((key, reason),) = disk.publisher.sync_incoming([disk.record(order)]).refused
    assert key == (1, 1) and "not followed" in reason


def test_single_files_and_several_directories_go_together(disk: Disk) -> None:
    order = with_folder(
        disk.collect(1, {"a": b"1", "x/b": b"2", "y/z/c": b"3", "dd/e": b"4", "d/f": b"5"}), "x", "y/z", "d"
    )
    publish(disk, order)
    assert disk.visible() == {"a": b"1", "x/b": b"2", "y/z/c": b"3", "dd/e": b"4", "d/f": b"5"}


def dying(times: int, real: Callable[..., object]) -> Callable[..., object]:
    """The program dies at the nth call."""
    left = [times]

    def call(*args: object, **others: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(*args, **others)

    return call


STEPS = ["os.rename", "os.link", "os.rmdir", "os.unlink", "os.fsync", "datastore.disk.folders._exchange"]


@pytest.mark.parametrize("can_exchange", [True, False], ids=["exchange", "two-renames"])
@pytest.mark.parametrize("call", STEPS)
@pytest.mark.parametrize("times", range(4))
def test_a_crash_anywhere_while_placing_is_completed_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, times: int, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(folders, "_exchange", lambda *args: _cannot(*args))
    disk = Disk(tmp_path / "tree").start()
    publish(disk, with_folder(disk.collect(9, {"d/a": b"former a", "d/gone": b"former b"}), "d"))
    order = with_folder(disk.collect(1, {"d/a": b"aa", "b": b"bb", "e/x": b"xx"}), "d", "e")
    records = recorded(disk, order)
    real = folders._exchange if call.endswith("_exchange") else getattr(os, call.removeprefix("os."))
    with monkeypatch.context() as patch:
        patch.setattr(call, dying(times, real))
        try:
            disk.publisher.place_files(records)
        except KeyboardInterrupt:
            pass
    disk.close()
    after = Disk(tmp_path / "tree", "two").start()
    assert after.visible() == {"d/a": b"aa", "b": b"bb", "e/x": b"xx"}
    assert [path.name for path in (after.root / ".ecloud/incoming").iterdir()] == ["two"] and after.incoming() == []
    former = after.stage(wanted("d/a", b"former a"), wanted("d/gone", b"former b"), wanted("d/a", b"aa"))
    assert isinstance(former, StageDone)
    after.close()


def _cannot(source_fd: int, source: str, target_fd: int, target: str) -> bool:
    """As `_exchange` on a file system that has no exchange."""
    os.stat(source, dir_fd=source_fd)
    os.stat(target, dir_fd=target_fd, follow_symlinks=False)
    return False


@pytest.mark.parametrize("call", ["os.rename", "os.mkdir", "os.fsync"])
@pytest.mark.parametrize("times", range(3))
def test_a_crash_or_a_failure_while_building_leaves_nothing_visible_and_can_be_repeated(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, call: str, times: int
) -> None:
    publish(disk, with_folder(disk.collect(9, {"d/a": b"former"}), "d"))
    order = with_folder(disk.collect(1, {"d/a": b"aa", "d/s/b": b"bb"}), "d", empty=("none",))
    disk.fetch(order)
    with monkeypatch.context() as patch:
        patch.setattr(call, dying(times, getattr(os, call.removeprefix("os."))))
        try:
            disk.publisher.sync_incoming([disk.record(order)])
        except KeyboardInterrupt:
            pass
    assert disk.visible() == {"d/a": b"former"}
    synced = disk.publisher.sync_incoming([disk.record(order)])
    ((_, (inode,)),) = synced.folders
    record = disk.record(order)
    record = msgspec.structs.replace(record, folders=[msgspec.structs.replace(record.folders[0], inode=inode)])
    disk.publisher.write_records([record])
    disk.publisher.place_files([record])
    assert disk.visible() == {"d/a": b"aa", "d/s/b": b"bb"}


def test_placing_again_what_has_its_place_changes_nothing(disk: Disk) -> None:
    records = recorded(disk, with_folder(disk.collect(1, {"d/a": b"1"}), "d"))
    disk.publisher.place_files(records)
    (disk.root / "d/manual").write_bytes(b"x")
    disk.publisher.place_files(records)
    assert disk.visible() == {"d/a": b"1", "d/manual": b"x"}


def test_a_reader_sees_the_former_directory_or_the_new_one_and_never_a_mix(disk: Disk) -> None:
    def version(number: int) -> dict[str, bytes]:
        return {f"d/{name}": f"{number}".encode() for name in "abc"}

    publish(disk, with_folder(disk.collect(1, version(1)), "d"))
    mixed: list[set[bytes]] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                fd = os.open(disk.root / "d", os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                mixed.append({b"nothing"})
                return
            try:
                seen = {_read(fd, name) for name in sorted(os.listdir(fd))}
            except FileNotFoundError:  # the former one, which is being removed: it was whole when it was opened
                seen = set()
            finally:
                os.close(fd)
            if len(seen) > 1:
                mixed.append(seen)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for attempt in range(2, 30):
            publish(disk, with_folder(disk.collect(1, version(attempt), attempt=attempt), "d"))
    finally:
        done.set()
        reader.join()
    assert mixed == []
    assert disk.visible() == version(29)


def _read(folder: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY, dir_fd=folder)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)
