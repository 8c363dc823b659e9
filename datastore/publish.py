"""Publishing on a real disk: the steps that the agent asks for, one after another, from one thread.

Each step may be repeated, and may be cut off anywhere: what it left is completed or swept by the next start. It
decides nothing; which attempts, in which order, and what to do about a failure is the agent's business.
"""

from __future__ import annotations

import logging
import os

from datastore.agent.records import Record
from datastore.disk.beneath import Obstructed, open_file, open_folder
from datastore.disk.content import is_full
from datastore.disk.index import DigestRow, Index, row_of
from datastore.disk.names import Move, Names
from datastore.disk.syncs import sync_many
from datastore.disk.tree import Tree
from wire.messages import AttemptKey

logger = logging.getLogger(__name__)


class StepUndone(Exception):
    """A step that did not come to its end; a sentence. It is tried again."""

    def __init__(self, reason: str, full: bool = False) -> None:
        super().__init__(reason)
        self.full = full


class Publisher:
    def __init__(self, tree: Tree, index: Index, names: Names) -> None:
        self._tree = tree
        self._index = index
        self._names = names

    def sync_incoming(self, records: list[Record]) -> list[tuple[AttemptKey, str]]:
        """Make the files durable; return those attempts whose names cannot be given, with the reason."""
        try:
            reasons = self._names.obstacles([file.name for file in record.files] for record in records)
            sync_many(self._tree.incoming, self._to_sync(records), self._open_incoming)
        except OSError as error:
            raise self._undone("results cannot be made durable", error) from error
        return [(record.key, reason) for record, reason in zip(records, reasons, strict=True) if reason]

    def write_records(self, records: list[Record]) -> None:
        try:
            self._index.write_records(records, self._digests(records))
        except OSError as error:
            raise self._undone("publish records cannot be written", error) from error

    def place_files(self, records: list[Record]) -> None:
        moves = [move for record in records for move in self._left(record)]
        try:
            # Names whose rename happened in an earlier try must be durable too before anybody is told.
            self._names.give(moves, also_sync=(file.name for record in records for file in record.files))
        except Obstructed as error:
            raise StepUndone(f"results cannot get their names: {error}") from error
        except OSError as error:
            raise self._undone("results cannot get their names", error) from error
        for record in records:
            self._remove_folder(record)

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

    def _to_sync(self, records: list[Record]) -> list[str]:
        """Files, their folders, and the incarnation's folder (which is durable in incoming since the sweep)."""
        folders = [self._tree.attempt_folder(record.key, record.incarnation) for record in records]
        files = [
            f"{folder}/{number}"
            for folder, record in zip(folders, records, strict=True)
            for number in range(len(record.files))
        ]
        return [*files, *folders, self._tree.incarnation]

    def _open_incoming(self, path: str) -> int:
        if path.count("/") == 2:
            return open_file(self._tree.incoming, path)[0]
        return open_folder(self._tree.incoming, path)

    def _digests(self, records: list[Record]) -> list[DigestRow]:
        rows = []
        for record in records:
            folder = self._tree.attempt_folder(record.key, record.incarnation)
            for number, file in enumerate(record.files):
                status = os.stat(f"{folder}/{number}", dir_fd=self._tree.incoming, follow_symlinks=False)
                rows.append(row_of(file.name, status, file.digest))
        return rows

    def _left(self, record: Record) -> list[Move]:
        """The files that have no name yet."""
        folder = self._tree.attempt_folder(record.key, record.incarnation)
        try:
            left = set(os.listdir(f"/proc/self/fd/{self._tree.incoming}/{folder}"))
        except FileNotFoundError:
            return []
        return [
            Move(f"{folder}/{number}", file.name, file.digest)
            for number, file in enumerate(record.files)
            if str(number) in left
        ]

    def _remove_folder(self, record: Record) -> None:
        try:
            os.rmdir(self._tree.attempt_folder(record.key, record.incarnation), dir_fd=self._tree.incoming)
        except OSError:  # gone already, or swept at the next start
            pass

    def _undone(self, what: str, error: OSError) -> StepUndone:
        if is_full(error):
            return StepUndone(self._tree.full_text(), full=True)
        return StepUndone(f"{what} at {self._tree.root}: {error}")
