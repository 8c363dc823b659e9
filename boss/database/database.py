"""The database as the boss's loop sees it: open, take over, load, commit a turn, know whether a turn is there.

Knows connections, transactions and what to do when they break; what is written is `commit`'s matter, what
is read at a start `load`'s. Used by one thread only, but for `reads` and `lookups`, which any thread may use.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection, Engine, Row, StaticPool, create_engine, select
from sqlalchemy.engine import URL

from boss.core.rows import Changes, Loaded, LoadedBatch
from boss.database import commit, takeover
from boss.database.audit import Audit
from boss.database.engine import file_of, is_sqlite, parse_url, place_of, reader_engine, writer_engine
from boss.database.errors import (
    DatabaseBusyError,
    DatabaseError,
    DatabaseUnavailableError,
    NoDatabaseError,
    RowTooLargeError,
    SupersededError,
    is_failure,
    translate,
    translated,
)
from boss.database.load import load, load_batches
from boss.database.lookups import DatabaseLookups
from boss.database.queries import DatabaseReads
from boss.database.schema import bring_up_to_date, check_readable
from boss.database.statements import is_lite
from boss.database.tables import deployment, metadata

log = logging.getLogger(__name__)

T = TypeVar("T")

#: How long a commit that meets a lock or a lost server is tried again before it gives up.
RETRY_SECONDS = 60.0


class Database:
    """One database with at most one writer: this boss, once `take_over` has answered."""

    def __init__(self, url: URL, retry_seconds: float = RETRY_SECONDS) -> None:
        self.place = place_of(url)
        self.epoch = 0
        self.turn = 0
        #: The last turn of which it was logged that it has to be tried again.
        self._logged_turn = 0
        self._retry_seconds = retry_seconds
        self._writers: Engine = writer_engine(url)
        self._readers: Engine = reader_engine(url)
        self._writer: Connection | None = None
        #: Content -> number of every profile on disk; emptied when a transaction fails.
        self._interned: dict[bytes, int] = {}
        self.lookups = DatabaseLookups(self._readers, self.place)
        self.reads = DatabaseReads(self._readers, self.place)
        self.audit = Audit(self._readers, self.place)

    @classmethod
    def open(cls, url: str, deployment_id: str = "", retry_seconds: float = RETRY_SECONDS) -> Database:
        """Make it or bring it up to date. `deployment_id` counts only for a new one (made up if empty)."""
        database = cls(parse_url(url), retry_seconds)
        with translated(database.place), database._closed_on_error():
            bring_up_to_date(database._writers, database.place, deployment_id)
        return database

    @classmethod
    def open_to_read(cls, url: str) -> Database:
        """For reading beside a boss, or without one: no lock, no epoch, no change. Raises NoDatabaseError."""
        parsed = parse_url(url)
        if is_sqlite(parsed) and not file_of(parsed).exists():
            raise NoDatabaseError(f"there is no database {place_of(parsed)} yet: no boss has run here")
        database = cls(parsed)
        with translated(database.place), database._closed_on_error(), database._readers.connect() as connection:
            check_readable(connection, database.place)
        return database

    def close(self) -> None:
        """End all connections, and with them the early lock."""
        self._drop_writer()
        self._writers.dispose()
        self._readers.dispose()

    @property
    def deployment(self) -> str:
        """The random id made with this database."""
        return str(self._read(lambda connection: connection.execute(select(deployment.c.id)).scalar_one()))

    def take_over(self, host: str, pid: int, wall: float | None = None) -> tuple[int, str]:
        """Become the one that writes: (epoch, words on who did before). `wall`: seconds since 1970, by default now.

        Blocks on the database, up to a second of it for the early lock. Raises DatabaseHeldError: another boss has that
        lock; DatabaseError: else. All connections are closed then.
        """
        since = time.time() if wall is None else wall
        with translated(self.place), self._closed_on_error():
            connection = self._connection()
            with connection.begin():
                if not takeover.lock(connection, wait_seconds=1):
                    raise takeover.held(connection, self.place)
                epoch, turn, before = takeover.raise_epoch(connection, host, pid, since)
        self.epoch, self.turn = epoch, turn
        return epoch, before

    def load(self) -> Loaded:
        """All that is unfinished or live."""
        return self._read(load)

    def load_batches(self, numbers: Sequence[int]) -> tuple[list[LoadedBatch], dict[int, int], list[tuple[int, int]]]:
        """These batches, finished or not, as columns; states beyond them; edges that lead there."""
        return self._read(lambda connection: load_batches(connection, numbers))

    def commit(self, changes: Changes, wall: float) -> None:
        """Write one turn, all of it or nothing, in one transaction; `wall`: seconds since 1970. Blocks on the database.

        May be called again with the same changes after any error but SupersededError: a turn whose answer was lost is
        recognised by its number and not written twice. Raises RowTooLargeError: a row is above what the server accepts;
        DatabaseError: else, once it was tried again for some time where that may help.
        """
        try:
            self._turn(lambda one, turn: commit.write_changes(one, changes, wall, turn, self._profiles(one)))
        except RowTooLargeError as error:
            if error.attempt is not None:
                raise
            raise RowTooLargeError(f"{error}{commit.largest_task(changes)}") from error

    def still_mine(self) -> None:
        """What was just read is not of a boss that came after this one. Raises SupersededError."""
        if not self.epoch:
            return
        epoch = self._read(lambda connection: connection.exec_driver_sql("SELECT epoch FROM deployment").scalar_one())
        if epoch != self.epoch:
            raise SupersededError(
                f"database {self.place} was taken over by another boss (epoch {epoch}, mine {self.epoch})"
            )

    def prune_events(self, before: float, limit: int = 10_000) -> int:
        """Take journal rows older than `before` away, oldest first; answers how many (call again if `limit`)."""
        return self._turn(lambda connection, _turn: commit.prune_events(connection, before, limit)) or 0

    def keep_alive(self) -> None:
        """Say a word on the writer's connection, so that the server keeps it; to be called once a minute.

        Raises SupersededError if another boss has taken the database over, DatabaseUnavailableError if it is away.
        """

        def read(connection: Connection) -> Row[tuple[int, str, int]]:
            return connection.exec_driver_sql("SELECT epoch, host, pid FROM deployment").one()

        try:
            with translated(self.place):
                connection = self._connection()
                if is_lite(connection):  # there a word on the writer's connection would be a lock
                    now = self._read(read)
                else:
                    with connection.begin():
                        now = read(connection)
        except DatabaseError:
            self._drop_writer()
            raise
        if now.epoch != self.epoch:
            raise commit.superseded(self.place, self.epoch, now.epoch, now.host, now.pid)

    # --- how it is done ------------------------------------------------------------------------------

    def _turn(self, write: Callable[[Connection, int], T]) -> T | None:
        """One transaction that begins with the claim, tried again while it is worth it. None: it was there already."""
        if not self.epoch:
            raise RuntimeError("take_over comes before the first write")
        turn, ends, pause = self.turn + 1, time.monotonic() + self._retry_seconds, 0.02
        while True:
            try:
                written = self._try_turn(turn, write)
                break
            except Exception as raw:
                self._drop_writer()
                if not is_failure(raw):
                    raise
                error = translate(raw, self.place)
                if (
                    not isinstance(error, (DatabaseBusyError, DatabaseUnavailableError))
                    or time.monotonic() + pause > ends
                ):
                    raise error from raw
                level = logging.DEBUG if turn == self._logged_turn else logging.INFO  # an outage is logged once
                log.log(level, "turn %d is tried again: %s", turn, error, extra={"action": "commit_again"})
                self._logged_turn = turn
            time.sleep(pause)
            pause = min(2.0, pause * 2)
        self.turn = turn
        return written

    def _try_turn(self, turn: int, write: Callable[[Connection, int], T]) -> T | None:
        connection = self._connection()
        with connection.begin():
            claimed = commit.claim_turn(connection, self.epoch, turn, self.place)
            return write(connection, turn) if claimed else None

    def _profiles(self, connection: Connection) -> dict[bytes, int]:
        if not self._interned:
            found = connection.exec_driver_sql("SELECT content, number FROM profiles")
            self._interned = {bytes(content): number for content, number in found}
        return self._interned

    def _connection(self) -> Connection:
        if self._writer is None:
            self._writer = self._writers.connect()
            if self.epoch:
                with self._writer.begin():
                    takeover.lock(self._writer, wait_seconds=0)  # early warning only; the epoch is what counts
        return self._writer

    def _drop_writer(self) -> None:
        """Whatever the connection was in the middle of is rolled back by its end."""
        self._interned = {}
        connection, self._writer = self._writer, None
        if connection is not None:
            try:
                connection.invalidate()
                connection.close()
            except Exception as error:
                log.debug("a broken connection could not be closed: %s", error, extra={"action": "close_connection"})

    def _read(self, read: Callable[[Connection], T]) -> T:
        with translated(self.place), self._readers.connect() as connection:
            return read(connection)

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise


class EmptyDatabase:
    """What is read where no boss has run yet: the tables, in memory, with nothing in them. As much of a Database as
    reading takes. It has no deployment: that is made with the first one on disk."""

    deployment = ""

    def __init__(self) -> None:
        self._engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        metadata.create_all(self._engine)
        self.reads = DatabaseReads(self._engine, "in memory")
        self.lookups = DatabaseLookups(self._engine, "in memory")

    def close(self) -> None:
        """End its connections; the tables in memory go with them."""
        self._engine.dispose()
