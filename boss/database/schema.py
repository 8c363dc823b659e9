"""The form of the tables: makes them, brings old ones up to date, refuses those of a newer program.

Alembic runs the steps in `migrations/versions`, without any file in the current directory. It is imported
only when there is a step to run, because a start that has none should not pay for it.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, select

from boss.database.errors import DatabaseError, NoDatabaseError, SchemaTooNewError, SchemaTooOldError
from boss.database.statements import insert_if_absent, is_lite
from boss.database.tables import deployment

#: Every form that there ever was, oldest first. A test compares it with the files.
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011")
HEAD = REVISIONS[-1]

_MIGRATIONS = Path(__file__).with_name("migrations")


def revision_of(connection: Connection) -> str | None:
    """The form that the database has; None: it has no tables of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return str(row[0]) if row else None


def check_known(revision: str | None, place: str) -> None:
    """Raises SchemaTooNewError."""
    if revision is not None and revision not in REVISIONS:
        raise SchemaTooNewError(
            f"database {place} has the form {revision}, which this program (newest known: {HEAD}) does not know: "
            "a newer ecloud has used it. Update this program, or name another database; nothing was changed"
        )


def check_readable(connection: Connection, place: str) -> None:
    """For those who only read: raises NoDatabaseError, SchemaTooOldError or SchemaTooNewError."""
    revision = revision_of(connection)
    check_known(revision, place)
    if revision is None:
        raise NoDatabaseError(f"database {place} is empty: no boss has used it yet")
    if revision != HEAD:
        raise SchemaTooOldError(
            f"database {place} has the older form {revision}: start the boss once, it brings it up to date"
        )


def bring_up_to_date(engine: Engine, place: str, deployment_id: str = "") -> None:
    """Make or migrate the tables, and the deployment's one row. Quick where nothing is to be done."""
    with engine.connect() as connection:
        revision = revision_of(connection)
        check_known(revision, place)
        if revision == HEAD and connection.execute(select(deployment.c.one)).first():
            return
    with engine.begin() as connection:
        _one_at_a_time(connection, place)
        _migrate(connection, place)
        sql = insert_if_absent(deployment, is_lite(connection))
        connection.exec_driver_sql(sql, [(1, deployment_id or uuid.uuid4().hex, 0, 0, "", 0, 0.0)])


def _one_at_a_time(connection: Connection, place: str) -> None:
    """On SQLite our BEGIN is a lock already; MySQL commits each table on its own and needs another."""
    if is_lite(connection):
        return
    taken = connection.exec_driver_sql(
        "SELECT GET_LOCK(CONCAT('ecloud migration ', LEFT(DATABASE(), 40)), 60)"
    ).scalar()
    if taken != 1:
        raise DatabaseError(f"database {place}: another program has been changing its tables for a minute; try again")


def _migrate(connection: Connection, place: str) -> None:
    revision = revision_of(connection)  # again: another program may have been quicker
    check_known(revision, place)
    if revision == HEAD:
        return
    from alembic import command  # late: it costs as much to import as a whole start
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, HEAD)
