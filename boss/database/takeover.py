"""One boss a database: the early lock, and the epoch that makes it certain.

The lock (MySQL's GET_LOCK, bound to the writer's connection) says early and in a sentence that another
boss is there. It proves nothing, as a connection can break; the epoch does, because each commit checks it.
SQLite has no such lock: there the boss's own lock on the state directory does the same.
"""

from __future__ import annotations

from sqlalchemy import Connection

from boss.common.times import format_utc
from boss.database.errors import DatabaseHeldError
from boss.database.statements import is_lite

_LOCK_NAME = "CONCAT('ecloud ', LEFT(DATABASE(), 24), ' ', LEFT(MD5(DATABASE()), 24))"


def lock(connection: Connection, wait_seconds: int) -> bool:
    """Take the early lock if it is or becomes free; True also where there is no such thing."""
    if is_lite(connection):
        return True
    return connection.exec_driver_sql(f"SELECT GET_LOCK({_LOCK_NAME}, {wait_seconds:d})").scalar() == 1


def held(connection: Connection, place: str) -> DatabaseHeldError:
    """The error to be raised where another boss has the early lock. Reads which one from the deployment's row."""
    host, pid, since = connection.exec_driver_sql("SELECT host, pid, since FROM deployment").one()
    return DatabaseHeldError(
        f"database {place} is in use by the boss on {_words(host, pid, since)}: one boss a database. "
        "Stop that one first, or give this one a database of its own; nothing was changed"
    )


def raise_epoch(connection: Connection, host: str, pid: int, since: float) -> tuple[int, int, str]:
    """(new epoch, last turn, words on who wrote before), inside the caller's transaction."""
    lite = is_lite(connection)
    found = connection.exec_driver_sql(
        f"SELECT epoch, turn, host, pid, since FROM deployment{'' if lite else ' FOR UPDATE'}"
    ).one()
    mark = "?" if lite else "%s"
    connection.exec_driver_sql(
        f"UPDATE deployment SET epoch = epoch + 1, host = {mark}, pid = {mark}, since = {mark}", (host, pid, since)
    )
    before = _words(found.host, found.pid, found.since) if found.epoch else ""
    return found.epoch + 1, found.turn, before


def _words(host: str, pid: int, since: float) -> str:
    return f"{host}, process {pid}, since {format_utc(since)}"
