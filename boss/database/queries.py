"""What users read: lists of tasks, one task whole, batches, workers, counts, the journal.

Reads only, from any thread, beside a running boss or without one; in a database that is being written,
each call sees one state of it. Nothing here is needed for the work to go on.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from boss.core.model import InitSpec, TaskState
from boss.core.rows import BatchRow, InstanceRow, WorkerRow
from boss.database import journal, results
from boss.database.load import attempt_rows, batch_rows, boot_times, instance_rows, spent_days, worker_rows
from boss.database.reading import Reader, reads
from boss.database.statements import listed, parts
from boss.database.tables import attempts, batches, inits, not_dropped, task_states, tasks, workers
from boss.database.views import LARGEST, JournalLine, JournalPage, ResultLine, StoredTask, TaskLine
from wire.messages import Execution, Input

#: States in which no task is accepted: whoever is in one has a row in `task_states`.
_NEVER_AT_FIRST = frozenset({TaskState.RUNNING, TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED})

_executions = msgspec.json.Decoder(Execution)
_inputs = msgspec.json.Decoder(list[Input])
_specs = msgspec.msgpack.Decoder(InitSpec)
#: How its newest execution ended -> what an init task is called that has no state of its own.
_INIT_STATES = {
    "succeeded": TaskState.SUCCEEDED,
    "failed": TaskState.FAILED,
    "timed_out": TaskState.FAILED,
    "cancelled": TaskState.CANCELLED,
    "lost": TaskState.QUEUED,
    "returned": TaskState.QUEUED,
}
_state = func.coalesce(task_states.c.state, tasks.c.accepted_as)


class DatabaseReads(Reader):
    """See the functions' own lines."""

    @reads
    def tasks_of(
        self,
        connection: Connection,
        states: Collection[int] = (),
        batch: int = 0,
        project: str | None = None,
        after: int = 0,
        limit: int = 100,
        offset: int = 0,
        with_execution: bool = False,
    ) -> list[TaskLine]:
        """Tasks in order of number, of these states (none: all), from the one after number `after` on."""
        chosen = _lines(frozenset(map(int, states)), with_execution).where(tasks.c.number > after)
        if batch:
            chosen = chosen.where(_in_batch(connection, batch))
        if project is not None:
            chosen = chosen.where(tasks.c.project == project)
        return [task_line(row) for row in connection.execute(chosen.limit(limit).offset(offset))]

    @reads
    def task_lines(
        self, connection: Connection, numbers: Sequence[int], with_execution: bool = False
    ) -> list[TaskLine]:
        """These tasks, in order of number; those that are not there, or dropped, are left out."""
        chosen, found = _lines(frozenset(), with_execution), []
        for part in parts(numbers):
            found += [task_line(row) for row in connection.execute(chosen.where(tasks.c.number.in_(part)))]
        return sorted(found, key=lambda line: line.number)

    @reads
    def task_detail(self, connection: Connection, number: int) -> StoredTask | None:
        """All that is known of one task; None: there is none of that number, or it is dropped."""
        row = connection.execute(_lines(frozenset(), True).where(tasks.c.number == number)).first()
        return None if row is None else _task_detail(connection, task_line(row))

    @reads
    def init_tasks(self, connection: Connection, project: str, id: str) -> list[int]:
        """Numbers of the init tasks that are called so in the project, newest first."""
        sql = (
            select(inits.c.number, inits.c.spec)
            .join_from(inits, batches, batches.c.number == inits.c.batch)
            .where(batches.c.project == project)
            .order_by(inits.c.number.desc())
        )
        return [number for number, spec in connection.execute(sql) if _specs.decode(spec).id == id]

    @reads
    def init_detail(self, connection: Connection, number: int) -> StoredTask | None:
        """All that is known of one init task, with its executions on whatever worker; None: there is none."""
        chosen = select(inits.c.batch, inits.c.spec, batches.c.project)
        found = chosen.join_from(inits, batches, batches.c.number == inits.c.batch).where(inits.c.number == number)
        row = connection.execute(found).first()
        return None if row is None else _init_detail(connection, number, row.batch, row.project, row.spec)

    @reads
    def batches(self, connection: Connection) -> list[BatchRow]:
        """All of them, oldest first."""
        return batch_rows(connection, "1 = 1")

    @reads
    def batch(self, connection: Connection, number: int) -> BatchRow | None:
        """The batch of this number; None: there is none."""
        found = batch_rows(connection, f"number = {number:d}")
        return found[0] if found else None

    @reads
    def workers(self, connection: Connection) -> list[WorkerRow]:
        """All that ever said hello, gone ones too."""
        return worker_rows(connection)

    @reads
    def instances(self, connection: Connection) -> list[InstanceRow]:
        """All instances, gone and failed ones too, in order of number."""
        return instance_rows(connection)

    @reads
    def live_instances(self, connection: Connection) -> list[InstanceRow]:
        """Those that are neither gone nor failed."""
        return instance_rows(connection, "state NOT IN ('gone', 'failed')")

    @reads
    def pools_past(self, connection: Connection) -> tuple[dict[str, list[float]], dict[str, dict[int, float]]]:
        """Of each pool its last boot times, and what was spent by day: as a boss reads them at its start."""
        return (boot_times(connection), spent_days(connection))

    def counts(self) -> list[int]:
        """How many tasks are in each TaskState, over all batches."""
        totals = [0] * len(TaskState)
        for row in self.batches():
            totals = [total + count for total, count in zip(totals, row.counts, strict=True)]
        return totals

    @reads
    def story(self, connection: Connection, number: int) -> list[JournalLine]:
        """Every move that the journal still has of this task and its attempts, oldest first."""
        return journal.story(connection, number)

    @reads
    def events(
        self, connection: Connection, after: int = 0, since: float = 0.0, task: int = 0, limit: int = 1000
    ) -> JournalPage:
        """The journal from the turn after `after` on, whole turns, at least `limit` moves if there are so many."""
        return journal.page(connection, after, since, task, limit)

    @reads
    def last_events(self, connection: Connection, count: int, task: int = 0) -> JournalPage:
        """The end of the journal."""
        return journal.last(connection, task, count)

    @reads
    def results_of(
        self,
        connection: Connection,
        project: str | None = None,
        first: int = 0,
        last: int = LARGEST,
        after: tuple[int, bytes] = results.START,
        limit: int = 1000,
    ) -> list[ResultLine]:
        """Published results in order of task, of the tasks of these numbers, from the one behind (task, key) on."""
        return results.page(connection, project, first, last, after, limit)

    @reads
    def result(self, connection: Connection, project: str, name: str) -> ResultLine | None:
        """The published result of this name."""
        return results.single(connection, project, name)

    @reads
    def results_named(self, connection: Connection, project: str, names: Sequence[str]) -> list[ResultLine]:
        """The published results of these names, in no order."""
        return results.named(connection, project, names)

    @reads
    def folder_sums(self, connection: Connection, project: str, folder: str = "") -> dict[str, tuple[int, int]]:
        """See `results.folder_sums`: reads every name of the project."""
        return results.folder_sums(connection, project, folder)

    @reads
    def sent_sum(self, connection: Connection) -> tuple[int, int]:
        """How many contents pushes have sent, and their bytes."""
        return results.sent_sum(connection)


_TASK_COLUMNS = (
    tasks.c.number,
    tasks.c.project,
    tasks.c.id,
    tasks.c.batch,
    _state.label("state"),
    task_states.c.attempt,
    task_states.c.reason,
    attempts.c.worker,
    workers.c.address,
    attempts.c.phase,
    attempts.c.ended,
    attempts.c.reason.label("attempt_reason"),
    attempts.c.exit_code,
)


def _lines(states: frozenset[int], with_execution: bool) -> Select[tuple[object, ...]]:
    """Tasks with their newest attempt and its worker; the smaller table leads where that finds all."""
    moved = bool(states) and states <= _NEVER_AT_FIRST
    pair = task_states.c.number == tasks.c.number
    source = task_states.join(tasks, pair) if moved else tasks.outerjoin(task_states, pair)
    newest = (attempts.c.task == task_states.c.number) & (attempts.c.attempt == task_states.c.attempt)
    source = source.outerjoin(attempts, newest).outerjoin(workers, workers.c.id == attempts.c.worker)
    columns = (*_TASK_COLUMNS, tasks.c.execution) if with_execution else _TASK_COLUMNS
    chosen = select(*columns).select_from(source).where(not_dropped()).order_by(tasks.c.number)
    if not states:
        return chosen
    return chosen.where((task_states.c.state if moved else _state).in_(sorted(states)))


def _in_batch(connection: Connection, number: int) -> ColumnElement[bool]:
    """A batch's tasks are a range of numbers: the primary key finds them."""
    row = connection.execute(select(batches.c.first, batches.c.count).where(batches.c.number == number)).first()
    first, count = (row[0], row[1]) if row else (0, 0)
    return tasks.c.number.between(first, first + count - 1)


def task_line(row: Row[tuple[object, ...]]) -> TaskLine:
    """The line of a row that was selected by `_lines`: its reason is the task's, else its newest attempt's; its
    execution only where that was selected.
    """
    values = {name: value for name, value in row._mapping.items() if value is not None}
    values["state"] = TaskState(values["state"]).word
    of_attempt = values.pop("attempt_reason", "")
    values["reason"] = values.get("reason") or of_attempt
    if "execution" in values:
        values["execution"] = _executions.decode(values["execution"])
    return TaskLine(**values)


# --- one task whole ----------------------------------------------------------------------------------


def _init_detail(connection: Connection, number: int, batch: int, project: str, encoded: bytes) -> StoredTask:
    spec = _specs.decode(encoded)
    executions = attempt_rows(connection, f"task = {number:d}")
    line = TaskLine(number=number, project=project, id=spec.id, batch=batch, state=TaskState.QUEUED.word)
    if executions:
        last = executions[-1]
        line.attempt, line.worker, line.phase, line.ended = last.attempt, last.worker, last.phase, last.ended
        line.exit_code, line.reason = last.exit_code, last.reason
        line.state = _INIT_STATES.get(last.ended, TaskState.RUNNING if last.began_at else TaskState.QUEUED).word
    return StoredTask(
        task=line,
        execution=_executions.decode(spec.execution),
        requirements=_inputs.decode(spec.requirements) if spec.requirements else [],
        dependencies=[],
        attempts=executions,
    )


def _task_detail(connection: Connection, line: TaskLine) -> StoredTask:
    """`line` was read with its execution, which stands in the detail instead."""
    columns = select(tasks.c.dependencies, tasks.c.requirements)
    row = connection.execute(columns.where(tasks.c.number == line.number)).one()
    execution = line.execution or Execution()
    line.execution = None
    return StoredTask(
        task=line,
        execution=execution,
        requirements=_inputs.decode(row.requirements) if row.requirements else [],
        dependencies=_dependencies(connection, row.dependencies),
        attempts=attempt_rows(connection, f"task = {line.number:d}"),
    )


def _dependencies(connection: Connection, blob: bytes) -> list[str]:
    """Their ids."""
    numbers = array("q", blob).tolist()
    ids: dict[int, str] = {}
    for part in parts(numbers):
        sql = f"SELECT number, id FROM tasks WHERE number IN ({listed(part)})"
        ids.update((number, id) for number, id in connection.exec_driver_sql(sql))
    return [ids[number] for number in numbers if number in ids]
