"""The tables, as SQLAlchemy sees them. Which columns there are, and nothing of how they are filled.

The migrations make them (`migrations/versions`); a test compares the two. Columns stand in the order of
the fields of `boss.core.rows`, so that a row's values can be written as they are.

What was decided about their shape:

* A task is two rows. `tasks` is written once, when the push is accepted; `task_states` holds what changes,
  and a task that has not moved since (most of a million, at first) has no row there: its state is
  `tasks.accepted_as`. A dropped task keeps both rows: its number and its attempts are never given again.
* A batch's tasks are the numbers first .. first + count - 1, so the primary key finds them; nothing has an
  index on a state.
* A task's dependencies are a blob of task numbers in its row (array 'q'); `crossing` repeats only those
  edges whose two ends are in different batches.
* Names of files can be long: `results` and `files` are keyed by a digest of the name.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects import mysql

metadata = MetaData()

#: INTEGER on SQLite, where only that is the table's own key.
Number = BigInteger().with_variant(Integer(), "sqlite")
#: Anything that a user or a worker words: no limit that could refuse a row.
LongText = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
LongBytes = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
#: 16 bytes of BLAKE2b.
Digest16 = LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb")
#: An id or a project: compared byte by byte.
Name = String(255)
Word = String(32)


def _column(name: str, kind: object, key: bool = False, null: bool = False) -> Column[object]:
    return Column(name, kind, primary_key=key, nullable=null, autoincrement=False)  # type: ignore[arg-type]


#: One row: whose database this is, who writes it, and how many turns were written.
deployment = Table(
    "deployment",
    metadata,
    _column("one", Integer(), key=True),
    _column("id", Word),
    _column("epoch", Number),
    _column("turn", Number),
    _column("host", LongText),
    _column("pid", Number),
    _column("since", Double()),
)


batches = Table(
    "batches",
    metadata,
    _column("number", Number, key=True),
    _column("project", Name),
    _column("name", LongText),
    _column("first", Number),
    _column("count", Number),
    _column("counts", LongText),
    _column("attached", LongBytes),
    _column("paused", LongText),
    _column("created_at", Double()),
    _column("finished_at", Double()),
    _column("warnings", LongText),
    _column("worker_seconds", Double(), null=True),
    _column("budget_from", Double(), null=True),
    _column("paused_kind", Word, null=True),
    _column("submitter", LongText, null=True),
    _column("source", Word, null=True),
)

#: What the scheduler needs to know of a task, shared by all tasks that agree in it.
profiles = Table("profiles", metadata, _column("number", Number, key=True), _column("content", LongBytes))

tasks = Table(
    "tasks",
    metadata,
    _column("number", Number, key=True),
    _column("batch", Number),
    _column("project", Name),
    _column("id", Name),
    _column("content", Digest16),
    _column("profile", Number),
    _column("accepted_as", Integer()),
    _column("size", Number),
    _column("with_results", Boolean()),
    _column("dependencies", LongBytes),
    _column("requirements", LongBytes),
    _column("execution", LongBytes),
)
Index("tasks_by_id", tasks.c.project, tasks.c.id, unique=True)

task_states = Table(
    "task_states",
    metadata,
    _column("number", Number, key=True),
    _column("state", Integer()),
    _column("attempt", Number),
    _column("failures", Number),
    _column("deaths", Number),
    _column("reason", LongText),
    _column("cancelling", Boolean()),
    _column("changed_at", Double()),
    _column("dropped", Boolean(), null=True),
    _column("outdated", LongBytes, null=True),
)


def not_dropped() -> ColumnElement[bool]:
    """Of tasks joined with their states, where there is one."""
    return task_states.c.dropped.is_not(True)


crossing = Table(
    "crossing",
    metadata,
    _column("dependant", Number, key=True),
    _column("dependency", Number, key=True),
    sqlite_with_rowid=False,
)
Index("crossing_by_dependency", crossing.c.dependency)

attempts = Table(
    "attempts",
    metadata,
    _column("task", Number, key=True),
    _column("attempt", Number, key=True),
    _column("worker", LongText),
    _column("incarnation", LongText),
    _column("phase", Word),
    _column("ended", Word),
    _column("reason", LongText),
    _column("fault", Word),
    _column("exit_code", Number, null=True),
    _column("command", LongText),
    _column("commands", LongBytes),
    _column("inputs", LongBytes),
    _column("manifest", LongBytes),
    _column("figures", LongBytes),
    _column("stdout_tail", LongText),
    _column("stderr_tail", LongText),
    _column("seconds", Double()),
    _column("abandoning", Word),
    _column("sent_at", Double()),
    _column("began_at", Double()),
    _column("ended_at", Double()),
    _column("folders", LongBytes, null=True),
    sqlite_with_rowid=False,
)

inits = Table(
    "inits",
    metadata,
    _column("number", Number, key=True),
    _column("batch", Number),
    _column("position", Number),
    _column("spec", LongBytes),
    _column("attempt", Number),
    _column("retired", Boolean(), null=True),
)
Index("inits_by_batch", inits.c.batch)

workers = Table(
    "workers",
    metadata,
    _column("id", String(63), key=True),
    _column("incarnation", LongText),
    _column("state", Word),
    _column("pool", LongText),
    _column("slots", Number),
    _column("memory", Number),
    _column("labels", LongText),
    _column("place", LongBytes),
    _column("address", LongText),
    _column("quarantined", LongText),
    _column("draining", Boolean()),
    _column("keep_alive", Boolean()),
    _column("program", LongText),
    _column("first_seen_at", Double()),
    _column("changed_at", Double()),
    _column("quarantined_kind", Word, null=True),
    sqlite_with_rowid=False,
)

instances = Table(
    "instances",
    metadata,
    _column("number", Number, key=True),
    _column("worker", String(63)),
    _column("pool", LongText),
    _column("provider", LongText),
    _column("state", Word),
    _column("reference", LongText),
    _column("reason", LongText),
    _column("requested_at", Double()),
    _column("changed_at", Double()),
    _column("address", LongText, null=True),
    _column("keep_alive", Boolean(), null=True),
    _column("hello_at", Double(), null=True),
    _column("nic", LongText, null=True),
)

files = Table(
    "files",
    metadata,
    _column("key", Digest16, key=True),
    _column("digest", String(80), key=True),
    _column("name", LongText),
    _column("size", Number),
    _column("executable", Boolean()),
    _column("batch", Number),
    _column("stored", Boolean()),
    sqlite_with_rowid=False,
)
Index("files_by_stored", files.c.stored)
Index("files_by_digest", files.c.digest)

results = Table(
    "results",
    metadata,
    _column("project", Name, key=True),
    _column("key", Digest16, key=True),
    _column("name", LongText),
    _column("task", Number),
    _column("attempt", Number),
    _column("digest", String(80)),
    _column("size", Number),
    _column("executable", Boolean(), null=True),
    sqlite_with_rowid=False,
)
Index("results_by_task", results.c.task)

#: Ended attempts whose publish record the datastore still keeps.
records = Table(
    "records",
    metadata,
    _column("task", Number, key=True),
    _column("attempt", Number, key=True),
    sqlite_with_rowid=False,
)

#: The journal: one row a turn, its moves packed (see `journal`), with the range of tasks that they are about.
events = Table(
    "events",
    metadata,
    _column("turn", Number, key=True),
    _column("time", Double()),
    _column("lowest", Number),
    _column("highest", Number),
    _column("moves", LongBytes),
)
Index("events_by_time", events.c.time)
