"""What `python -m boss --check` reads: attempts of a batch in brief, and rows that belong to nothing."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from boss.core.audit import AuditFinding, Standing
from boss.core.rows import BatchRow
from boss.database.reading import Reader, reads

#: Rows of one kind that are listed one by one.
SHOWN = 100

_NO_TASK = "LEFT JOIN tasks ON tasks.number = {0}.{1} WHERE tasks.number IS NULL"

#: SQL for (task, something) -> what is wrong with it; {0} is the something.
_DANGLING = (
    (
        "SELECT tasks.number, tasks.batch FROM tasks LEFT JOIN batches ON batches.number = tasks.batch "
        "WHERE batches.number IS NULL OR tasks.number < batches.first "
        "OR tasks.number >= batches.first + batches.count",
        "is of batch {0}, which is not there or does not have it",
    ),
    (
        "SELECT task_states.number, state FROM task_states " + _NO_TASK.format("task_states", "number"),
        "has only a state",
    ),
    (
        "SELECT attempts.task, attempts.attempt FROM attempts LEFT JOIN inits ON inits.number = attempts.task "
        + _NO_TASK.format("attempts", "task")
        + " AND inits.number IS NULL",
        "has an attempt {0} and is not there",
    ),
    (
        "SELECT attempts.task, attempts.attempt FROM attempts JOIN tasks ON tasks.number = attempts.task "
        "LEFT JOIN task_states ON task_states.number = attempts.task "
        "WHERE task_states.number IS NULL OR attempts.attempt > task_states.attempt",
        "has an attempt {0} above its newest one",
    ),
    (
        "SELECT attempts.task, attempts.worker FROM attempts LEFT JOIN workers ON workers.id = attempts.worker "
        "WHERE attempts.ended = '' AND workers.id IS NULL",
        "is with worker {0}, which is not there",
    ),
    ("SELECT results.task, results.name FROM results " + _NO_TASK.format("results", "task"), "has only a result, {0}"),
    (
        "SELECT results.task, results.name FROM results JOIN task_states ON task_states.number = results.task "
        "WHERE task_states.state = 3 AND task_states.attempt > 0 AND results.digest = ''",
        "has succeeded, and of its result {0} no digest is on record",
    ),
    (
        "SELECT results.task, results.name FROM results LEFT JOIN task_states ON task_states.number = results.task "
        "WHERE results.attempt > COALESCE(task_states.attempt, 0)",
        "has a result {0} of an attempt above its newest one",
    ),
    (
        "SELECT crossing.dependant, crossing.dependency FROM crossing " + _NO_TASK.format("crossing", "dependency"),
        "depends on task {0}, which is not there",
    ),
    (
        "SELECT crossing.dependant, crossing.dependency FROM crossing " + _NO_TASK.format("crossing", "dependant"),
        "is not there, and depends on task {0}",
    ),
    (
        "SELECT records.task, records.attempt FROM records LEFT JOIN attempts "
        "ON attempts.task = records.task AND attempts.attempt = records.attempt WHERE attempts.task IS NULL",
        "has a publish record of attempt {0}, of which there is no row",
    ),
    (
        "SELECT 0, files.name FROM files LEFT JOIN batches ON batches.number = files.batch "
        "WHERE batches.number IS NULL",
        "file {0} belongs to a batch that is not there",
    ),
)


class Audit(Reader):
    """Reads only; any thread."""

    @reads
    def attempts(self, connection: Connection, batch: BatchRow) -> dict[tuple[int, int], Standing]:
        """All attempts of the batch's own tasks."""
        sql = (
            "SELECT task, attempt, phase, ended, abandoning FROM attempts "
            f"WHERE task >= {batch.first:d} AND task < {batch.first + batch.count:d}"
        )
        found = connection.exec_driver_sql(sql)
        return {(task, number): Standing(*rest) for task, number, *rest in found}

    @reads
    def dangling(self, connection: Connection) -> list[AuditFinding]:
        """Rows that belong to nothing or contradict one another, SHOWN of each kind at most. Blocks while whole tables
        are read; raises DatabaseError.
        """
        return [finding for sql, words in _DANGLING for finding in _find(connection, sql, words)]


def _find(connection: Connection, sql: str, words: str) -> Iterator[AuditFinding]:
    for task, about in connection.exec_driver_sql(f"{sql} LIMIT {SHOWN:d}"):
        yield AuditFinding(task, words.format(about))
