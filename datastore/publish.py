"""Publishing on a real disk: the steps that the agent asks for, one after another, from one thread.

Each step may be repeated, and may be cut off anywhere: what it left is completed or swept by the next start. It
decides nothing; which attempts, in which order, and what to do about a failure is the agent's business.
"""

from __future__ import annotations

import logging
import os

from datastore.agent.events import FilesPlaced, IncomingSynced, RecordsWritten
from datastore.agent.records import Record
from datastore.disk.beneath import PathObstructedError
from datastore.disk.content import is_full
from datastore.disk.folders import Built, build, built_path, paths_of
from datastore.disk.index import DigestRow, Index, row_of
from datastore.disk.names import FolderRename, Names, Rename
from datastore.disk.syncs import sync_many
from datastore.disk.tree import Tree
from datastore.errors import DatastoreError
from wire.messages import AttemptKey

logger = logging.getLogger(__name__)


class StepFailedError(DatastoreError):
    """A step that did not come to its end; a sentence. It is tried again."""

    def __init__(self, reason: str, full: bool = False) -> None:
        super().__init__(reason)
        self.full = full


class Publisher:
    def __init__(self, tree: Tree, index: Index, names: Names) -> None:
        self._tree = tree
        self._index = index
        self._names = names

    def sync_incoming(self, records: list[Record]) -> IncomingSynced:
        """Build folders, make all durable; tell which attempts' names cannot be given, and the folders' inodes."""
        try:
            reasons = self._obstacles(records)
            built = [build(self._tree.incoming, record, self._folder(record)) for record in records]
            sync_many(self._tree.incoming, self._to_sync(records, built), self._open_incoming)
        except OSError as error:
            raise self._undone("results cannot be made durable", error) from error
        return IncomingSynced(
            [(record.key, reason) for record, reason in zip(records, reasons, strict=True) if reason],
            [(record.key, each.inodes) for record, each in zip(records, built, strict=True) if each.inodes],
        )

    def write_records(self, records: list[Record]) -> RecordsWritten:
        try:
            self._index.write_records(records, self._digests(records))
        except OSError as error:
            raise self._undone("publish records cannot be written", error) from error
        return RecordsWritten()

    def place_files(self, records: list[Record]) -> FilesPlaced:
        moves = [move for record in records for move in self._left(record)]
        try:
            # Names whose rename happened in an earlier try must be durable too before the end is reported.
            names = (name for record in records for name in record.names())
            folders = [move for record in records for move in self._folder_moves(record)]
            self._names.give(moves, also_sync=names, folder_moves=folders)
        except PathObstructedError as error:
            raise StepFailedError(f"results cannot get their names: {error}") from error
        except OSError as error:
            raise self._undone("results cannot get their names", error) from error
        # With the former folders that are in them.
        self._tree.janitor.remove([self._folder(record) for record in records])
        return FilesPlaced()

    def drop_records(self, deployment: str, keys: list[AttemptKey]) -> None:
        try:
            self._index.drop_records(deployment, keys)
        except OSError as error:
            logger.warning("publish records are kept for now: %s", error, extra={"action": "keep_records"})

    def discard(self, keys: list[AttemptKey]) -> None:
        for key in keys:
            try:
                self._tree.remove_attempt(key)
            except OSError as error:
                logger.warning("what was fetched of attempt %d.%d stays until the next start: %s", *key, error,
                               extra={"action": "leave_incoming"})  # fmt: skip

    def sweep(self) -> None:
        try:
            self._tree.sweep()
        except OSError as error:
            logger.warning("remains of a former start stay in incoming: %s", error, extra={"action": "leave_incoming"})

    # -- inside --------------------------------------------------------------------------------------

    def _obstacles(self, records: list[Record]) -> list[str]:
        alone = [
            [file.name for file, place in zip(record.files, record.folder_places(), strict=True) if place is None]
            for record in records
        ]
        reasons = self._names.obstacles(alone)
        return [
            reason or self._names.obstacle_of_folders(folder.name for folder in record.folders)
            for reason, record in zip(reasons, records, strict=True)
        ]

    def _folder(self, record: Record) -> str:
        return self._tree.attempt_folder(record.key, record.incarnation)

    def _to_sync(self, records: list[Record], built: list[Built]) -> list[str]:
        """Files, their folders, and the incarnation's folder (which is durable in incoming since the sweep)."""
        paths = []
        for record, each in zip(records, built, strict=True):
            folder = self._folder(record)
            places = record.folder_places()
            paths += [f"{folder}/{number}" for number, place in enumerate(places) if place is None]
            paths += [*each.paths, folder]
        return [*paths, self._tree.incarnation]

    def _open_incoming(self, path: str) -> int:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._tree.incoming)

    def _digests(self, records: list[Record]) -> list[DigestRow]:
        return [
            row_of(file.name, os.stat(path, dir_fd=self._tree.incoming, follow_symlinks=False), file.digest)
            for record in records
            for file, path in zip(record.files, paths_of(record, self._folder(record)), strict=True)
        ]

    def _left(self, record: Record) -> list[Rename]:
        """The files that have no name yet, but for those in folders."""
        folder = self._folder(record)
        try:
            left = set(os.listdir(f"/proc/self/fd/{self._tree.incoming}/{folder}"))
        except FileNotFoundError:
            return []
        return [
            Rename(f"{folder}/{number}", file.name, file.digest)
            for number, (file, place) in enumerate(zip(record.files, record.folder_places(), strict=True))
            if place is None and str(number) in left
        ]

    def _folder_moves(self, record: Record) -> list[FolderRename]:
        if not record.folders:
            return []
        digests: list[dict[str, str]] = [{} for _ in record.folders]
        for file, place in zip(record.files, record.folder_places(), strict=True):
            if place is not None:
                digests[place][file.name] = file.digest
        return [
            FolderRename(built_path(self._folder(record), place), each.inode, each.name, digests[place])
            for place, each in enumerate(record.folders)
        ]

    def _undone(self, what: str, error: OSError) -> StepFailedError:
        if is_full(error):
            return StepFailedError(self._tree.full_text(), full=True)
        return StepFailedError(f"{what} at {self._tree.root}: {error}")
