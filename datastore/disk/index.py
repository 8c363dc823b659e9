"""What the datastore must remember: epochs, publish records, and the digests of files that it has read. SQLite.

One file in the tree's own folder; every commit is synced before the call returns. Safe from any thread. Records and
the digests of their files are written in one transaction: a digest row says "a file with this inode, size and time
at this name has this content", so it is true as soon as the rename has happened and matches nothing before; the row of
the version that has the name until then stays beside it.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from datastore.agent.records import Record, RecordedFile, RecordedFolder
from datastore.disk.errors import DiskError
from wire.messages import AttemptKey

_SCHEMA = """
CREATE TABLE IF NOT EXISTS epochs (deployment TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    deployment TEXT NOT NULL, task INTEGER NOT NULL, attempt INTEGER NOT NULL, incarnation TEXT NOT NULL,
    files BLOB NOT NULL, PRIMARY KEY (deployment, task, attempt)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS digests (
    name TEXT NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    digest TEXT NOT NULL, PRIMARY KEY (name, inode)) WITHOUT ROWID;
"""

_encoder = msgspec.json.Encoder()


class _Contents(msgspec.Struct, omit_defaults=True):
    """What a record's `files` column holds; without folders it is the list of files alone."""

    files: list[RecordedFile]
    folders: list[RecordedFolder] = msgspec.field(default_factory=list)


_decoder: msgspec.json.Decoder[list[RecordedFile] | _Contents] = msgspec.json.Decoder(list[RecordedFile] | _Contents)


class IndexUnusableError(DiskError):
    """The index cannot be used; says where it is and why."""


class DigestRow(NamedTuple):
    """The content of the file with this inode, at this name, as long as size and time of change are the same."""

    name: str
    inode: int
    size: int
    mtime_ns: int
    digest: str


def row_of(name: str, status: os.stat_result, digest: str) -> DigestRow:
    return DigestRow(name, status.st_ino, status.st_size, status.st_mtime_ns, digest)


class Index:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise IndexUnusableError(
                f"the datastore's index {path} cannot be used: {error}. Nothing was changed. If the file is damaged, "
                "move it away: digests are computed again, and results that were just being published are fetched "
                "again."
            ) from error

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    # -- epochs and records --------------------------------------------------------------------------

    def epoch(self, deployment: str) -> int:
        with self._lock:
            row = self._connection.execute("SELECT epoch FROM epochs WHERE deployment = ?", (deployment,)).fetchone()
        return int(row[0]) if row else 0

    def keep_epoch(self, deployment: str, epoch: int) -> None:
        self._write([("INSERT OR REPLACE INTO epochs VALUES (?, ?)", [(deployment, epoch)])])

    def records(self) -> list[Record]:
        """In the order in which they can be completed: no two that are incomplete share a name."""
        with self._lock:
            rows = self._connection.execute("SELECT deployment, incarnation, task, attempt, files FROM records")
            return [
                Record(deployment, incarnation, task, attempt, *_read(files))
                for deployment, incarnation, task, attempt, files in rows
            ]

    def write_records(self, records: Iterable[Record], digests: Iterable[DigestRow]) -> None:
        rows = [(each.deployment, *each.key, each.incarnation, _written(each)) for each in records]
        self._write(
            [
                ("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)", rows),
                ("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?)", list(digests)),
            ]
        )

    def drop_records(self, deployment: str, keys: Iterable[AttemptKey]) -> None:
        rows = [(deployment, *key) for key in keys]
        self._write([("DELETE FROM records WHERE deployment = ? AND task = ? AND attempt = ?", rows)])

    # -- digests -------------------------------------------------------------------------------------

    def digest(self, name: str, status: os.stat_result) -> str | None:
        """Of the file that stands at this name with this status, if it was read before and is unchanged since."""
        query = "SELECT digest FROM digests WHERE name = ? AND inode = ? AND size = ? AND mtime_ns = ?"
        with self._lock:
            row = self._connection.execute(query, row_of(name, status, "")[:4]).fetchone()
        return str(row[0]) if row else None

    def keep_digests(self, rows: Iterable[DigestRow]) -> None:
        self._write([("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?)", list(rows))])

    def drop_digests(self, files: Iterable[tuple[str, int]]) -> None:
        """Of these (name, inode): they are that name's no more."""
        self._write([("DELETE FROM digests WHERE name = ? AND inode = ?", list(files))])

    # -- inside --------------------------------------------------------------------------------------

    def _write(self, statements: Sequence[tuple[str, Sequence[tuple[object, ...]]]]) -> None:
        """All in one transaction. Raises OSError: with ENOSPC certainly nothing was written."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                for statement, rows in statements:
                    self._connection.executemany(statement, rows)
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back()
                full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
                raise OSError(errno.ENOSPC if full else errno.EIO, f"{self._path}: {error}") from error

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:  # SQLite has rolled back already
                pass


def _written(record: Record) -> bytes:
    return _encoder.encode(_Contents(record.files, record.folders) if record.folders else record.files)


def _read(column: bytes) -> tuple[list[RecordedFile], list[RecordedFolder]]:
    contents = _decoder.decode(column)
    return (contents.files, contents.folders) if isinstance(contents, _Contents) else (contents, [])
