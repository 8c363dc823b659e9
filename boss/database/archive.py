"""Putting a database aside under another name, so that the next boss begins with an empty one. Nothing is deleted.

Only for those who know that no boss uses it; on a server the early lock is asked, as for a take-over.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, inspect
from sqlalchemy.engine import URL

from boss.database import takeover
from boss.database.engine import file_of, is_sqlite, parse_url, place_of, writer_engine
from boss.database.errors import DatabaseHeldError, translated
from boss.database.tables import metadata


def archive(url: str, stamp: str) -> str:
    """Where all of it is now, in words; empty: there was nothing. Raises DatabaseError: then nothing was changed."""
    parsed = parse_url(url)
    with translated(place_of(parsed)):
        return _file(file_of(parsed), stamp) if is_sqlite(parsed) else _tables(parsed, stamp)


def _file(file: Path, stamp: str) -> str:
    if not file.exists():
        return ""
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        # The log goes into the file, and away: one that stayed behind would be taken for the next database's.
        connection.execute("PRAGMA journal_mode = DELETE")
    finally:
        connection.close()
    target = file.with_name(f"{file.stem}.before-{stamp}{file.suffix}")
    if target.exists():
        raise FileExistsError(17, "it is there already", str(target))
    file.rename(target)
    return str(target)


def _tables(url: URL, stamp: str) -> str:
    """All in one statement: all of them or none."""
    engine = writer_engine(url)
    try:
        with engine.connect() as connection:
            ours = _ours(connection)
            if not ours:
                return ""
            if not takeover.lock(connection, wait_seconds=1):
                raise DatabaseHeldError(
                    f"database {place_of(url)} is in use by a boss: end that one first; nothing was changed"
                )
            prefix = f"before_{stamp}_"
            renamed = ", ".join(f"`{name}` TO `{prefix}{name}`" for name in ours)
            connection.exec_driver_sql(f"RENAME TABLE {renamed}")
            return f"the tables {prefix}* of {place_of(url)}"
    finally:
        engine.dispose()


def _ours(connection: Connection) -> list[str]:
    there = set(inspect(connection).get_table_names())
    return sorted(there & {"alembic_version", *metadata.tables})
