"""The boss's database: SQLite or MariaDB/MySQL, one writer, one transaction a turn.

    Database.open, .open_to_read ── schema, engine    made, or brought up to date by the steps of migrations/
        .take_over ── takeover                        an early lock, and the epoch that each commit checks
        .load, .load_batches ── load                  what a start reads; batches that come back into memory
        .commit ── commit ── accept, journal          the rows of one turn; their SQL is in `statements`
        .lookups ── lookups ── inputs                 what the loop reads while it works, in bulk
        .reads ── queries ── journal, results         what users see, from any thread, with or without a boss

`tables` are the tables, `views` the values that reads give. `store` is the database as `boss.loop` uses it, `upkeep`
what is done between turns. `check` (with `audit`) and `reset` are `python -m boss --check` and `--reset`.

All that is raised is a DatabaseError (`errors`). Which rows there are is `boss.core.rows`; this package writes and
reads them and decides nothing. A commit of a boss that was superseded writes nothing.
"""

from boss.database.database import Database, EmptyDatabase
from boss.database.errors import (
    DatabaseBusyError,
    DatabaseError,
    DatabaseFullError,
    DatabaseHeldError,
    DatabaseUnavailableError,
    NoDatabaseError,
    NotWritableError,
    RowTooLargeError,
    SchemaTooNewError,
    SchemaTooOldError,
    StatementRefusedError,
    SupersededError,
)
from boss.database.lookups import DatabaseLookups
from boss.database.queries import DatabaseReads
from boss.database.views import JournalLine, JournalPage, StoredTask, TaskLine

__all__ = [
    "Database",
    "DatabaseBusyError",
    "DatabaseError",
    "EmptyDatabase",
    "DatabaseFullError",
    "DatabaseHeldError",
    "JournalLine",
    "JournalPage",
    "DatabaseLookups",
    "NoDatabaseError",
    "NotWritableError",
    "DatabaseReads",
    "SupersededError",
    "StoredTask",
    "TaskLine",
    "RowTooLargeError",
    "StatementRefusedError",
    "SchemaTooNewError",
    "SchemaTooOldError",
    "DatabaseUnavailableError",
]
