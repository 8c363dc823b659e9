"""What a start reads: unfinished batches with their graphs, as columns, and everything else that is live.

Reads by ranges of task numbers and joins columns, so that a million tasks never become a million objects
that live at the same time. Decides nothing: which move follows from a row is the scheduler's matter.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, compress

import msgspec
from sqlalchemy import Connection, func, select

from boss.core.model import InitSpec, Profile
from boss.core.pools import BOOTS, DAY, MONTH_DAYS
from boss.core.rows import AttemptRow, BatchRow, FileRow, InitRow, InstanceRow, Loaded, LoadedBatch, WorkerRow
from boss.core.state import runs
from boss.database import tables
from boss.database.errors import DatabaseError
from boss.database.statements import listed, parts

#: Tasks read at once.
TASKS_AT_ONCE = 20_000
#: Ended tasks of a batch from which it is learned again how long such take.
TOOK = 200

_specs = msgspec.msgpack.Decoder(InitSpec)
_profiles = msgspec.json.Decoder(Profile)
_numbers = msgspec.json.Decoder(list[int])
_words = msgspec.json.Decoder(list[str])
_labels = msgspec.json.Decoder(dict[str, str])


def load(connection: Connection) -> Loaded:
    """Everything that is not finished."""
    head = connection.execute(select(tables.deployment)).one()
    rows = batch_rows(connection, "finished_at <= 0")
    batches, outside, crossing = _with_graphs(connection, rows)
    return Loaded(
        deployment=head.id,
        epoch=head.epoch,
        next_task=1 + max(_highest(connection, "tasks"), _highest(connection, "inits")),
        next_batch=1 + _highest(connection, "batches"),
        next_instance=1 + _highest(connection, "instances"),
        batches=batches,
        attempts=[attempt for batch in batches for attempt in _live_attempts(connection, batch)],
        workers=worker_rows(connection, "state <> 'gone'"),
        instances=instance_rows(connection, "state NOT IN ('gone', 'failed')"),
        files=_unstored(connection),
        records=_pairs(connection, "SELECT task, attempt FROM records ORDER BY task, attempt"),
        outside=outside,
        crossing=crossing,
        boots=boot_times(connection),
        spent=spent_days(connection),
        took=[one for batch in batches for one in _took(connection, batch.row)],
    )


def load_batches(
    connection: Connection, numbers: Sequence[int]
) -> tuple[list[LoadedBatch], dict[int, int], list[tuple[int, int]]]:
    """These batches, finished or not; the states beyond them that they touch; the edges that lead there."""
    rows = [row for part in parts(numbers) for row in batch_rows(connection, f"number IN ({listed(part)})")]
    return _with_graphs(connection, rows)


def batch_rows(connection: Connection, condition: str) -> list[BatchRow]:
    """The batches for which this SQL condition holds, in order of number."""
    found = connection.exec_driver_sql(f"SELECT * FROM batches WHERE {condition} ORDER BY number")
    return [_batch_row(tuple(row)) for row in found]


def _batch_row(values: tuple[object, ...]) -> BatchRow:
    row = BatchRow(*values)  # type: ignore[arg-type]  # columns stand in the order of the fields
    row.counts = _numbers.decode(str(row.counts))
    row.warnings = _words.decode(str(row.warnings))
    row.attached = bytes(row.attached)
    row.submitter, row.source = row.submitter or "", row.source or ""
    return row


def worker_rows(connection: Connection, condition: str = "1 = 1") -> list[WorkerRow]:
    """The workers for which this SQL condition holds, in order of id."""
    rows = [
        WorkerRow(*row) for row in connection.exec_driver_sql(f"SELECT * FROM workers WHERE {condition} ORDER BY id")
    ]
    for row in rows:
        row.labels = _labels.decode(str(row.labels))
        row.draining, row.keep_alive = bool(row.draining), bool(row.keep_alive)
    return rows


def instance_rows(connection: Connection, condition: str = "1 = 1") -> list[InstanceRow]:
    """The instances for which this SQL condition holds, in order of number."""
    found = connection.exec_driver_sql(f"SELECT * FROM instances WHERE {condition} ORDER BY number")
    rows = [InstanceRow(*row) for row in found]
    for row in rows:
        row.keep_alive = bool(row.keep_alive)
    return rows


def boot_times(connection: Connection) -> dict[str, list[float]]:
    """Of each pool the boot times of its newest instances, oldest first."""
    table = tables.instances
    took = table.c.hello_at - table.c.requested_at
    chosen = select(table.c.pool, took).where(table.c.hello_at > table.c.requested_at)
    found: dict[str, list[float]] = {}
    for pool, seconds in connection.execute(chosen.order_by(table.c.number.desc()).limit(10 * BOOTS)):
        found.setdefault(pool, []).insert(0, seconds)
    return found


def spent_days(connection: Connection) -> dict[str, dict[int, float]]:
    """Of each pool what its instances that are over took, by the day on which they ended, in the last month of it."""
    table = tables.instances
    over = table.c.state.in_(("gone", "failed"))
    newest = connection.execute(select(func.max(table.c.changed_at))).scalar() or 0.0
    chosen = select(table.c.pool, table.c.changed_at, table.c.requested_at).where(
        over, table.c.changed_at > newest - (MONTH_DAYS + 1) * DAY
    )
    found: dict[str, dict[int, float]] = {}
    for pool, ended, requested in connection.execute(chosen):
        days = found.setdefault(pool, {})
        day = int(ended // DAY)
        days[day] = days.get(day, 0.0) + max(0.0, ended - requested)
    return found


def _highest(connection: Connection, table: str) -> int:
    return int(connection.exec_driver_sql(f"SELECT MAX(number) FROM {table}").scalar() or 0)


def _unstored(connection: Connection) -> list[FileRow]:
    table = tables.files
    columns = table.c.name, table.c.digest, table.c.size, table.c.executable, table.c.batch, table.c.stored
    # In order of batch: where two versions of a name wait, the newer one is stored last.
    found = connection.execute(select(*columns).where(~table.c.stored).order_by(table.c.batch, table.c.key))
    return [FileRow(*row) for row in found]


def _pairs(connection: Connection, sql: str) -> list[tuple[int, int]]:
    return [(first, second) for first, second in connection.exec_driver_sql(sql)]


def _with_graphs(
    connection: Connection, rows: list[BatchRow]
) -> tuple[list[LoadedBatch], dict[int, int], list[tuple[int, int]]]:
    profiles = dict(tuple(row) for row in connection.exec_driver_sql("SELECT number, content FROM profiles"))
    batches = [_load_graph(connection, row, profiles) for row in rows]
    crossing = sorted({edge for batch in batches for edge in _crossing(connection, batch.row)})
    return batches, _outside(connection, rows, crossing), crossing


def _load_graph(connection: Connection, row: BatchRow, profiles: dict[int, bytes]) -> LoadedBatch:
    batch = LoadedBatch(
        row=row,
        states=bytearray(),
        attempts=array("i", bytes(4 * row.count)),
        failures=array("i", bytes(4 * row.count)),
        deaths=array("i", bytes(4 * row.count)),
        cancelling=set(),
        profile_of=array("I"),
        profiles=[],
        sizes=array("I"),
        dependency_starts=array("q", [0]),
        dependency_targets=array("q"),
        inits=init_rows(connection, row.number),
        with_results=set(),
        dropped=set(),
    )
    local: dict[int, int] = {}
    for first in range(row.first, row.first + row.count, TASKS_AT_ONCE):
        _read_static(connection, batch, first, min(first + TASKS_AT_ONCE, row.first + row.count), local)
        _read_states(connection, batch, first, min(first + TASKS_AT_ONCE, row.first + row.count))
    batch.profiles = [_profiles.decode(profiles[number]) for number in local]
    return batch


def _read_static(connection: Connection, batch: LoadedBatch, first: int, end: int, local: dict[int, int]) -> None:
    found = connection.exec_driver_sql(
        "SELECT accepted_as, profile, size, with_results, dependencies FROM tasks "
        f"WHERE number >= {first:d} AND number < {end:d} ORDER BY number"
    ).fetchall()
    if len(found) != end - first:
        raise DatabaseError(f"batch {batch.row.number} should have tasks {first} to {end - 1}; {len(found)} are there")
    states, profiles, sizes, with_results, dependencies = zip(*found, strict=True)
    for profile in dict.fromkeys(profiles):
        local.setdefault(profile, len(local))
    offset = first - batch.row.first
    batch.states += bytes(states)
    batch.profile_of.extend(map(local.__getitem__, profiles))
    batch.sizes.extend(sizes)
    batch.with_results.update(compress(range(offset, offset + len(found)), with_results))
    ends = accumulate((len(blob) // 8 for blob in dependencies), initial=batch.dependency_starts.pop())
    batch.dependency_starts.extend(ends)
    batch.dependency_targets.frombytes(b"".join(dependencies))


def _read_states(connection: Connection, batch: LoadedBatch, first: int, end: int) -> None:
    """Over what was accepted: what has changed since."""
    found = connection.exec_driver_sql(
        "SELECT number, state, attempt, failures, deaths, cancelling, dropped, outdated FROM task_states "
        f"WHERE number >= {first:d} AND number < {end:d}"
    ).fetchall()
    states, attempts, failures, deaths, base = (
        batch.states,
        batch.attempts,
        batch.failures,
        batch.deaths,
        batch.row.first,
    )
    for number, state, attempt, failed, died, cancelling, dropped, outdated in found:
        index = number - base
        states[index] = state
        attempts[index] = attempt
        failures[index] = failed
        deaths[index] = died
        if cancelling:
            batch.cancelling.add(number)
        if dropped:
            batch.dropped.add(number)
        if outdated:
            batch.outdated[number] = bytes(outdated)


def init_rows(connection: Connection, batch: int) -> list[InitRow]:
    """The init tasks of this batch, in order of their position."""
    found = connection.exec_driver_sql(
        f"SELECT number, batch, position, spec, attempt, retired FROM inits WHERE batch = {batch:d} ORDER BY position"
    )
    return [
        InitRow(number, owner, position, _specs.decode(spec), attempt, bool(retired))
        for number, owner, position, spec, attempt, retired in found
    ]


def _live_attempts(connection: Connection, batch: LoadedBatch) -> Iterable[AttemptRow]:
    first, end = batch.row.first, batch.row.first + batch.row.count
    yield from attempt_rows(connection, f"task >= {first:d} AND task < {end:d} AND ended = ''")
    if batch.inits:
        yield from attempt_rows(connection, f"task IN ({listed(init.number for init in batch.inits)}) AND ended = ''")


def _took(connection: Connection, row: BatchRow) -> list[tuple[int, str, float]]:
    """Of the last of its tasks that have succeeded: (task, worker, seconds), in order."""
    condition = f"task >= {row.first:d} AND task < {row.first + row.count:d} AND ended = 'succeeded'"
    sql = f"SELECT task, worker, seconds FROM attempts WHERE {condition} ORDER BY task DESC, attempt DESC"
    found = connection.exec_driver_sql(f"{sql} LIMIT {TOOK:d}")
    return [(task, worker, seconds) for task, worker, seconds in found][::-1]


def attempt_rows(connection: Connection, condition: str) -> list[AttemptRow]:
    """The attempts for which this SQL condition holds, in order of task and number."""
    found = connection.exec_driver_sql(f"SELECT * FROM attempts WHERE {condition} ORDER BY task, attempt")
    return [AttemptRow(*row) for row in found]


def _crossing(connection: Connection, row: BatchRow) -> set[tuple[int, int]]:
    """(dependency, dependant) with one end in this batch and the other elsewhere."""
    inside = f">= {row.first:d} AND {{}} < {row.first + row.count:d}"
    edges: set[tuple[int, int]] = set()
    for end in ("dependency", "dependant"):
        condition = f"{end} {inside.format(end)}"
        edges.update(_pairs(connection, f"SELECT dependency, dependant FROM crossing WHERE {condition}"))
    return edges


def _outside(connection: Connection, rows: list[BatchRow], crossing: list[tuple[int, int]]) -> dict[int, int]:
    inside = [range(row.first, row.first + row.count) for row in rows]
    ends = {number for edge in crossing for number in edge if not any(number in numbers for numbers in inside)}
    return states_of(connection, sorted(ends))


def states_of(connection: Connection, numbers: Sequence[int]) -> dict[int, int]:
    """The state of each of these tasks that is there. Quick where many of them follow one another."""
    wanted = sorted(set(numbers))
    states = _column_of(connection, "task_states", "state", wanted)
    unmoved = [number for number in wanted if number not in states]
    return states | _column_of(connection, "tasks", "accepted_as", unmoved)


def dropped_of(connection: Connection, numbers: Sequence[int]) -> list[int]:
    """Those of these tasks that are dropped."""
    return list(_column_of(connection, "task_states", "dropped", sorted(set(numbers)), " AND dropped"))


def _column_of(connection: Connection, table: str, column: str, wanted: list[int], further: str = "") -> dict[int, int]:
    found: dict[int, int] = {}
    scattered: list[int] = []
    for run in runs(wanted):
        if len(run) < _LONG_RUN:
            scattered.extend(run)
            continue
        condition = f"number >= {run.start:d} AND number < {run.stop:d}{further}"
        found.update(_pairs(connection, f"SELECT number, {column} FROM {table} WHERE {condition}"))
    for part in parts(scattered):
        condition = f"number IN ({listed(part)}){further}"
        found.update(_pairs(connection, f"SELECT number, {column} FROM {table} WHERE {condition}"))
    return found


#: From so many numbers in a row on, one range is quicker than a list.
_LONG_RUN = 100
