"""The cache of inputs under their digests, shared by all attempts of a worker, and kept below a limit.

The datastore's side puts files in (under other names until they are whole), results of ended attempts are adopted;
this side gives them to attempts. Whatever is given was read against its digest since it last changed, so that a damaged
file is found, removed and reported as missing before a task sees it. A file that an attempt waits for is never dropped.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from wire.messages import Digest, Input
from worker import digests
from worker.errors import WorkerError
from worker.home import remove_tree
from worker.placing import Looks, PlacingError, create, fill, inside, link, looks, looks_of, make_folder

__all__ = ["PlacingError", "Cache", "InputMissingError", "Placement", "place_all"]

logger = logging.getLogger(__name__)

#: `auto`: shared blocks where the file system can, else a copy. `link`: a read-only hard link where that is safe.
Placement = Literal["auto", "copy", "link"]

#: A file written so shortly before it was read may be written again without looking different (clocks of file systems
#: have steps of some milliseconds): it is read again before the next use.
_TICK_NS = 20_000_000
#: A file that arrived and that no attempt has used yet is waited for by one: so long it is not dropped.
_UNCLAIMED_SECONDS = 600.0
#: The time of a use is written to the file at most so often; it only sets the order after a restart.
_STAMP_SECONDS = 30.0
#: All is counted at most so often while attempts come and go, however many files there are.
_COUNT_SECONDS = 1.0
_NEVER = float("-inf")
#: Partial files that nothing has written to for so long are of a transfer that is dead.
_STRAY_SECONDS = 3600.0
#: One file may take this share of the cache when it is adopted from an attempt, not asked for.
_ADOPT_SHARE = 0.25
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class InputMissingError(WorkerError):
    """The input is not in the cache, or was damaged there (then it is removed): it must be staged again."""


class Cache:
    """Safe for several threads. Times are those of `clock`, in seconds."""

    def __init__(
        self,
        path: Path,
        limit_bytes: int,
        placement: Placement = "auto",
        clock: Callable[[], float] = time.monotonic,
        privileged: bool | None = None,
    ) -> None:
        """`privileged`: rights of files do not hold this program (default: it is root): then nothing is linked."""
        self.path = path
        self._limit = limit_bytes
        self._clock = clock
        self._share = placement != "copy"
        self._link = placement == "link" and not (os.geteuid() == 0 if privileged is None else privileged)
        if placement == "link" and not self._link:
            logger.warning(
                "inputs are copied, not linked: this agent runs as root, whose tasks could write through any link; "
                "give it a user of its own", extra={"action": "refuse_links"},
            )  # fmt: skip
        #: For all of what follows, and the moments in which we change a file's rights, times or links ourselves.
        self._lock = threading.Lock()
        #: File name -> what it looked like when its content was read and right.
        self._verified: dict[str, Looks] = {}
        #: File name -> when it was last stamped; in order of use.
        self._used: dict[str, float] = {}
        #: File name -> when it was first seen, before any use of it.
        self._unclaimed: dict[str, float] = {}
        self._pins: dict[str, int] = {}
        #: Working directory -> (file name, link) of what was linked into it.
        self._links: dict[Path, list[tuple[str, Path]]] = {}
        #: Time of the folder's last change when all was counted and below the limit; 0: to be counted.
        self._counted = 0
        self._counted_at = _NEVER
        self._trimming = threading.Lock()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found, _ = scan(self.path)
        self._used = {name: _NEVER for _, name, _ in sorted(found)}

    def contents(self) -> list[Digest]:
        """Digests in the cache, least recently used first."""
        return [digests.PREFIX + name for _, name, _ in sorted(scan(self.path)[0])]

    # -- what attempts wait for ----------------------------------------------------------------------

    def pin(self, items: Iterable[Input]) -> None:
        """An attempt waits for these: they are not dropped until `unpin` was called as often."""
        with self._lock:
            for name in _names(items):
                self._pins[name] = self._pins.get(name, 0) + 1

    def unpin(self, items: Iterable[Input]) -> None:
        with self._lock:
            for name in _names(items):
                self._pins[name] -= 1
                if not self._pins[name]:
                    del self._pins[name]

    # -- to an attempt -------------------------------------------------------------------------------

    def place(self, item: Input, directory: Path) -> None:
        """Put one input at its path below `directory`. Raises InputMissingError, PlacingError or OSError."""
        target = inside(directory, item.path)
        if item.folder:
            make_folder(target, item.path)
            return
        name = digests.cache_name(item.digest)
        if name is None:
            raise PlacingError(f"input {item.path!r} has no digest but {item.digest!r}")
        source = self._open(name)
        try:
            # An executable one needs other rights than its link would have.
            if not (self._link and not item.executable and self._place_link(source, name, target, directory, item)):
                self._place_copy(source, name, target, item)
            self._stamp(source, name)
        finally:
            os.close(source)

    def _open(self, name: str) -> int:
        """Whatever is no readable regular file is removed: tasks can write here."""
        try:
            source = os.open(self.path / name, _OPEN)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EACCES, errno.EPERM):
                raise
        else:
            if stat.S_ISREG(os.fstat(source).st_mode):
                return source
            os.close(source)
        self._remove(name)
        raise InputMissingError(digests.PREFIX + name)

    def _place_copy(self, source: int, name: str, target: Path, item: Input) -> None:
        before = looks(source)
        settled = _settled(before)  # asked before it is read: what is written later then looks different
        copy = create(target, item.path, item.executable)
        try:
            fill(source, copy, self._share)
            if self._verified.get(name) == before:
                return
            if digests.of_descriptor(copy) != item.digest:
                os.unlink(target)
                self._damaged(name)
        finally:
            os.close(copy)
        if settled:
            self._remember(source, name, before)

    def _place_link(self, source: int, name: str, target: Path, directory: Path, item: Input) -> bool:
        """False: it cannot be linked, or changed meanwhile; a copy will do."""
        before = looks(source)
        if self._verified.get(name) != before:
            if not _settled(before):
                time.sleep(_TICK_NS / 1e9)
            settled = _settled(before)
            if digests.of_descriptor(source) != item.digest:
                self._damaged(name)
            if settled:
                self._remember(source, name, before)
        with self._lock:
            if self._verified.get(name) != looks(source):
                return False
            if not _make_read_only(source) or not link(self.path / name, target, item.path):
                self._verified[name] = looks(source)
                return False
            if os.stat(target, follow_symlinks=False).st_ino != before.inode:
                os.unlink(target)
                return False
            self._verified[name] = looks(source)
            self._links.setdefault(directory, []).append((name, target))
        return True

    def _damaged(self, name: str) -> None:
        self._remove(name)
        raise InputMissingError(digests.PREFIX + name)

    def _remember(self, source: int, name: str, before: Looks) -> None:
        """Its content was read and right since `before`: believed while it looks the same."""
        with self._lock:
            if looks(source) == before:
                self._verified[name] = before

    def _stamp(self, source: int, name: str) -> None:
        """It was used: last in the order of use, which the time of its last access keeps for the next start."""
        with self._lock:
            now = self._clock()
            stamped = self._used.pop(name, _NEVER)
            self._used[name] = stamped
            self._unclaimed.pop(name, None)
            if now < stamped + _STAMP_SECONDS:
                return
            self._used[name] = now
            before = looks(source)
            try:
                os.utime(source, ns=(time.time_ns(), before.written))
            except PermissionError:
                return  # it belongs to the datastore's user
            if self._verified.get(name) == before:
                self._verified[name] = looks(source)

    def release(self, directory: Path) -> None:
        """Take the links out of a working directory that is to be removed, so that the files need not be read again."""
        for name, target in self._links.pop(directory, []):
            with self._lock:
                try:
                    before = looks_of(os.stat(self.path / name, follow_symlinks=False))
                    if os.stat(target, follow_symlinks=False).st_ino != before.inode:
                        continue
                    os.unlink(target)
                    if self._verified.get(name) == before:
                        self._verified[name] = looks_of(os.stat(self.path / name, follow_symlinks=False))
                except OSError:
                    continue  # the task has removed it, or its folder; or the cache's file was dropped

    # -- in and out of the cache ---------------------------------------------------------------------

    def adopt(self, path: Path, digest: Digest, size: int) -> bool:
        """Move a file that an attempt made into the cache. False: it stays where it is.

        The digest is believed until the first use, which reads the file. Taken is only a regular file of that size,
        with one name, that takes no more than its share of the cache.
        """
        name = digests.cache_name(digest)
        if name is None or size > self._limit * _ADOPT_SHARE:
            return False
        try:
            source = os.open(path, _OPEN)
        except OSError:
            return False
        try:
            about = os.fstat(source)
            if not stat.S_ISREG(about.st_mode) or about.st_size != size or about.st_nlink != 1:
                return False
            return self._move_in(path, source, name)
        except OSError:
            return False  # another file system, or another user's file
        finally:
            os.close(source)

    def _move_in(self, path: Path, source: int, name: str) -> bool:
        with self._lock:
            if os.path.lexists(self.path / name):
                return False
            os.fchmod(source, 0o444)
            os.rename(path, self.path / name)
            self._used[name] = _NEVER
        return True

    def trim(self, quick: bool = False) -> list[Digest]:
        """Drop what was not used for longest until the total is below the limit; which ones left the cache.

        `quick`: nothing is counted if that was just done, or if no file came or went since all was below the limit.
        """
        if not self._trimming.acquire(blocking=False):
            return []
        try:
            folder = os.stat(self.path).st_mtime_ns
            now = self._clock()
            if quick and (folder == self._counted or now < self._counted_at + _COUNT_SECONDS):
                return []
            self._counted_at = now
            settled = folder < time.time_ns() - _TICK_NS
            dropped, total = self._trim(self._limit)
            self._counted = folder if settled and not dropped and total <= self._limit else 0
            return dropped
        finally:
            self._trimming.release()

    def make_room(self) -> list[Digest]:
        """Drop all that no attempt waits for: the disk is full. Which ones."""
        with self._trimming:
            self._counted = 0
            return self._trim(0)[0]

    def _trim(self, limit: int) -> tuple[list[Digest], int]:
        found, strays = scan(self.path)
        sizes = {name: size for _, name, size in found}
        with self._lock:
            dropped = [name for name in self._used if name not in sizes]  # removed by another process
            for name in dropped:
                self._forget(name)
            order = self._in_order(sizes)
        total = strays + sum(sizes.values())
        for name in order:
            if total <= limit:
                break
            with self._lock:
                if name in self._pins:
                    continue
                self._forget(name)
                unlink(self.path / name)
            total -= sizes[name]
            dropped.append(name)
        return [digests.PREFIX + name for name in dropped], total

    def _in_order(self, sizes: dict[str, int]) -> list[str]:
        """Those that may be dropped, the first first: arrived and never asked for, then by use."""
        now = self._clock()
        self._unclaimed = {name: self._unclaimed.get(name, now) for name in sizes if name not in self._used}
        given_up = [name for name, seen in self._unclaimed.items() if seen + _UNCLAIMED_SECONDS < now]
        return given_up + list(self._used)

    def _forget(self, name: str) -> None:
        self._verified.pop(name, None)
        self._used.pop(name, None)
        self._unclaimed.pop(name, None)

    def _remove(self, name: str) -> None:
        with self._lock:
            self._forget(name)
            unlink(self.path / name)


def place_all(cache: Cache, items: Iterable[Input], directory: Path) -> list[Digest]:
    """Place every input; the digests that are missing, all of them."""
    missing = []
    for item in items:
        try:
            cache.place(item, directory)
        except InputMissingError:
            missing.append(item.digest)
    return missing


def _settled(about: Looks) -> bool:
    return about.written < time.time_ns() - _TICK_NS


def _names(items: Iterable[Input]) -> list[str]:
    return [name for item in items if (name := digests.cache_name(item.digest))]


def _make_read_only(fd: int) -> bool:
    """A link has the rights of the file: none may write. False: it is another user's."""
    if stat.S_IMODE(os.fstat(fd).st_mode) == 0o444:
        return True
    try:
        os.fchmod(fd, 0o444)
    except PermissionError:
        return False
    return True


# --- the folder: which files it holds, and what dead transfers left in it, which is removed ------------------


def scan(folder: Path) -> tuple[list[tuple[float, str, int]], int]:
    """(last use, name, bytes) of every whole file, and the bytes of partial ones; dead ones are removed."""
    found = []
    strays = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                about = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # a partial file that has just become whole
            if digests.cache_name(digests.PREFIX + entry.name) and stat.S_ISREG(about.st_mode):
                found.append((about.st_atime, entry.name, about.st_size))
            else:
                strays += _sweep(Path(entry.path))
    return found, strays


def _sweep(path: Path) -> int:
    """The bytes of a partial file or a folder of such; 0 if nothing changed there for long: then it is removed."""
    size = 0
    newest = 0.0
    for each in (path, *path.rglob("*")) if path.is_dir() and not path.is_symlink() else (path,):
        try:
            about = each.lstat()
        except FileNotFoundError:
            continue
        size += about.st_size if stat.S_ISREG(about.st_mode) else 0
        newest = max(newest, about.st_mtime, about.st_ctime)
    if newest and newest + _STRAY_SECONDS < time.time():
        remove_tree(path)
        return 0
    return size


def unlink(path: Path) -> None:
    """Whatever stands there: tasks can write here."""
    try:
        path.unlink(missing_ok=True)
    except (IsADirectoryError, PermissionError):
        remove_tree(path)
