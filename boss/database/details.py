"""One task whole: its description, what it depends on, and every attempt with its output."""

from __future__ import annotations

from array import array

import msgspec
from sqlalchemy import Connection, select

from boss.core.rows import AttemptRow
from boss.database.load import attempt_rows
from boss.database.statements import listed, parts
from boss.database.tables import tasks
from boss.database.views import AttemptView, StoredTask, TaskLine
from wire.messages import CommandSummary, Execution, Input, ManifestEntry

_inputs = msgspec.json.Decoder(list[Input])
_manifest = msgspec.json.Decoder(list[ManifestEntry])
_commands = msgspec.json.Decoder(list[CommandSummary])
_figures = msgspec.json.Decoder(dict[str, float])


def task_detail(connection: Connection, line: TaskLine) -> StoredTask:
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
        attempts=attempts_of(connection, line.number),
    )


def _dependencies(connection: Connection, blob: bytes) -> list[str]:
    """Their ids."""
    numbers = array("q", blob).tolist()
    ids: dict[int, str] = {}
    for part in parts(numbers):
        sql = f"SELECT number, id FROM tasks WHERE number IN ({listed(part)})"
        ids.update((number, id) for number, id in connection.exec_driver_sql(sql))
    return [ids[number] for number in numbers if number in ids]


def attempts_of(connection: Connection, number: int) -> list[AttemptView]:
    """Oldest first."""
    return [_attempt_view(row) for row in attempt_rows(connection, f"task = {number:d}")]


def _attempt_view(row: AttemptRow) -> AttemptView:
    return AttemptView(
        attempt=row.attempt,
        worker=row.worker,
        phase=row.phase,
        ended=row.ended,
        reason=row.reason,
        fault=row.fault,
        exit_code=row.exit_code,
        command=row.command,
        commands=_commands.decode(row.commands) if row.commands else [],
        manifest=_manifest.decode(row.manifest) if row.manifest else [],
        figures=_figures.decode(row.figures) if row.figures else {},
        stdout_tail=row.stdout_tail,
        stderr_tail=row.stderr_tail,
        seconds=row.seconds,
        sent_at=row.sent_at,
        began_at=row.began_at,
        ended_at=row.ended_at,
    )
