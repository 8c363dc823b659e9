"""`python -m boss --reset`: what a boss knows is archived, and the next one begins with nothing.

Results stay where they are, and so does all that is no database: logins, keys, logs. The new database is another
deployment, so whatever the old one had under way counts for nothing, and workers that users started join the new one.
Refused while machines or processes are on record that a boss started: nothing would ever stop them.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from sqlalchemy import inspect
from sqlalchemy.engine import URL

from boss.core.model import OVER
from boss.database import Database, DatabaseHeldError, NoDatabaseError, takeover
from boss.database.engine import file_of, is_sqlite, parse_url, place_of, writer_engine
from boss.database.errors import translated
from boss.database.tables import metadata
from boss.state_directory.known_deployment import forget_deployment
from boss.state_directory.lock import CannotStartError, lock


def reset(state_directory: Path, url: str) -> str:
    """What was done, as a sentence. Raises CannotStartError, DatabaseError, OSError; then nothing was changed."""
    descriptor = lock(state_directory)
    try:
        try:
            database = Database.open_to_read(url)
        except NoDatabaseError as error:
            forget_deployment(state_directory)
            return f"there is nothing to archive: {error}"
        try:
            started = sorted(row.worker for row in database.reads.instances() if row.state not in OVER)
        finally:
            database.close()
        if started:
            shown = ", ".join(started[:5]) + (f" and {len(started) - 5} more" if len(started) > 5 else "")
            raise CannotStartError(
                f"{len(started)} workers are on record that a boss has started and not ended ({shown}): start the boss "
                "once more and end it (TERM or Ctrl-C ends its own workers), then reset; nothing was changed"
            )
        archived = archive(url, time.strftime("%Y%m%d_%H%M%S", time.gmtime()))
        forget_deployment(state_directory)
    finally:
        os.close(descriptor)
    return f"the boss begins with nothing; all that it knew is kept in {archived}"


# --- the archive -------------------------------------------------------------------------------------


def archive(url: str, stamp: str) -> str:
    """Under another name; nothing is deleted. Where all of it is now, in words; empty: there was nothing.

    Only for those who know that no boss uses it; on a server the early lock is asked, as for a take-over. Raises
    DatabaseError: then nothing was changed.
    """
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
            ours = sorted({*inspect(connection).get_table_names()} & {"alembic_version", *metadata.tables})
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
