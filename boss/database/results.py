"""What users ask of results: which there are, whose they are, how much room they take. From rows only.

A page goes on by (task, key): tasks in the order in which they were pushed, the names of one task in no order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, case, func, select

from boss.database.accept import name_key
from boss.database.statements import parts
from boss.database.tables import attempts, files, results, task_states, tasks
from boss.database.views import ResultLine

#: Before the first result of any task.
START = (0, b"")

_ROWS_AT_ONCE = 5_000

_COLUMNS = (
    results.c.project,
    results.c.name,
    results.c.task,
    tasks.c.id,
    results.c.attempt,
    results.c.digest,
    results.c.size,
    func.coalesce(attempts.c.ended_at, task_states.c.changed_at, 0.0).label("time"),
    results.c.key,
)


def _lines() -> Select[tuple[object, ...]]:
    of_task = (attempts.c.task == results.c.task) & (attempts.c.attempt == results.c.attempt)
    source = results.join(tasks, tasks.c.number == results.c.task).outerjoin(attempts, of_task)
    source = source.outerjoin(task_states, task_states.c.number == results.c.task)
    return select(*_COLUMNS).select_from(source).where(results.c.digest != "")


def page(
    connection: Connection, project: str | None, first: int, last: int, after: tuple[int, bytes], limit: int
) -> list[ResultLine]:
    """Published results of the tasks first .. last, from the one behind `after` on."""
    task, key = after
    chosen = _lines().where(results.c.task.between(max(first, task), last))
    chosen = chosen.where((results.c.task > task) | (results.c.key > key))
    if project is not None:
        # As an expression: else SQLite reads a whole project by its key and sorts it, for every page.
        chosen = chosen.where(func.coalesce(results.c.project, "") == project)
    order = (results.c.task, results.c.project, results.c.key)
    return [_line(row) for row in connection.execute(chosen.order_by(*order).limit(limit))]


def single(connection: Connection, project: str, name: str) -> ResultLine | None:
    """The published result of this name; None: there is none."""
    chosen = _lines().where(results.c.project == project, results.c.key == name_key(name))
    row = connection.execute(chosen).first()
    return None if row is None else _line(row)


def named(connection: Connection, project: str, names: Sequence[str]) -> list[ResultLine]:
    """Those of these names that are published, in no order."""
    found = []
    for part in parts(names):
        chosen = _lines().where(results.c.project == project, results.c.key.in_([name_key(name) for name in part]))
        found += [_line(row) for row in connection.execute(chosen)]
    return found


def _line(row: Sequence[Any]) -> ResultLine:
    names = ("project", "name", "task", "id", "attempt", "digest", "size", "time", "key")
    return ResultLine(**dict(zip(names, row, strict=True)))


def folder_sums(connection: Connection, project: str, folder: str) -> dict[str, tuple[int, int]]:
    """Files and bytes of each folder directly below this one (`""`: the project's root), and of the files in it (`""`).

    In order of name.
    """
    prefix = f"{folder}/" if folder else ""
    counts: dict[str, int] = {}
    sizes: dict[str, int] = {}
    chosen = select(results.c.name, results.c.size).where(results.c.project == project, results.c.digest != "")
    if prefix:
        chosen = chosen.where(results.c.name.startswith(prefix, autoescape=True))
    rows = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(chosen)
    for name, size in rows:
        if not name.startswith(prefix):  # a database may compare without regard to case
            continue
        below, slash, _ = name[len(prefix) :].partition("/")
        part = below if slash else ""
        counts[part] = counts.get(part, 0) + 1
        sizes[part] = sizes.get(part, 0) + size
    return {part: (counts[part], sizes[part]) for part in sorted(counts)}


def sent_sum(connection: Connection) -> tuple[int, int]:
    """How many contents pushes have sent that the datastore has taken, and their bytes; each content once."""
    each = select(func.max(files.c.size).label("size")).where(files.c.stored).group_by(files.c.digest).subquery()
    count, size = connection.execute(select(func.count(), func.coalesce(func.sum(each.c.size), 0))).one()
    return int(count), int(size)


def stored_contents(connection: Connection, digests: Sequence[str]) -> dict[str, int]:
    """Those of the contents that the datastore has taken from pushes, with their sizes.

    One that waits for its name at present does not count: the datastore may be asking for it in vain.
    """
    found: dict[str, int] = {}
    all_stored = func.min(case((files.c.stored, 1), else_=0)) == 1
    for part in parts(digests):
        chosen = select(files.c.digest, func.max(files.c.size)).where(files.c.digest.in_(part)).group_by(files.c.digest)
        found.update((digest, size) for digest, size in connection.execute(chosen.having(all_stored)))
    return found
