"""Finding content: what a name holds now, and where a version that is asked for by its digest is.

A digest is computed once for each version of a file: the index knows it by inode, size and time of change.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from datastore.disk.beneath import BeneathError, PathMissingError, open_file
from datastore.disk.content import DigestError, Stopped, digest_of, hex_of, never
from datastore.disk.errors import DiskError
from datastore.disk.index import Index, row_of
from datastore.disk.tree import BLOBS, Tree
from datastore.paths import NameRefusedError, clean_name, shown
from wire.messages import Digest, PublishedFile

#: A file changed more recently may change again without another time of change: its digest is not kept.
_SETTLED_NS = 100_000_000


class VersionMissingError(DiskError):
    """The datastore has no such content; a sentence."""


class Version(NamedTuple):
    """An open file and what it is; the caller closes it."""

    fd: int
    digest: Digest
    size: int


class Versions:
    def __init__(self, tree: Tree, index: Index) -> None:
        self._tree = tree
        self._index = index

    def current(self, name: str, stopped: Stopped = never) -> PublishedFile | None:
        """What a name holds, or None: no file of the tree."""
        try:
            clean_name(name)
            version = self._open_name(name, stopped)
        except (NameRefusedError, BeneathError):
            return None
        os.close(version.fd)
        return PublishedFile(name=name, size=version.size, digest=version.digest)

    def open(self, name: str, digest: Digest = "", stopped: Stopped = never) -> Version:
        """This version of the name; with no digest the one that it holds now. Raises VersionMissingError, OSError."""
        why = "the name holds other content now"
        try:
            version = self._open_name(clean_name(name), stopped)
            if digest in ("", version.digest):
                return version
            os.close(version.fd)
        except PathMissingError:
            why = ""
        except (NameRefusedError, BeneathError) as error:
            why = str(error)
        because = f" ({why})" if why else ""
        if digest:
            blob = self.kept(digest)
            if blob is not None:
                return blob
            raise VersionMissingError(f"{shown(name)} in the version {digest[:15]}... is not on the datastore{because}")
        raise VersionMissingError(f"{shown(name)} is not on the datastore{because}")

    def _open_name(self, name: str, stopped: Stopped) -> Version:
        fd, status = open_file(self._tree.fd, name)
        try:
            digest = self._index.digest(name, status)
            if digest is None:
                digest, size = digest_of(fd, stopped)
                self._keep(name, os.fstat(fd), status, size, digest)
                status = os.fstat(fd)
            os.lseek(fd, 0, os.SEEK_SET)
        except BaseException:
            os.close(fd)
            raise
        return Version(fd, digest, status.st_size)

    def _keep(self, name: str, after: os.stat_result, before: os.stat_result, size: int, digest: Digest) -> None:
        """Remember it, unless the file was changed while it was read or may still be changing."""
        same = after.st_mtime_ns == before.st_mtime_ns and after.st_size == before.st_size == size
        if same and time.time_ns() - after.st_mtime_ns > _SETTLED_NS:
            self._index.keep_digests([row_of(name, after, digest)])

    def kept(self, digest: Digest) -> Version | None:
        """What is kept under this digest, whatever name it had; None: nothing. Raises OSError."""
        try:
            fd, status = open_file(self._tree.fd, f"{BLOBS}/{hex_of(digest)}")
        except (BeneathError, DigestError):
            return None
        return Version(fd, digest, status.st_size)
