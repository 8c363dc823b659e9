"""Taking in what an rsync has received: each file that was asked for is verified and moved to its attempt's folder.

One walk over the receive folder, from descriptor to descriptor, following no link. What was not asked for is
reported and removed; a file that is not there is reported as missing. The host that sent it is not trusted. Folders
are left where they are: `fetching` has them removed when there is time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Container, Iterable
from typing import NamedTuple

from datastore.disk.content import CopyStoppedError, Stopped, copy, digest_of, mode_of
from datastore.disk.syncs import start_writing
from datastore.disk.tree import Tree
from datastore.paths import folders_of, shown
from wire.messages import AttemptKey, CollectFile

#: A file up to this size is read in one go.
_SMALL = 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Wanted(NamedTuple):
    """Where a file goes: the attempt, the number by which it waits in the attempt's folder, and what it must be."""

    key: AttemptKey
    number: int
    file: CollectFile


def source_of(key: AttemptKey, file: CollectFile) -> str:
    """Path below the worker's folder of attempts, and below the receive folder."""
    return f"{key[0]}.{key[1]}/work/{file.source}"


class Intake:
    """What one receive folder is to give. `take` walks it once; then `got`, `differ` and `strange` say what came."""

    def __init__(self, tree: Tree, leave: Container[str], wanted: Iterable[Wanted], stopped: Stopped) -> None:
        """`leave`: names of folders that are left alone: those of partial data, and of attempts that wait."""
        self._tree = tree
        self._leave = leave
        self._stopped = stopped
        self._wanted: dict[str, list[Wanted]] = {}
        self._folders: set[str] = set()
        for place in wanted:
            path = source_of(place.key, place.file)
            self._wanted.setdefault(path, []).append(place)
            self._folders.update(folders_of(path))
        self.got: list[Wanted] = []
        #: Files that came and are not what was said: a sentence for each attempt.
        self.differ: dict[AttemptKey, str] = {}
        #: Paths that were not asked for.
        self.strange: list[str] = []

    def take(self, folder: str) -> None:
        """`folder` is below incoming. Raises CopyStoppedError, OSError (our disk)."""
        fd = os.open(folder, _FOLDER, dir_fd=self._tree.incoming)
        try:
            self._walk(fd, "")
        finally:
            os.close(fd)

    def missing(self) -> list[tuple[str, list[Wanted]]]:
        """What has not come."""
        return list(self._wanted.items())

    # -- inside --------------------------------------------------------------------------------------

    def _walk(self, fd: int, above: str) -> None:
        with os.scandir(fd) as found:
            entries = list(found)
        for entry in entries:
            path = above + entry.name
            if entry.is_dir(follow_symlinks=False):
                self._folder(fd, entry.name, path)
            elif path in self._wanted:
                self._file(fd, entry.name, self._wanted.pop(path))
            else:
                self.strange.append(path)
                os.unlink(entry.name, dir_fd=fd)

    def _folder(self, above: int, name: str, path: str) -> None:
        if name in self._leave:
            return
        if path not in self._folders:
            self.strange.append(path)
            shutil.rmtree(name, dir_fd=above)
            return
        fd = os.open(name, _FOLDER, dir_fd=above)
        try:
            self._walk(fd, f"{path}/")
        finally:
            os.close(fd)

    def _file(self, folder: int, name: str, places: list[Wanted]) -> None:
        if self._stopped():
            raise CopyStoppedError
        fd = os.open(name, _FILE, dir_fd=folder)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                self.strange.append(name)
                os.unlink(name, dir_fd=folder)
                return
            digest = self._digest(fd, status.st_size)
            good = [each for each in places if self._is_it(each, status.st_size, digest)]
            for place in good[1:]:
                self._copy(fd, place)
            if good:
                os.fchmod(fd, mode_of(good[0].file.executable))
                os.rename(name, self._target(good[0]), src_dir_fd=folder, dst_dir_fd=self._tree.incoming)
            else:
                os.unlink(name, dir_fd=folder)
        finally:
            os.close(fd)
        self.got += good

    def _digest(self, fd: int, size: int) -> str:
        if size <= _SMALL:
            return "b2:" + hashlib.blake2b(os.read(fd, _SMALL + 1), digest_size=32).hexdigest()
        start_writing(fd)  # the disk works while the digest is computed
        return digest_of(fd, self._stopped)[0]

    def _is_it(self, place: Wanted, size: int, digest: str) -> bool:
        file = place.file
        if size != file.size:
            reason = f"result {shown(file.source)} has {size:,} bytes, the worker said {file.size:,}"
        elif digest != file.digest:
            reason = f"result {shown(file.source)} has the digest {digest}, the worker said {file.digest[:80]}"
        else:
            return True
        self.differ.setdefault(place.key, reason)
        return False

    def _copy(self, fd: int, place: Wanted) -> None:
        """The same file is wanted under two names."""
        os.lseek(fd, 0, os.SEEK_SET)
        target = os.open(self._target(place), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._tree.incoming)
        try:
            copy(fd, target, place.file.size, self._stopped)
            os.fchmod(target, mode_of(place.file.executable))
        finally:
            os.close(target)

    def _target(self, place: Wanted) -> str:
        return f"{self._tree.attempt_folder(place.key)}/{place.number}"
