"""The first form of the tables. Frozen: imports nothing of ours, because it must stay what it was."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LongText = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
LongBytes = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
Digest16 = sa.LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb")
Name = sa.String(255)
Word = sa.String(32)
Flag = sa.Boolean()
Time: Any = sa.Double()


def upgrade() -> None:
    """Make all tables and indexes, those that are there already left as they are."""
    _make_deployment()
    _make_graph()
    _make_work()
    _make_machines()
    _make_names()


def _make_deployment() -> None:
    _table(
        "deployment", {"one": sa.Integer()}, id=Word, epoch=Number, turn=Number, host=LongText, pid=Number, since=Time
    )
    _table("context", {"key": Name}, value=LongText)
    _table("events", {"turn": Number}, time=Time, lowest=Number, highest=Number, moves=LongBytes)
    _index("events_by_time", "events", "time")


def _make_graph() -> None:
    _table(
        "batches",
        {"number": Number},
        project=Name,
        name=LongText,
        first=Number,
        count=Number,
        counts=LongText,
        attached=LongBytes,
        paused=LongText,
        created_at=Time,
        finished_at=Time,
        warnings=LongText,
    )
    _table("profiles", {"number": Number}, content=LongBytes)
    _table(
        "tasks",
        {"number": Number},
        batch=Number,
        project=Name,
        id=Name,
        content=Digest16,
        profile=Number,
        accepted_as=sa.Integer(),
        size=Number,
        with_results=Flag,
        dependencies=LongBytes,
        requirements=LongBytes,
        execution=LongBytes,
    )
    _index("tasks_by_id", "tasks", "project", "id", unique=True)
    _table("crossing", {"dependant": Number, "dependency": Number}, rowid=False)
    _index("crossing_by_dependency", "crossing", "dependency")
    _table("inits", {"number": Number}, batch=Number, position=Number, spec=LongBytes, attempt=Number)
    _index("inits_by_batch", "inits", "batch")


def _make_work() -> None:
    _table(
        "task_states",
        {"number": Number},
        state=sa.Integer(),
        attempt=Number,
        failures=Number,
        deaths=Number,
        reason=LongText,
        cancelling=Flag,
        changed_at=Time,
    )
    _table(
        "attempts",
        {"task": Number, "attempt": Number},
        rowid=False,
        may_be_null={"exit_code"},
        worker=LongText,
        incarnation=LongText,
        phase=Word,
        ended=Word,
        reason=LongText,
        fault=Word,
        exit_code=Number,
        command=LongText,
        commands=LongBytes,
        inputs=LongBytes,
        manifest=LongBytes,
        figures=LongBytes,
        stdout_tail=LongText,
        stderr_tail=LongText,
        seconds=Time,
        abandoning=Word,
        sent_at=Time,
        began_at=Time,
        ended_at=Time,
    )
    _table("records", {"task": Number, "attempt": Number}, rowid=False)


def _make_machines() -> None:
    _table(
        "workers",
        {"id": sa.String(63)},
        rowid=False,
        incarnation=LongText,
        state=Word,
        pool=LongText,
        slots=Number,
        memory=Number,
        labels=LongText,
        place=LongBytes,
        address=LongText,
        quarantined=LongText,
        draining=Flag,
        keep_alive=Flag,
        program=LongText,
        first_seen_at=Time,
        changed_at=Time,
    )
    _table(
        "instances",
        {"number": Number},
        worker=sa.String(63),
        pool=LongText,
        provider=LongText,
        state=Word,
        reference=LongText,
        reason=LongText,
        requested_at=Time,
        changed_at=Time,
    )


def _make_names() -> None:
    _table(
        "files",
        {"key": Digest16, "digest": sa.String(80)},
        rowid=False,
        name=LongText,
        size=Number,
        executable=Flag,
        batch=Number,
        stored=Flag,
    )
    _index("files_by_stored", "files", "stored")
    _table(
        "results",
        {"project": Name, "key": Digest16},
        rowid=False,
        name=LongText,
        task=Number,
        attempt=Number,
        digest=sa.String(80),
        size=Number,
    )
    _index("results_by_task", "results", "task")


def _table(
    table: str,
    keys: dict[str, Any],
    *,
    rowid: bool = True,
    may_be_null: Set[str] = frozenset(),
    **columns: Any,
) -> None:
    made: list[Any] = [sa.Column(name, kind, primary_key=True, autoincrement=False) for name, kind in keys.items()]
    made += [sa.Column(name, kind, nullable=name in may_be_null) for name, kind in columns.items()]
    # if_not_exists: MySQL commits each table by itself, and an interrupted step is run again whole.
    op.create_table(table, *made, if_not_exists=True, sqlite_with_rowid=rowid, **_server_options())


def _index(name: str, table: str, *columns: str, unique: bool = False) -> None:
    if op.get_bind().dialect.name == "sqlite" or name not in _indexes(table):
        op.create_index(name, table, list(columns), unique=unique)


def _indexes(table: str) -> set[str | None]:
    return {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}


def _server_options() -> dict[str, object]:
    """Ids are compared byte by byte: "A" is not "a", and "a " is not "a". The two servers name that differently."""
    dialect: Any = op.get_bind().dialect
    if dialect.name == "sqlite":
        return {}
    collation = "utf8mb4_nopad_bin" if dialect.is_mariadb else "utf8mb4_0900_bin"
    return {
        "mysql_engine": "InnoDB",
        "mysql_row_format": "DYNAMIC",
        "mysql_default_charset": "utf8mb4",
        "mysql_collate": collation,
    }
