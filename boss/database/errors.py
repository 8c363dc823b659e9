"""What can go wrong with the database, as a tree, and how a driver's exception becomes one of these.

    DatabaseError                  anything else that the database refused: a bug, or a damaged file
    ├── SupersededError            another boss has taken this database over: stop, write nothing more
    ├── DatabaseHeldError          another boss holds it now (said before anything is changed)
    ├── DatabaseBusyError          a deadlock or a lock that lasts; tried again automatically
    ├── DatabaseUnavailableError   not reachable, or the answer is lost: read back whether the turn is there
    ├── DatabaseFullError          no room on the disk; nothing of the turn is there, it may be tried again
    ├── NotWritableError           a directory, file or right is missing
    ├── StatementRefusedError      what was to be written is refused, and would be again
    │   └── RowTooLargeError       one row is larger than the server accepts
    ├── SchemaTooNewError          made by a newer version of this program
    ├── SchemaTooOldError          made by an older one (only when opened to read)
    └── NoDatabaseError            there is none (only when opened to read)

Knows the drivers' error numbers and nothing of what was being written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError


class DatabaseError(Exception):
    """Root of the tree. The text is a sentence for users."""


class SupersededError(DatabaseError):
    """Another boss has raised the epoch."""


class DatabaseHeldError(DatabaseError):
    """Another boss holds the early lock."""


class DatabaseBusyError(DatabaseError):
    """A lock or a deadlock: try again."""


class DatabaseUnavailableError(DatabaseError):
    """Not reachable; what was under way may have happened."""


class DatabaseFullError(DatabaseError):
    """No room on the disk."""


class NotWritableError(DatabaseError):
    """A right or a directory is missing."""


class StatementRefusedError(DatabaseError):
    """The database is there and took nothing of the statement; a bad value, or a bug."""


class RowTooLargeError(StatementRefusedError):
    """A row above the server's max_allowed_packet."""

    def __init__(self, text: str, attempt: tuple[int, int] | None = None) -> None:
        """`attempt`: (task, attempt) of the row, where it is one of an attempt."""
        super().__init__(text)
        self.attempt = attempt


class SchemaTooNewError(DatabaseError):
    """Made by a newer program."""


class SchemaTooOldError(DatabaseError):
    """Made by an older program and opened to read only, so that it cannot be brought up to date."""


class NoDatabaseError(DatabaseError):
    """There is none yet."""


#: MySQL's number of the error, which `engine` raises before the server would.
ROW_TOO_LARGE = 1153
_REFUSED: tuple[type[DatabaseError], str] = (StatementRefusedError, "the statement was refused")

_SQLITE: dict[int, tuple[type[DatabaseError], str]] = {
    sqlite3.SQLITE_FULL: (DatabaseFullError, "the disk is full; free some space, nothing is lost"),
    sqlite3.SQLITE_BUSY: (DatabaseBusyError, "another program keeps it locked"),
    sqlite3.SQLITE_LOCKED: (DatabaseBusyError, "another connection keeps a table locked"),
    sqlite3.SQLITE_CANTOPEN: (
        NotWritableError,
        "the file cannot be opened; check that its directory exists and is yours",
    ),
    sqlite3.SQLITE_READONLY: (
        NotWritableError,
        "it may not be written; check the rights of the file and its directory",
    ),
    sqlite3.SQLITE_PERM: (NotWritableError, "it may not be opened; check the rights of the file and its directory"),
    sqlite3.SQLITE_TOOBIG: (RowTooLargeError, "a value is above SQLite's limit of 1,000,000,000 bytes"),
    sqlite3.SQLITE_CORRUPT: (DatabaseError, "the file is damaged; restore a copy of it"),
    sqlite3.SQLITE_NOTADB: (DatabaseError, "the file is no SQLite database"),
}

#: Input/output errors of SQLite that a full disk causes; others are of the disk itself.
_SQLITE_WRITES = frozenset(
    {
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_TRUNCATE,
    }
)

_MYSQL: dict[int, tuple[type[DatabaseError], str]] = {
    1021: (DatabaseFullError, "the server's disk is full; free some space, nothing is lost"),
    1114: (DatabaseFullError, "the server has no room for more rows; nothing is lost"),
    3: (DatabaseFullError, "the server cannot write a file, probably for want of space; nothing is lost"),
    1205: (DatabaseBusyError, "a lock was waited for in vain"),
    1213: (DatabaseBusyError, "a deadlock"),
    1040: (DatabaseUnavailableError, "the server has too many connections"),
    1053: (DatabaseUnavailableError, "the server is shutting down"),
    1927: (DatabaseUnavailableError, "the server ended the connection"),
    2002: (DatabaseUnavailableError, "the server cannot be reached"),
    2003: (DatabaseUnavailableError, "the server cannot be reached"),
    2006: (DatabaseUnavailableError, "the connection to the server is lost"),
    2013: (DatabaseUnavailableError, "the connection to the server was lost in the middle of a statement"),
    2055: (DatabaseUnavailableError, "the connection to the server is lost"),
    4031: (DatabaseUnavailableError, "the server ended an idle connection"),
    1044: (NotWritableError, "the login has no right to this database"),
    1045: (NotWritableError, "the server refuses the login; check user and password in the database's address"),
    1049: (NotWritableError, "there is no database of that name on the server; make it once with CREATE DATABASE"),
    1142: (NotWritableError, "the login lacks a right on a table"),
    1290: (NotWritableError, "the server is set to read only"),
    ROW_TOO_LARGE: (RowTooLargeError, "a row is above the server's max_allowed_packet; raise that setting"),
}


@contextmanager
def translated(place: str) -> Iterator[None]:
    """What the database or its driver raises inside comes out as a DatabaseError; a bug of ours as it is."""
    try:
        yield
    except Exception as error:
        if not is_failure(error):
            raise
        raise translate(error, place) from error


def is_failure(error: BaseException) -> bool:
    """True: raised by the database, its driver or the network."""
    ours = isinstance(error, (SQLAlchemyError, sqlite3.Error, OSError))
    return ours or type(error).__module__.startswith("pymysql")


def translate(error: BaseException, place: str) -> DatabaseError:
    """Our error for what SQLAlchemy or a driver raised; `place` is the database's name without its password."""
    if isinstance(error, DatabaseError):
        return error
    raw = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    kind, sentence = _classify(raw)
    return kind(f"database {place}: {sentence} ({_short(raw)})")


def _classify(raw: BaseException) -> tuple[type[DatabaseError], str]:
    if isinstance(raw, sqlite3.Error):
        return _classify_sqlite(raw)
    if isinstance(raw, (ConnectionError, TimeoutError)):
        return DatabaseUnavailableError, "the server cannot be reached"
    number = raw.args[0] if raw.args and isinstance(raw.args[0], int) else None
    if number == 1030 and "28" in str(raw):
        return _MYSQL[1021]
    if number == 0 and type(raw).__name__ == "InterfaceError":
        return _MYSQL[2006]  # PyMySQL's way to say that its socket is closed
    return _MYSQL.get(number or -1, _REFUSED)


def _classify_sqlite(raw: sqlite3.Error) -> tuple[type[DatabaseError], str]:
    code = getattr(raw, "sqlite_errorcode", None)
    if code is None:
        return _REFUSED
    if code in _SQLITE_WRITES:
        return DatabaseFullError, "it cannot be written, probably because the disk is full; nothing is lost"
    return _SQLITE.get(code & 0xFF, _REFUSED)


def _short(raw: BaseException) -> str:
    """The driver's own words, without the row that it may quote."""
    words = str(raw.args[-1]) if raw.args else type(raw).__name__
    return words if len(words) <= 300 else words[:300] + " ..."
