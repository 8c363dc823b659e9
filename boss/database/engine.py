"""Connections: how SQLite and MariaDB/MySQL are reached and set up so that what is said to be written is.

Knows pragmas and session variables; knows no table. Each database gets two engines: one for the boss's
only writer connection, one (pooled) for everything that reads.
"""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Set
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from boss.database.errors import ROW_TOO_LARGE, DatabaseError

#: Seconds that a statement waits for a lock, and a connection for its server.
LOCK_SECONDS = 15
CONNECT_SECONDS = 10
_TIMEOUTS = {"connect_timeout": CONNECT_SECONDS, "read_timeout": 300, "write_timeout": 300}
#: After so long without a word the server ends a connection, and with it the lock of a boss whose host died.
IDLE_SECONDS = 300
#: Bytes of one multi-row statement, if the server accepts as much.
STATEMENT_BYTES = 1_000_000
#: What to do about a password with signs that mean something in a URL.
_ENCODED = "in user and password write @ as %40, : as %3A, / as %2F, ? as %3F and % as %25"


def parse_url(text: str) -> URL:
    """The address in the form that we use, with its driver. Raises DatabaseError, a sentence on what is wrong with it:
    no URL, no file or database named, or a kind that is not supported.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # whose words may quote the password: a stray : or @ moves it
        raise DatabaseError(
            f"the database's address is no URL such as sqlite:///file or mysql://user:password@host/name; {_ENCODED}"
        ) from None
    family = url.drivername.partition("+")[0]
    if family == "sqlite":
        if not url.database or url.database == ":memory:":
            raise DatabaseError("the database's address names no file: write sqlite:///directory/file.sqlite")
        return url.set(drivername="sqlite+pysqlite")
    if family in ("mysql", "mariadb"):
        if text.count("@") > 1:  # the driver would take a part of the password for the host, and name it in errors
            raise DatabaseError(f"the database's address has more than one @; {_ENCODED}")
        if not (url.password or "").isascii() or not (url.username or "").isascii():
            raise DatabaseError("the database's user and password may have ASCII characters only")
        if not url.database:
            raise DatabaseError("the database's address names no database: write mysql://user:password@host/name")
        if not url.query.keys() <= _driver_options():
            raise DatabaseError("the database's address has an option, after its ?, that the driver does not know")
        # One dialect name for both; which of the two the server is, it says itself.
        return url.set(drivername="mysql+pymysql").update_query_dict({"charset": "utf8mb4"})
    raise DatabaseError(f"databases of the kind {family!r} are not supported: use sqlite, mysql or mariadb")


def _driver_options() -> Set[str]:
    from pymysql.connections import Connection  # late: SQLite does not need it

    return inspect.signature(Connection).parameters.keys() | {"ssl_capath", "ssl_cipher"}  # two of SQLAlchemy's


def is_sqlite(url: URL) -> bool:
    """True: SQLite; False: a server, MariaDB or MySQL."""
    return url.get_backend_name() == "sqlite"


def file_of(url: URL) -> Path:
    """The file of an SQLite database."""
    return Path(url.database or "")


def place_of(url: URL) -> str:
    """How errors name it: never with a password."""
    return str(file_of(url)) if is_sqlite(url) else f"{url.database} on {url.host or 'localhost'}"


def writer_engine(url: URL) -> Engine:
    """For the one connection that writes; it is never pooled, the boss keeps it."""
    if is_sqlite(url):
        return _sqlite(
            create_engine(url, hide_parameters=True, poolclass=NullPool, connect_args={"timeout": LOCK_SECONDS}),
            writes=True,
        )
    return _mysql(
        create_engine(
            url, hide_parameters=True, poolclass=NullPool, isolation_level="READ COMMITTED", connect_args=_TIMEOUTS
        )
    )


def reader_engine(url: URL) -> Engine:
    """For everything that reads, from any thread."""
    if is_sqlite(url):
        return _sqlite(create_engine(url, hide_parameters=True, connect_args={"timeout": LOCK_SECONDS}), writes=False)
    # REPEATABLE READ: the statements of one read see one state, as they do on SQLite.
    return _mysql(
        create_engine(
            url, hide_parameters=True, pool_pre_ping=True, isolation_level="REPEATABLE READ", connect_args=_TIMEOUTS
        ),
    )


def _sqlite(engine: Engine, writes: bool) -> Engine:
    def on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in _WRITER_PRAGMAS if writes else _READER_PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def on_begin(connection: Any) -> None:
        # IMMEDIATE: a writer that waits, waits at its first statement, where nothing is done yet.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    return engine


_WRITER_PRAGMAS = (
    "journal_mode = WAL",
    # FULL syncs the log at each commit: what the boss has said is on the disk, a power cut included.
    "synchronous = FULL",
    "foreign_keys = OFF",
    "cache_size = -65536",
    "journal_size_limit = 67108864",
    "temp_store = MEMORY",
)
_READER_PRAGMAS = ("query_only = ON", "cache_size = -16384", "temp_store = MEMORY")


def _mysql(engine: Engine) -> Engine:
    def on_connect(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET SESSION wait_timeout = {IDLE_SECONDS}, innodb_lock_wait_timeout = {LOCK_SECONDS}")
        cursor.execute("SELECT @@max_allowed_packet")
        (packet,) = cursor.fetchone()
        cursor.close()
        connection.cursorclass = _cursor_class(connection.cursorclass, int(packet))

    event.listen(engine, "connect", on_connect)
    return engine


def _cursor_class(base: Any, accepted: int) -> type:
    """PyMySQL joins rows to statements of `max_stmt_length` bytes: that stays below what the server takes.

    One row above the limit is refused here; the server would only end the connection, as if it were lost.
    """

    from pymysql.err import OperationalError  # late: SQLite does not need it

    class ChunkedCursor(base):
        #: Read by `commit`, to name the row.
        packet = accepted
        max_stmt_length = min(STATEMENT_BYTES, accepted * 4 // 5)

        def _query(self, q: str | bytes) -> int:
            """Each statement as it is sent, a row with its values among them."""
            size = len(q.encode(errors="surrogateescape") if isinstance(q, str) else q)
            if size + 1 >= accepted:  # and the byte of the command
                reason = f"{size:,} bytes; the server's max_allowed_packet is {accepted:,}"
                raise OperationalError(ROW_TOO_LARGE, reason)
            return int(super()._query(q))

    return ChunkedCursor


def database_free_bytes(url: str) -> int | None:
    """Bytes that an SQLite database's disk still takes, its log's pages that are used again included.

    So that a push that cannot fit is refused at once.
    """
    path = Path(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///"):
        return None  # the server's disk is not ours to look at
    try:
        log = path.with_name(path.name + "-wal").stat().st_size
    except OSError:
        log = 0
    try:
        return shutil.disk_usage(path.parent).free + log
    except OSError:
        return None
