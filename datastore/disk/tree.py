"""The tree's layout and its lock. What is in plain sight are results and sent files; the rest is below `.ecloud/`.

.ecloud/lock                                  flock of the one datastore program
.ecloud/index.sqlite                          see `datastore.disk.index`
.ecloud/incoming/<incarnation>/<task>.<attempt>/<0, 1, ...>   fetched, not published
.ecloud/parts/<hexadecimal digest>            sent files that are just being fetched from a boss on another host
.ecloud/blobs/<hexadecimal digest>            sent files, and versions whose name now means another
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import time
from pathlib import Path

from datastore.disk.beneath import make_folder
from datastore.disk.errors import DiskError
from datastore.disk.janitor import Janitor
from datastore.disk.syncs import sync_one
from datastore.paths import OWN_FOLDER
from wire.messages import AttemptKey

INCOMING = f"{OWN_FOLDER}/incoming"
BLOBS = f"{OWN_FOLDER}/blobs"
PARTS = f"{OWN_FOLDER}/parts"
#: A part that nothing came to for so long is not gone on with.
PART_SECONDS = 24 * 3600.0


class TreeError(DiskError):
    """The tree cannot be used; a sentence that names it, for the operator who started the program."""


class Tree:
    """An open and locked tree. Every access starts from `fd`; `incoming` and `blobs` are descriptors too."""

    def __init__(self, root: Path, incarnation: str) -> None:
        self.root = root.resolve()
        self.incarnation = incarnation
        _refuse_of_others(root)
        try:
            self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
            for folder in (self.root / INCOMING, self.root / BLOBS, self.root / PARTS):
                folder.mkdir(parents=True, exist_ok=True)
            (self.root / OWN_FOLDER).chmod(0o700)
            self._lock = _locked(self.root / OWN_FOLDER / "lock")
            self.fd = _open(self.root)
            self.incoming = _open(self.root / INCOMING)
            self.blobs = _open(self.root / BLOBS)
            self.parts = _open(self.root / PARTS)
        except OSError as error:
            raise TreeError(f"the datastore tree {self.root} cannot be used: {error.strerror or error}") from error
        self.device = os.fstat(self.fd).st_dev
        self.janitor = Janitor(self.incoming)

    def close(self) -> None:
        self.janitor.stop()
        for fd in (self.parts, self.blobs, self.incoming, self.fd, self._lock):
            os.close(fd)

    @property
    def index_path(self) -> Path:
        return self.root / OWN_FOLDER / "index.sqlite"

    def free_bytes(self) -> int:
        """0 where the disk does not even say that: what is written to it then fails, and says why."""
        try:
            status = os.fstatvfs(self.fd)
        except OSError:
            return 0
        return status.f_bavail * status.f_frsize

    def full_text(self, needed: int = 0) -> str:
        """`needed`: bytes that something waits for, where that is known."""
        more = f" and {needed:,} are needed" if needed else ""
        return (
            f"the datastore's disk is full: {self.free_bytes():,} bytes are free{more} at {self.root}. "
            "Nothing is lost: results wait, and are tried again automatically once there is space"
        )

    def attempt_folder(self, key: AttemptKey, incarnation: str = "") -> str:
        """Path below incoming."""
        return f"{incarnation or self.incarnation}/{key[0]}.{key[1]}"

    def make_attempt_folder(self, key: AttemptKey) -> str:
        """An empty one, whatever an earlier try left."""
        folder = self.attempt_folder(key)
        while True:
            try:
                os.mkdir(folder, 0o700, dir_fd=self.incoming)
            except FileExistsError:
                self.remove_attempt(key)
            except FileNotFoundError:
                self.make_incarnation_folder()
            else:
                return folder

    def remove_attempt(self, key: AttemptKey) -> None:
        try:
            shutil.rmtree(self.attempt_folder(key), dir_fd=self.incoming)
        except FileNotFoundError:
            pass

    def sweep(self) -> None:
        """Remove all of incoming, and make this incarnation's folder in it. Only for a lock holder at its start."""
        for entry in os.listdir(self.incoming):
            shutil.rmtree(entry, dir_fd=self.incoming)
        self.make_incarnation_folder()
        sync_one(self.incoming)
        before = time.time() - PART_SECONDS
        for entry in os.listdir(self.parts):
            if os.stat(entry, dir_fd=self.parts, follow_symlinks=False).st_mtime < before:
                os.unlink(entry, dir_fd=self.parts)

    def make_incarnation_folder(self) -> None:
        make_folder(self.incarnation, self.incoming, 0o700)


def _refuse_of_others(root: Path) -> None:
    """Another user could change results, or put links in their way. Raises TreeError."""
    try:
        status, real = root.lstat(), root.stat()
    except OSError:
        return  # it is made, or said to be unusable, by who opens it
    owner = next((one.st_uid for one in (status, real) if one.st_uid != os.geteuid()), None)
    if owner is not None:
        raise TreeError(f"the datastore tree {root} belongs to another user (uid {owner}); set a tree of your own")
    if real.st_mode & stat.S_IWOTH:
        raise TreeError(
            f"every user of this machine may write into the datastore tree {root}; close it: chmod o-w {root}"
        )


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _locked(path: Path) -> int:
    """Hold the lock until the descriptor is closed, by the end of the process at the latest."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(fd, 40, 0).decode(errors="replace").strip()
        os.close(fd)
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        who = f"the datastore with process id {holder}" if holder.isdigit() else "another datastore"
        raise TreeError(
            f"{path.parent.parent} is in use by {who}; one tree has one datastore. Stop that one, or set another tree."
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
