"""The folder from which inputs are sent: each version once, under the digits of its digest.

It holds hard links where the file system lets us make them, else copies; it is in the tree's own file system and goes
when the transfer is over. Which bytes a version has is the index's word; the worker reads every input against its
digest before a task sees it.
"""

from __future__ import annotations

import itertools
import os
import shutil

from datastore.disk.content import SizeDiffersError, Stopped, copy, hex_of
from datastore.disk.tree import Tree
from datastore.disk.versions import Version, VersionMissingError, Versions
from datastore.paths import OWN_FOLDER, shown
from wire.messages import Input

#: Below the tree.
OUTGOING = f"{OWN_FOLDER}/outgoing"


def sweep(tree: Tree) -> None:
    """Remove what a former start left. Only after its children have ended."""
    shutil.rmtree(OUTGOING, dir_fd=tree.fd, ignore_errors=True)


class SendFolder:
    """Take with `with`; `sizes` is what it holds: digits -> bytes."""

    _numbers = itertools.count(1)

    def __init__(self, tree: Tree, versions: Versions, stopped: Stopped) -> None:
        self._tree = tree
        self._versions = versions
        self._stopped = stopped
        name = f"{tree.incarnation}-{next(self._numbers)}"
        self._name = f"{OUTGOING}/{name}"
        self.path = f"{tree.root}/{self._name}"
        self.sizes: dict[str, int] = {}
        self._fd = -1

    def __enter__(self) -> SendFolder:
        for folder in (OUTGOING, self._name):
            try:
                os.mkdir(folder, 0o700, dir_fd=self._tree.fd)
            except FileExistsError:
                pass
        self._fd = os.open(self._name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._tree.fd)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
        shutil.rmtree(self._name, dir_fd=self._tree.fd, ignore_errors=True)

    def add(self, wanted: Input) -> Input:
        """Bring the version in; returns what it is. Raises VersionMissingError, CopyStoppedError, OSError."""
        known = self._known(wanted)
        if known is not None:
            return known
        version = self._versions.open(wanted.name, wanted.digest, self._stopped)
        try:
            name = hex_of(version.digest)
            if name not in self.sizes:
                self._bring(version, name, wanted)
                self.sizes[name] = version.size
        finally:
            os.close(version.fd)
        return _bound(wanted, version.digest, version.size)

    def _known(self, wanted: Input) -> Input | None:
        """A digest that is here already needs no second look: a thousand tasks share one network."""
        if not wanted.digest.startswith("b2:"):
            return None
        size = self.sizes.get(wanted.digest[3:])
        return None if size is None else _bound(wanted, wanted.digest, size)

    def _bring(self, version: Version, name: str, wanted: Input) -> None:
        try:
            os.link(f"/proc/self/fd/{version.fd}", name, dst_dir_fd=self._fd, follow_symlinks=True)
        except OSError:  # too many links, another user's file, another file system: then a copy
            self._copy(version, name, wanted)

    def _copy(self, version: Version, name: str, wanted: Input) -> None:
        target = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._fd)
        try:
            if copy(version.fd, target, version.size, self._stopped) != version.digest:
                raise SizeDiffersError("its content is not that of its digest")
        except SizeDiffersError as error:
            os.unlink(name, dir_fd=self._fd)
            raise VersionMissingError(f"{shown(wanted.name)} was changed on the datastore meanwhile: {error}") from None
        except BaseException:
            os.unlink(name, dir_fd=self._fd)
            raise
        finally:
            os.close(target)


def _bound(wanted: Input, digest: str, size: int) -> Input:
    return Input(name=wanted.name, path=wanted.path, digest=digest, size=size, executable=wanted.executable)
