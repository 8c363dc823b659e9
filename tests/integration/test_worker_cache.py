"""The input cache of a worker: placing by copy, shared blocks and links, what is kept and dropped, what is adopted."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.worlds.digests import digest
from tests.worlds.parts import MORE_PATH, need
from tests.worlds.waiting import scaled
from wire.messages import Input
from worker import placing
from worker.cache import Cache, InputMissingError, PlacingError, place_all

ROOT = os.geteuid() == 0
OTHER_USER = 65534
LONG_AGO = 10**18


def arrive(cache: Cache, content: bytes, path: str = "net.inp", **more: bool) -> Input:
    """As a transfer leaves it: read-only, under its digest, and not written in this moment."""
    item = Input(name=path, path=path, digest=digest(content), size=len(content), **more)
    file = file_of(cache, item)
    file.write_bytes(content)
    file.chmod(0o444)
    os.utime(file, ns=(LONG_AGO, LONG_AGO))
    if ROOT and file.parent.stat().st_uid:
        os.chown(file, OTHER_USER, OTHER_USER)
    return item


def file_of(cache: Cache, item: Input) -> Path:
    return cache.path / item.digest[3:]


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Ground:
    """A directory where an unprivileged user works: a task may do what the owner of files may, and no more."""

    path: Path
    count: int = 0

    def cache(self, placement: str, limit: int = 10**9) -> Cache:
        cache = Cache(self.path / "cache", limit, placement, privileged=False)  # type: ignore[arg-type]
        self.own(cache.path)
        return cache

    def own(self, path: Path) -> None:
        if ROOT:
            os.chown(path, OTHER_USER, OTHER_USER)

    def task(self, cache: Cache, item: Input, script: str = ":") -> tuple[int, bytes]:
        """Place one input and run a script beside it: (its exit code, what the input is afterwards)."""
        self.count += 1
        work = self.path / f"work{self.count}"
        work.mkdir()
        self.own(work)
        cache.place(item, work)
        file = work / item.path
        if file.stat().st_nlink == 1:
            self.own(file)
        user = ["setpriv", f"--reuid={OTHER_USER}", f"--regid={OTHER_USER}", "--clear-groups"] if ROOT else []
        done = subprocess.run(
            [*user, "sh", "-c", script],
            cwd=work,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=scaled(60),
        )
        return done.returncode, file.read_bytes()


@pytest.fixture
def ground() -> Iterator[Ground]:
    path = Path(tempfile.mkdtemp(prefix="ecloud-cache-"))
    path.chmod(0o755)
    yield Ground(path)
    shutil.rmtree(path)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 10**9)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def digested(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each file that is read against its digest."""
    from worker import digests

    read: list[int] = []
    real = digests.of_descriptor

    def of_descriptor(fd: int) -> str:
        read.append(os.fstat(fd).st_size)
        return real(fd)

    monkeypatch.setattr(digests, "of_descriptor", of_descriptor)
    return read


# -- a task that writes into its input changes nothing for others ------------------------------------

WRITE = "printf changed > net.inp"


@pytest.mark.needs("setpriv")
def test_with_copies_a_task_that_writes_into_its_input_changes_nothing_for_others(ground: Ground) -> None:
    cache = ground.cache("copy")
    item = arrive(cache, b"original")
    assert ground.task(cache, item, WRITE) == (0, b"changed")
    assert ground.task(cache, item) == (0, b"original")


def mounted(path: Path) -> str:
    """Mount a file system that shares blocks; what to unmount, or nothing where this machine or user cannot."""
    mount = shutil.which("mount", path=os.pathsep.join([os.environ.get("PATH", ""), *MORE_PATH]))
    if not (ROOT and mount):
        return ""
    image = path.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(320 * 1024**2)
    subprocess.run([need("mkfs.xfs"), "-q", "-m", "reflink=1", image], check=True, capture_output=True)
    mounting = subprocess.run([mount, "-o", "loop", image, path], capture_output=True)
    return str(path) if mounting.returncode == 0 else ""


@pytest.fixture(params=["xfs", "played"])
def sharing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Callable[[], int]]:
    """`ground` on a file system that shares blocks, XFS; played, or where none can be mounted (only root can, and not
    in every container), the system call does as one would.

    Gives the number of bytes that placing has taken so far.
    """
    folder = ground.path / "disk"
    folder.mkdir()
    device = mounted(folder) if request.param == "xfs" else ""
    ground.path = folder
    folder.chmod(0o755)
    if device:
        free = os.statvfs(folder).f_bfree
        yield lambda: (free - os.statvfs(folder).f_bfree) * os.statvfs(folder).f_bsize
        subprocess.run(["umount", device], check=True, timeout=scaled(60))
    else:
        taken = [0]

        def clone(fd: int, request: int, argument: int) -> int:
            assert request == 0x40049409
            data = os.pread(argument, os.fstat(argument).st_size, 0)
            taken[0] = os.pwrite(fd, data, 0)
            return 0

        monkeypatch.setattr(fcntl, "ioctl", clone)
        monkeypatch.setattr(os, "sendfile", None)
        yield lambda: taken[0]
    ground.path = folder.parent


@pytest.mark.needs("setpriv", "mkfs.xfs")
def test_with_shared_blocks_a_task_that_writes_into_its_input_changes_nothing_for_others(
    ground: Ground, sharing: Callable[[], int]
) -> None:
    cache = ground.cache("auto")
    content = os.urandom(1024) * 20_000
    item = arrive(cache, content)
    for _ in range(5):
        assert ground.task(cache, item) == (0, content)
    assert sharing() < 2 * len(content)
    assert ground.task(cache, item, WRITE) == (0, b"changed")
    assert ground.task(cache, item) == (0, content)


def test_where_blocks_cannot_be_shared_inputs_are_copied(
    cache: Cache, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, request: int, argument: int) -> int:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    cache.place(arrive(cache, b"original"), work)
    assert (work / "net.inp").read_bytes() == b"original"


def test_a_disk_that_fails_while_blocks_are_shared_is_no_reason_to_copy(
    cache: Cache, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int, request: int, argument: int) -> int:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "ioctl", fail)
    with pytest.raises(OSError, match="broken"):
        cache.place(arrive(cache, b"original"), work)


@pytest.mark.needs("setpriv")
def test_with_links_a_task_cannot_write_into_its_input_but_may_put_another_file_in_its_place(ground: Ground) -> None:
    cache = ground.cache("link")
    item = arrive(cache, b"original")
    code, content = ground.task(cache, item, WRITE)
    assert code != 0 and content == b"original"
    assert (ground.path / "work1/net.inp").stat().st_ino == file_of(cache, item).stat().st_ino
    assert ground.task(cache, item, "cp net.inp x && chmod u+w x && printf changed > x && mv -f x net.inp") == (
        0,
        b"changed",
    )
    assert ground.task(cache, item) == (0, b"original")


@pytest.mark.needs("setpriv")
@pytest.mark.parametrize(
    "script",
    [
        "chmod u+w net.inp && printf changed > net.inp",
        "chmod u+w net.inp && touch -r net.inp t && printf CHANGED! > net.inp && touch -r t net.inp",
    ],
)
def test_with_links_an_input_that_a_task_forced_is_found_before_the_next_use_and_staged_again(
    ground: Ground, script: str
) -> None:
    cache = ground.cache("link")
    item = arrive(cache, b"original")
    assert ground.task(cache, item, script)[1].lower().startswith(b"changed")
    with pytest.raises(InputMissingError):
        ground.task(cache, item)
    assert cache.contents() == []
    arrive(cache, b"original")
    assert ground.task(cache, item) == (0, b"original")


@pytest.mark.needs("setpriv")
def test_with_links_rights_that_a_task_gave_are_taken_back_at_the_next_use(ground: Ground) -> None:
    cache = ground.cache("link")
    item = arrive(cache, b"original")
    ground.task(cache, item, "chmod u+w net.inp")
    code, content = ground.task(cache, item, WRITE)
    assert code != 0 and content == b"original"


def test_a_linked_input_is_read_once_while_it_is_not_touched(ground: Ground, digested: list[int]) -> None:
    cache = ground.cache("link")
    item = arrive(cache, b"original")
    for number in range(5):
        work = ground.path / f"w{number}"
        work.mkdir()
        cache.place(item, work)
        if number % 2:
            cache.release(work)
            assert not (work / "net.inp").exists()
    assert digested == [8]
    (ground.path / "w0/net.inp").unlink()  # by the task: that looks as if something had been done to the file
    (ground.path / "w9").mkdir()
    cache.place(item, ground.path / "w9")
    assert digested == [8, 8]


def test_executable_inputs_are_copied_where_others_are_linked(ground: Ground) -> None:
    cache = ground.cache("link")
    item = arrive(cache, b"#!/bin/sh\n", "tool", executable=True)
    work = ground.path / "work"
    work.mkdir()
    cache.place(item, work)
    assert os.access(work / "tool", os.X_OK)
    assert (work / "tool").stat().st_nlink == 1


def test_where_links_are_refused_inputs_are_copied(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMLINK, "too many")

    cache = ground.cache("link")
    item = arrive(cache, b"original")
    work = ground.path / "work"
    work.mkdir()
    monkeypatch.setattr(placing.os, "link", refuse)
    cache.place(item, work)
    assert (work / "net.inp").stat().st_nlink == 1


def test_an_agent_that_runs_as_root_copies_where_links_are_asked_for(
    tmp_path: Path, work: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path / "cache", 10**9, "link", privileged=True)
    assert "copied, not linked" in caplog.text
    cache.place(arrive(cache, b"original"), work)
    assert (work / "net.inp").stat().st_nlink == 1


# -- what is given to an attempt was read since it last changed ---------------------------------------


def test_an_input_is_read_against_its_digest_once_and_again_after_any_change(
    cache: Cache, work: Path, digested: list[int]
) -> None:
    item = arrive(cache, b"original")
    for number in range(3):
        (work / str(number)).mkdir()
        cache.place(item, work / str(number))
    assert len(digested) == 1
    file_of(cache, item).chmod(0o400)
    (work / "again").mkdir()
    cache.place(item, work / "again")
    assert len(digested) == 2


def test_an_input_that_was_written_in_this_moment_is_read_again_at_its_next_use(
    cache: Cache, work: Path, digested: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker import cache as module

    monkeypatch.setattr(module, "_TICK_NS", 10**11)
    item = arrive(cache, b"original")
    os.utime(file_of(cache, item))
    (work / "first").mkdir()
    cache.place(item, work / "first")
    cache.place(item, work)
    assert len(digested) == 2


def test_an_input_that_was_written_in_this_moment_can_be_linked(ground: Ground) -> None:
    cache = ground.cache("link")
    item = arrive(cache, b"original")
    os.utime(file_of(cache, item))
    work = ground.path / "work"
    work.mkdir()
    cache.place(item, work)
    assert (work / "net.inp").stat().st_nlink == 2


def test_a_change_that_hides_its_time_and_size_is_found(cache: Cache, work: Path) -> None:
    item = arrive(cache, b"original")
    (work / "first").mkdir()
    cache.place(item, work / "first")
    file = file_of(cache, item)
    file.chmod(0o644)
    file.write_bytes(b"0riginal")
    os.utime(file, ns=(LONG_AGO, LONG_AGO))
    with pytest.raises(InputMissingError):
        cache.place(item, work)


@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_what_is_no_file_in_the_cache_is_missing_and_removed_and_nothing_hangs(
    cache: Cache, work: Path, kind: str
) -> None:
    item = Input(name="x", path="x", digest=digest(b"original"))
    file = file_of(cache, item)
    if kind == "fifo":
        os.mkfifo(file)
    elif kind == "link":
        file.symlink_to("/etc/passwd")
    else:
        (file / "deep").mkdir(parents=True)
    assert place_all(cache, [item], work) == [item.digest]
    assert not os.path.lexists(file)
    cache.place(arrive(cache, b"original", "x"), work)


def test_an_input_below_a_file_and_a_folder_at_a_file_are_reported_as_the_tasks_fault(cache: Cache, work: Path) -> None:
    cache.place(arrive(cache, b"a", "a"), work)
    with pytest.raises(PlacingError, match="another input is a file"):
        cache.place(arrive(cache, b"b", "a/b"), work)
    with pytest.raises(PlacingError, match="another input is a file"):
        cache.place(Input(name="a", path="a", folder=True), work)


def test_an_empty_folder_is_made(cache: Cache, work: Path) -> None:
    cache.place(Input(name="d/e", path="d/e", folder=True), work)
    cache.place(Input(name="d", path="d", folder=True), work)
    assert (work / "d/e").is_dir()
    with pytest.raises(PlacingError, match="not a path inside"):
        cache.place(Input(name="d", path="../d", folder=True), work)


# -- what is dropped ----------------------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def small(tmp_path: Path, clock: Clock) -> Cache:
    return Cache(tmp_path / "small", 250, clock=clock)


def used(cache: Cache, work: Path, *names: str) -> list[Input]:
    """Arrived and placed once, in this order."""
    items = []
    for name in names:
        items.append(arrive(cache, name.encode() * 100, name))
        place_again(cache, items[-1], work)
    return items


def place_again(cache: Cache, item: Input, work: Path) -> None:
    cache.place(item, Path(tempfile.mkdtemp(dir=work)))


def test_what_was_not_used_for_longest_is_dropped_first(small: Cache, work: Path, clock: Clock) -> None:
    a, b, c, d = used(small, work, "a", "b", "c", "d")
    place_again(small, a, work)
    assert small.trim() == [b.digest, c.digest]
    assert set(small.contents()) == {a.digest, d.digest}
    assert small.trim() == []


def test_the_order_of_use_outlives_the_agent(tmp_path: Path, work: Path) -> None:
    clock = Clock()
    cache = Cache(tmp_path / "cache", 10**9, clock=clock)
    items = used(cache, work, "a", "b", "c", "d")
    clock.now += 3600
    place_again(cache, items[0], work)
    again = Cache(tmp_path / "cache", 250)
    assert again.trim() == [items[1].digest, items[2].digest]


def test_what_an_attempt_waits_for_is_not_dropped_until_it_was_placed(small: Cache, work: Path) -> None:
    a, b, c, d = used(small, work, "a", "b", "c", "d")
    for _ in range(2):
        small.pin([a, b])
    assert small.trim() == [c.digest, d.digest]
    small.unpin([a, b])
    arrived = used(small, work, "e")
    assert small.trim() == [arrived[0].digest]
    small.unpin([a, b])
    used(small, work, "e")
    assert small.trim() == [a.digest]


def test_what_has_arrived_for_an_attempt_is_kept_until_it_is_used_or_no_one_comes(
    small: Cache, work: Path, clock: Clock
) -> None:
    (a,) = used(small, work, "a")
    arrived = [arrive(small, name.encode() * 100, name) for name in "bcd"]
    assert small.trim() == [a.digest]
    clock.now += 500
    place_again(small, arrived[0], work)
    assert small.trim() == [arrived[0].digest]
    assert small.trim() == []
    clock.now += 500
    more = [arrive(small, name.encode() * 100, name) for name in "ef"]
    assert set(small.trim()) == {arrived[1].digest, arrived[2].digest}
    assert set(small.contents()) == {item.digest for item in more}


def test_files_that_were_removed_are_reported_as_dropped(small: Cache, work: Path) -> None:
    (a,) = used(small, work, "a")
    file_of(small, a).unlink()
    assert small.trim() == [a.digest]
    assert small.trim() == []


def test_nothing_is_counted_again_while_no_file_came_or_went_or_when_it_was_just_done(
    small: Cache, work: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker import cache as module

    counted = []
    real = module.scan
    monkeypatch.setattr(module, "scan", lambda folder: counted.append(folder) or real(folder))
    used(small, work, "a", "b")
    assert small.trim(quick=True) == []
    c, d = used(small, work, "c", "d")
    clock.now += 0.5
    assert small.trim(quick=True) == []
    clock.now += 1
    assert len(small.trim(quick=True)) == 2
    assert set(small.contents()) == {c.digest, d.digest}
    os.utime(small.path, ns=(LONG_AGO, LONG_AGO))
    counted.clear()
    for _ in range(3):
        clock.now += 2
        assert small.trim(quick=True) == []
    assert len(counted) == 1


def test_a_full_disk_is_given_all_that_is_not_waited_for(small: Cache, work: Path) -> None:
    a, b = used(small, work, "a", "b")
    c = arrive(small, b"c")
    small.pin([b])
    assert small.make_room() == [a.digest]
    assert set(small.contents()) == {b.digest, c.digest}


def test_partial_files_count_and_those_of_dead_transfers_are_removed(
    small: Cache, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (a,) = used(small, work, "a")
    (small.path / ".part-1").write_bytes(b"x" * 100)
    (small.path / ".partial").mkdir()
    (small.path / ".partial" / a.digest[3:]).write_bytes(b"x" * 100)
    assert small.trim() == [a.digest]
    assert len(os.listdir(small.path)) == 2
    monkeypatch.setattr("worker.cache._STRAY_SECONDS", -1.0)
    (a,) = used(small, work, "a")
    assert small.trim() == []
    assert os.listdir(small.path) == [a.digest[3:]]


# -- what is adopted ----------------------------------------------------------------------------------


def test_a_result_is_adopted_and_given_to_the_next_attempt_after_it_was_read(
    cache: Cache, work: Path, digested: list[int]
) -> None:
    (work / "out").write_bytes(b"result")
    assert cache.adopt(work / "out", digest(b"result"), 6)
    assert not (work / "out").exists()
    cache.place(Input(name="in", path="in", digest=digest(b"result")), work)
    assert (work / "in").read_bytes() == b"result"
    assert digested == [6]


def test_a_result_that_is_not_what_was_said_is_found_at_its_first_use(cache: Cache, work: Path) -> None:
    (work / "out").write_bytes(b"other!")
    assert cache.adopt(work / "out", digest(b"result"), 6)
    with pytest.raises(InputMissingError):
        cache.place(Input(name="in", path="in", digest=digest(b"result")), work)
    assert cache.contents() == []


def test_what_is_no_plain_file_of_that_size_is_not_adopted(tmp_path: Path, work: Path) -> None:
    cache = Cache(tmp_path / "cache", 100)
    (work / "out").write_bytes(b"result")
    (work / "large").write_bytes(b"x" * 26)
    (work / "link").symlink_to("out")
    os.mkfifo(work / "fifo")
    os.link(work / "out", work / "again")
    said = digest(b"result")
    for name in ("out", "link", "fifo", "again", "gone"):
        assert not cache.adopt(work / name, said, 6)
    assert not cache.adopt(work / "large", digest(b"x" * 26), 26)
    assert not cache.adopt(work / "out", "b2:../../x", 6)
    os.unlink(work / "again")
    assert not cache.adopt(work / "out", said, 7)
    assert cache.adopt(work / "out", said, 6)
    (work / "out").write_bytes(b"result")
    assert not cache.adopt(work / "out", said, 6)  # it is there
    assert cache.contents() == [said]


# -- many at once -------------------------------------------------------------------------------------


@pytest.mark.parametrize("placement", ["copy", "link"])
def test_many_tasks_share_the_cache_at_once_while_it_is_trimmed(ground: Ground, placement: str) -> None:
    cache = ground.cache(placement, limit=5000)
    contents = [bytes([65 + number]) * 1000 for number in range(12)]
    faults: list[object] = []

    def tasks(thread: int) -> None:
        for turn in range(60):
            content = contents[(turn * 7 + thread) % len(contents)]
            item = Input(name="in", path="in", digest=digest(content))
            work = ground.path / f"t{thread}.{turn}"
            work.mkdir()
            cache.pin([item])
            while place_all(cache, [item], work):
                part = cache.path / f".part-{thread}"
                part.write_bytes(content)
                os.utime(part, ns=(LONG_AGO, LONG_AGO))
                part.rename(file_of(cache, item))
            cache.unpin([item])
            if (work / "in").read_bytes() != content:
                faults.append((thread, turn))
            cache.release(work)
            cache.trim(quick=True)

    threads = [threading.Thread(target=tasks, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(scaled(60))
    assert faults == []
    cache.trim()
    assert sum(file.stat().st_size for file in cache.path.iterdir()) <= 5000
