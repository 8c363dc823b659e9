"""Sent files get their names, and names are looked up. From one thread; decides nothing.

Where their content comes from is `exchange`'s business. Every sent file can also be found by its
digest from then on, because tasks are bound to the version that was sent and not to the name.
"""

from __future__ import annotations

import logging
import os
from typing import NamedTuple

from datastore.disk.beneath import BeneathError, PathObstructedError, open_file
from datastore.disk.content import DigestError, SizeDiffersError, Stopped, hex_of, is_full
from datastore.disk.index import Index, row_of
from datastore.disk.listing import list_folder, names_matching
from datastore.disk.names import Names, Rename
from datastore.disk.syncs import sync_many, sync_one
from datastore.disk.tree import Tree
from datastore.disk.versions import Versions
from datastore.exchange import ContentRejectedError, Exchange
from datastore.http import BossError
from wire.messages import Found, LookUp, PublishedFile, Store, Stored, StoreFailed
from wire.patterns import is_pattern

logger = logging.getLogger(__name__)

#: More files than this below one name are not listed one by one: the name counts as not there.
_LISTED = 20_000


class StoreResults(NamedTuple):
    answers: list[Stored | StoreFailed]
    #: Why the rest was not done; empty: all is answered.
    full: str


class Storage:
    def __init__(
        self,
        tree: Tree,
        index: Index,
        names: Names,
        versions: Versions,
        stopped: Stopped,
        exchange: Exchange | None = None,
    ) -> None:
        self._exchange = exchange or Exchange(tree, versions, stopped)
        self._tree = tree
        self._index = index
        self._names = names
        self._versions = versions
        self._stopped = stopped

    def store(self, orders: list[Store]) -> StoreResults:
        """Copy all, sync once, then name all. Raises CopyStoppedError."""
        answers: list[Stored | StoreFailed] = []
        moves: list[Rename] = []
        there: list[str] = []
        modes: list[Store] = []
        full = ""
        for order in orders:
            try:
                if self._is_there(order):
                    there.append(order.name)
                else:
                    moves.append(self._bring(order))
                modes.append(order)
            except (BeneathError, DigestError, SizeDiffersError, BossError, ContentRejectedError) as error:
                answers.append(StoreFailed(name=order.name, digest=order.digest, reason=str(error)))
            except OSError as error:
                if is_full(error):
                    full = self._tree.full_text()
                    break
                reason = (
                    f"{order.source!r} cannot be copied to {order.name!r} on the datastore: {error.strerror or error}"
                )
                answers.append(StoreFailed(name=order.name, digest=order.digest, reason=reason))
        done, full_too = self._name(modes, moves, there)
        return StoreResults(answers + done, full or full_too)

    def look_up(self, order: LookUp) -> Found:
        """A name may be a folder, or a pattern: then all files below it, or that match, are what was found."""
        names = list(dict.fromkeys(order.names))
        found: dict[str, PublishedFile] = {}
        missing = 0
        for name in names:
            try:
                files = self._found(name)
            except OSError as error:
                logger.warning("%r cannot be read and counts as not there: %s", name, error,
                               extra={"action": "look_up"})  # fmt: skip
                files = None
            missing += files is None
            found.update((file.name, file) for file in files or ())
        return Found(task=order.task, files=list(found.values()), complete=not missing)

    def _found(self, name: str) -> list[PublishedFile] | None:
        """What the name stands for; None: it is not there."""
        file = self._versions.current(name, self._stopped)
        if file is not None:
            return [file]
        entries = list_folder(self._tree, name)
        if entries is not None:
            below = [f"{name}/{entry.path}" for entry in entries if entry.is_file]
        elif is_pattern(name):
            below = names_matching(self._tree, name)
        else:
            return None
        if len(below) > _LISTED or (entries is None and not below):
            return None
        files = [self._versions.current(one, self._stopped) for one in below]
        return [file for file in files if file is not None]

    # -- inside --------------------------------------------------------------------------------------

    def _is_there(self, order: Store) -> bool:
        current = self._versions.current(order.name, self._stopped)
        if current is None or current.digest != order.digest:
            return False
        try:
            os.stat(hex_of(order.digest), dir_fd=self._tree.blobs)
        except FileNotFoundError:
            return False
        return True

    def _bring(self, order: Store) -> Rename:
        """Into incoming, verified, if it can have its name."""
        hex_of(order.digest)
        (reason,) = self._names.obstacles([[order.name]])
        if reason:
            raise ContentRejectedError(reason)
        return self._exchange.bring(order)

    def _name(
        self, orders: list[Store], moves: list[Rename], there: list[str]
    ) -> tuple[list[Stored | StoreFailed], str]:
        try:
            incoming = self._tree.incoming
            sync_many(incoming, [move.source for move in moves], lambda path: open_file(incoming, path)[0])
            self._index.keep_digests([row_of(move.name, self._status(move), move.digest) for move in moves])
            for move in moves:
                self._names.keep_blob(move.source, move.digest)
            if moves:
                sync_one(self._tree.blobs)
            self._names.give(moves, also_sync=there)
        except (OSError, PathObstructedError) as error:
            for move in moves:
                try:
                    os.unlink(move.source, dir_fd=self._tree.incoming)
                except OSError:  # has its name already, or is swept at the next start
                    pass
            if isinstance(error, OSError) and is_full(error):
                return [], self._tree.full_text()
            failed = [StoreFailed(name=each.name, digest=each.digest, reason=str(error)) for each in orders]
            return list(failed), ""
        return [Stored(name=order.name, digest=order.digest) for order in orders], ""

    def _status(self, move: Rename) -> os.stat_result:
        return os.stat(move.source, dir_fd=self._tree.incoming, follow_symlinks=False)
