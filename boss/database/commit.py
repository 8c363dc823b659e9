"""One turn's changes as statements, inside a transaction that the caller opens and ends.

The first statement takes the deployment's row: it proves that this boss is the one that may write, that
the turn is the next one, and it waits for whatever else may still hold the row. Then each kind of row
goes out in bulk. Decides nothing about retrying; see `database`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, func, or_
from sqlalchemy.exc import OperationalError

from boss.core.model import TERMINAL
from boss.core.rows import AttemptRow, BatchRow, Changes, ResultRow, TaskRow, WorkerRow
from boss.database import journal, tables
from boss.database.accept import init_values, name_key, write_acceptance
from boss.database.errors import ROW_TOO_LARGE, DatabaseError, RowTooLargeError, SupersededError
from boss.database.statements import (
    Row,
    delete,
    insert,
    insert_if_absent,
    is_lite,
    listed,
    parts,
    update,
    upsert,
    write_reported,
    write_rows,
)
from boss.database.tables import results

#: Of the statement around an attempt's texts.
_STATEMENT_BYTES = 4096

_json = msgspec.json.Encoder()
_values = msgspec.structs.astuple


def claim_turn(connection: Connection, epoch: int, turn: int, place: str) -> bool:
    """Take the deployment's row for this turn. False: the turn is on disk already (its answer was lost).

    Blocks while another connection holds the row. Raises SupersededError: another boss has raised the epoch;
    DatabaseError: the database is at a turn that is neither this one nor the one before.
    """
    sql = f"UPDATE deployment SET turn = turn + 1 WHERE epoch = {epoch:d} AND turn = {turn - 1:d}"
    if connection.exec_driver_sql(sql).rowcount == 1:
        return True
    now = connection.exec_driver_sql("SELECT epoch, turn, host, pid FROM deployment").one()
    if now.epoch != epoch:
        raise superseded(place, epoch, now.epoch, now.host, now.pid)
    if now.turn == turn:
        return False
    raise DatabaseError(f"database {place} is at turn {now.turn}, but this boss was about to write turn {turn}")


def superseded(place: str, mine: int, epoch: int, host: str, pid: int) -> SupersededError:
    """The error to be raised where the database is at another epoch (`epoch`) than this boss (`mine`)."""
    return SupersededError(
        f"database {place} was taken over by the boss on {host}, process {pid} (epoch {epoch}, mine was {mine}): "
        "this boss writes nothing more and ends"
    )


def write_changes(connection: Connection, changes: Changes, wall: float, turn: int, interned: dict[bytes, int]) -> None:
    """Everything but the claim. `interned` gains the new profiles; forget it when the transaction fails.

    `wall`: seconds since 1970. Blocks on the database. Raises RowTooLargeError: an attempt's row, which it names, is
    above what the server accepts; SQLAlchemy's errors as they are, for the caller to translate.
    """
    lite = is_lite(connection)
    for accepted in changes.accepted:
        interned.update(write_acceptance(connection, accepted, interned))
    write_rows(connection, update(tables.batches, lite, _BATCH_CHANGING), map(_batch_values, changes.batches.values()))
    write_reported(connection, upsert(tables.task_states, lite), map(_task_values, changes.tasks.values()))
    try:
        write_reported(connection, upsert(tables.attempts, lite), map(_values, changes.attempts.values()))
    except OperationalError as error:
        raise _too_large(error, connection, changes.attempts.values()) or error from None
    write_rows(connection, upsert(tables.inits, lite), map(init_values, changes.inits.values()))
    write_reported(connection, upsert(tables.workers, lite), map(_worker_values, changes.workers.values()))
    write_reported(connection, upsert(tables.instances, lite), map(_values, changes.instances.values()))
    _write_names(connection, changes, lite)
    if changes.moves:
        event = (turn, wall, *journal.task_range(changes.moves), journal.pack(changes.moves))
        write_rows(connection, insert(tables.events, lite), [event])


def _too_large(
    error: OperationalError, connection: Connection, attempts: Iterable[AttemptRow]
) -> RowTooLargeError | None:
    """Which attempt's row is above what the server accepts at once, measured as it was to be sent (`engine`).

    None: it is another error, or no attempt's row alone is as large.
    """
    packet = getattr(connection.connection.cursorclass, "packet", 0)  # SQLite's connection has none
    if not packet or error.orig is None or error.orig.args[0] != ROW_TOO_LARGE:
        return None
    from pymysql.converters import escape_item  # late: SQLite does not need it

    for row in attempts:
        values = (value for value in _values(row) if isinstance(value, bytes | str))
        formatted = sum(len(escape_item(value, "utf8mb4").encode()) for value in values)
        if formatted + _STATEMENT_BYTES >= packet:
            return RowTooLargeError(
                f"its record takes {formatted:,} bytes ({len(row.manifest):,} of them list its result files), and the "
                f"database accepts less than {packet:,} at once (max_allowed_packet): raise that setting of the "
                "server, or let the task pack its results into fewer files",
                (row.task, row.attempt),
            )
    return None


def _write_names(connection: Connection, changes: Changes, lite: bool) -> None:
    stored = ((True, name_key(name), digest) for name, digest in changes.stored)
    write_rows(connection, update(tables.files, lite, ("stored",)), stored)
    _delete_left_before(connection, changes.folders)
    write_reported(connection, upsert(tables.results, lite), map(_result_values, changes.results.values()))
    # Other tasks may declare what dropped ones did; what was published stays where it is, and belongs to none.
    for part in parts([row.number for row in changes.tasks.values() if row.dropped and row.state in TERMINAL]):
        connection.exec_driver_sql(f"DELETE FROM results WHERE task IN ({listed(part)})")
    kept = (key for key, keep in changes.records.items() if keep)
    write_rows(connection, insert_if_absent(tables.records, lite), kept)
    _delete_records(connection, [key for key, keep in changes.records.items() if not keep], lite)


def _delete_left_before(connection: Connection, folders: dict[tuple[str, str], tuple[int, int]]) -> None:
    """What earlier attempts of the same task left below folders that were replaced whole."""
    for part in parts(list(folders.items()), 100):
        conditions = [
            (results.c.task == task)
            & results.c.attempt.between(1, attempt - 1)
            & (func.substr(results.c.name, 1, len(name) + 1) == f"{name}/")
            for (_, name), (task, attempt) in part
            if attempt > 1
        ]
        if conditions:
            connection.execute(results.delete().where(or_(*conditions)))


def _delete_records(connection: Connection, keys: list[tuple[int, int]], lite: bool) -> None:
    if lite:
        return write_rows(connection, delete(tables.records, lite), keys)
    for part in parts(keys, 1000):  # one statement each would be a round trip each
        pairs = ",".join(f"({task:d},{attempt:d})" for task, attempt in part)
        connection.exec_driver_sql(f"DELETE FROM records WHERE (task, attempt) IN ({pairs})")


#: What may change of a batch; its graph and what it is attached to were written when it was accepted.
_BATCH_CHANGING = (
    "name",
    "counts",
    "paused",
    "finished_at",
    "warnings",
    "worker_seconds",
    "budget_from",
    "paused_kind",
)


def _batch_values(row: BatchRow) -> Row:
    counts = _json.encode(list(map(int, row.counts))).decode()
    warnings = _json.encode(row.warnings).decode()
    spent = row.worker_seconds, row.budget_from
    return row.name, counts, row.paused, row.finished_at, warnings, *spent, row.paused_kind, row.number


def _task_values(row: TaskRow) -> Row:
    # int(): drivers know plain numbers best, and a state may come as the enumeration.
    return (
        row.number,
        int(row.state),
        row.attempt,
        row.failures,
        row.deaths,
        row.reason,
        row.cancelling,
        row.changed_at,
        row.dropped,
        row.outdated or None,
    )


def _worker_values(row: WorkerRow) -> Row:
    values = list(_values(row))
    values[6] = _json.encode(row.labels).decode()
    return tuple(values)


def _result_values(row: ResultRow) -> Row:
    key = name_key(row.name)
    return row.project, key, row.name, row.task, row.attempt, row.digest, row.size, row.executable


def largest_task(changes: Changes) -> str:
    """Words for an error about a row's size: which accepted task has the largest description."""
    sizes = [
        (len(execution), id)
        for accepted in changes.accepted
        for execution, id in zip(accepted.submission.executions, accepted.submission.ids, strict=True)
    ]
    if not sizes:
        return ""
    size, id = max(sizes)
    return f"; the largest task of this push is {id!r} with {size:,} bytes"


def prune_events(connection: Connection, before: float, limit: int) -> int:
    """Take the oldest journal rows away, a bounded number; answers how many."""
    found = connection.exec_driver_sql(
        f"SELECT turn FROM events WHERE time < {before!r} ORDER BY turn LIMIT {limit:d}"
    ).scalars()
    turns = list(found)
    if turns:
        connection.exec_driver_sql(f"DELETE FROM events WHERE turn IN ({listed(turns)})")
    return len(turns)


__all__ = ["claim_turn", "prune_events", "write_changes"]
