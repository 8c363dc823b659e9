"""Contents between the boss and the tree: what pushes sent comes into incoming, what users ask for goes to the boss.

A content that is kept here already is taken from there. Else, where the boss is on the same machine, it is copied
from the boss's spool, and where it is not, fetched by HTTP. Gives no names and decides nothing.
"""

from __future__ import annotations

import os

from datastore.disk.beneath import open_file
from datastore.disk.content import SizeDiffersError, Stopped, copy, hex_of, mode_of
from datastore.disk.names import Rename
from datastore.disk.tree import Tree
from datastore.disk.versions import VersionMissingError, Versions
from datastore.errors import DatastoreError
from datastore.http import Boss, BossError, WrongContentError
from wire.messages import Send, SendFailed, Sent, Store

#: How the source of a file begins that is to be fetched from the boss; then comes a path of its HTTP API.
BY_HTTP = "boss:"


class ContentRejectedError(DatastoreError):
    """What is to be stored is not what was announced, or cannot have that name; a sentence."""


class Exchange:
    """`bring` from one thread, `send` from any. `boss`: the one on another host, if there is one."""

    def __init__(self, tree: Tree, versions: Versions, stopped: Stopped, boss: Boss | None = None) -> None:
        self._tree = tree
        self._versions = versions
        self._stopped = stopped
        self._boss = boss
        self._last = 0

    def bring(self, order: Store) -> Rename:
        """The content in incoming, verified.

        Raises ContentRejectedError, BossError, BeneathError, DigestError, SizeDiffersError, CopyStoppedError, OSError.
        """
        self._last += 1
        self._tree.make_incarnation_folder()
        path = f"{self._tree.incarnation}/sent-{self._last}"
        if not self._bring_kept(order, path):
            if order.source.startswith(BY_HTTP):
                self._fetch(order, path)
            else:
                source, status = _open_source(order.source)
                self._copy(source, order.size or status.st_size, order, path)
        return Rename(path, order.name, order.digest)

    def send(self, order: Send) -> Sent | SendFailed:
        """Raises CopyStoppedError."""
        if self._boss is None:
            reason = "the datastore knows no way to the boss: start it with --boss-url and --http-token-file"
            return SendFailed(digest=order.digest, reason=reason)
        try:
            version = self._versions.open(order.name, order.digest, self._stopped)
        except (VersionMissingError, OSError) as error:
            return SendFailed(digest=order.digest, reason=str(error))
        try:
            self._boss.send(version.fd, order.digest, version.size)
        except (BossError, OSError) as error:
            return SendFailed(digest=order.digest, reason=str(error))
        finally:
            os.close(version.fd)
        return Sent(digest=order.digest)

    # -- inside --------------------------------------------------------------------------------------

    def _bring_kept(self, order: Store, path: str) -> bool:
        kept = self._versions.kept(order.digest)
        if kept is None:
            return False
        try:
            self._copy(kept.fd, kept.size, order, path)
        except (SizeDiffersError, ContentRejectedError):
            return False  # it was changed meanwhile: it is taken from where it was sent
        return True

    def _copy(self, source: int, size: int, order: Store, path: str) -> None:
        """Closes the source."""
        try:
            target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._tree.incoming)
        except BaseException:
            os.close(source)
            raise
        try:
            digest = copy(source, target, size, self._stopped)
            if digest != order.digest:
                raise ContentRejectedError(
                    f"the content of {order.source!r} has the digest {digest}, not {order.digest}"
                )
            os.fchmod(target, mode_of(order.executable))
        except BaseException:
            os.unlink(path, dir_fd=self._tree.incoming)
            raise
        finally:
            os.close(source)
            os.close(target)

    def _fetch(self, order: Store, path: str) -> None:
        """From the boss; what came stays beside until it is whole, also over a restart."""
        if self._boss is None:
            raise ContentRejectedError(
                "it is to be fetched from the boss, but no --boss-url and --http-token-file are given here"
            )
        part = hex_of(order.digest)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(part, flags, 0o600, dir_fd=self._tree.parts)
        try:
            digest = self._boss.fetch(order.source.removeprefix(BY_HTTP), target, order.size)
            if digest != order.digest:
                raise WrongContentError(f"what the boss has as {order.digest} has the digest {digest}; push it again")
            os.fchmod(target, mode_of(order.executable))
            os.rename(part, path, src_dir_fd=self._tree.parts, dst_dir_fd=self._tree.incoming)
        except WrongContentError:
            os.unlink(part, dir_fd=self._tree.parts)
            raise
        finally:
            os.close(target)


def _open_source(path: str) -> tuple[int, os.stat_result]:
    folder, base = os.path.split(path)
    parent = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return open_file(parent, base)
    finally:
        os.close(parent)
