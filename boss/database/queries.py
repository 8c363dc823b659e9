"""What users read: lists of tasks, one task whole, batches, workers, counts, the journal.

Reads only, from any thread, beside a running boss or without one; in a database that is being written,
each call sees one state of it. Nothing here is needed for the work to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, func, select

from boss.core.model import TaskState
from boss.core.rows import BatchRow, InstanceRow, WorkerRow
from boss.database import details, events, results
from boss.database.errors import translated
from boss.database.load import batch_rows, boot_times, instance_rows, spent_days, worker_rows
from boss.database.tables import attempts, batches, not_dropped, task_states, tasks, workers
from boss.database.views import LARGEST, FolderSum, JournalLine, JournalPage, ResultLine, StoredTask, TaskLine
from wire.messages import Execution

T = TypeVar("T")

#: States in which no task is accepted: whoever is in one has a row in `task_states`.
_NEVER_AT_FIRST = frozenset({TaskState.RUNNING, TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED})

_executions = msgspec.json.Decoder(Execution)
_state = func.coalesce(task_states.c.state, tasks.c.accepted_as)


class DatabaseReads:
    """See the functions' own lines."""

    def __init__(self, engine: Engine, place: str) -> None:
        self._engine = engine
        self._place = place

    def tasks_of(
        self,
        states: Collection[int] = (),
        batch: int = 0,
        project: str | None = None,
        after: int = 0,
        limit: int = 100,
        offset: int = 0,
        with_execution: bool = False,
    ) -> list[TaskLine]:
        """Tasks in order of number, of these states (none: all), from the one after number `after` on."""

        def read(connection: Connection) -> list[TaskLine]:
            chosen = _lines(frozenset(map(int, states)), with_execution).where(tasks.c.number > after)
            if batch:
                chosen = chosen.where(_in_batch(connection, batch))
            if project is not None:
                chosen = chosen.where(tasks.c.project == project)
            return [task_line(row) for row in connection.execute(chosen.limit(limit).offset(offset))]

        return self._read(read)

    def task_lines(self, numbers: Sequence[int], with_execution: bool = False) -> list[TaskLine]:
        """These tasks, in order of number; those that are not there, or dropped, are left out."""

        def read(connection: Connection) -> list[TaskLine]:
            chosen, found = _lines(frozenset(), with_execution), []
            for start in range(0, len(numbers), 900):
                some = chosen.where(tasks.c.number.in_(numbers[start : start + 900]))
                found += [task_line(row) for row in connection.execute(some)]
            return sorted(found, key=lambda line: line.number)

        return self._read(read)

    def task_detail(self, number: int) -> StoredTask | None:
        """All that is known of one task; None: there is none of that number, or it is dropped."""

        def read(connection: Connection) -> StoredTask | None:
            row = connection.execute(_lines(frozenset(), True).where(tasks.c.number == number)).first()
            return None if row is None else details.task_detail(connection, task_line(row))

        return self._read(read)

    def batches(self) -> list[BatchRow]:
        """All of them, oldest first."""
        return self._read(lambda connection: batch_rows(connection, "1 = 1"))

    def batch(self, number: int) -> BatchRow | None:
        found = self._read(lambda connection: batch_rows(connection, f"number = {number:d}"))
        return found[0] if found else None

    def workers(self) -> list[WorkerRow]:
        """All that ever said hello, gone ones too."""
        return self._read(worker_rows)

    def instances(self) -> list[InstanceRow]:
        return self._read(instance_rows)

    def live_instances(self) -> list[InstanceRow]:
        """Those that are neither gone nor failed."""
        return self._read(lambda connection: instance_rows(connection, "state NOT IN ('gone', 'failed')"))

    def pools_past(self) -> tuple[dict[str, list[float]], dict[str, dict[int, float]]]:
        """Of each pool its last boot times, and what was spent by day: as a boss reads them at its start."""
        return self._read(lambda connection: (boot_times(connection), spent_days(connection)))

    def counts(self) -> list[int]:
        """How many tasks are in each TaskState, over all batches."""
        totals = [0] * len(TaskState)
        for row in self.batches():
            totals = [total + count for total, count in zip(totals, row.counts, strict=True)]
        return totals

    def story(self, number: int) -> list[JournalLine]:
        """Every move that the journal still has of this task and its attempts, oldest first."""
        return self._read(lambda connection: events.story(connection, number))

    def events(self, after: int = 0, since: float = 0.0, task: int = 0, limit: int = 1000) -> JournalPage:
        """The journal from the turn after `after` on, whole turns, at least `limit` moves if there are so many."""
        return self._read(lambda connection: events.page(connection, after, since, task, limit))

    def last_events(self, count: int, task: int = 0) -> JournalPage:
        """The end of the journal."""
        return self._read(lambda connection: events.last(connection, task, count))

    def results_of(
        self,
        project: str | None = None,
        first: int = 0,
        last: int = LARGEST,
        after: tuple[int, bytes] = results.START,
        limit: int = 1000,
    ) -> list[ResultLine]:
        """Published results in order of task, of the tasks of these numbers, from the one behind (task, key) on."""
        return self._read(lambda connection: results.page(connection, project, first, last, after, limit))

    def result(self, project: str, name: str) -> ResultLine | None:
        """The published result of this name."""
        return self._read(lambda connection: results.single(connection, project, name))

    def results_named(self, project: str, names: Sequence[str]) -> list[ResultLine]:
        """The published results of these names, in no order."""
        return self._read(lambda connection: results.named(connection, project, names))

    def folder_sums(self, project: str, folder: str = "") -> list[FolderSum]:
        """See `results.folder_sums`: reads every name of the project."""
        return self._read(lambda connection: results.folder_sums(connection, project, folder))

    def sent_sum(self) -> tuple[int, int]:
        """How many contents pushes have sent, and their bytes."""
        return self._read(results.sent_sum)

    def _read(self, read: Callable[[Connection], T]) -> T:
        with translated(self._place), self._engine.connect() as connection:
            return read(connection)


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
    values = {name: value for name, value in row._mapping.items() if value is not None}
    values["state"] = TaskState(values["state"]).word
    of_attempt = values.pop("attempt_reason", "")
    values["reason"] = values.get("reason") or of_attempt
    if "execution" in values:
        values["execution"] = _executions.decode(values["execution"])
    return TaskLine(**values)
