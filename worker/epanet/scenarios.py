"""Scenarios as a table: read from CSV, Parquet or rows in the task, and checked before anything runs.

Knows files and cells. It must not know a network: whether an element exists is `worker.epanet.changes`.
"""

from __future__ import annotations

import csv
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from worker.epanet.errors import SpecificationError
from worker.epanet.setpaths import SCENARIO_COLUMN, SetPath, is_carried, parse_cell, parse_set_path

_LARGEST_NUMBER = 2**31 - 1


@dataclass(frozen=True)
class Scenario:
    """One row: its number, and what its cells say, in the order of the table's set-paths."""

    number: int
    values: tuple[float | None, ...]
    #: Cells that are only handed on (`seed`, names that begin with an underscore).
    carried: tuple[object, ...] = ()


@dataclass(frozen=True)
class Table:
    paths: tuple[SetPath, ...]
    carried: tuple[str, ...]
    scenarios: tuple[Scenario, ...]


#: What no table at all means: the network as it is, once.
UNCHANGED = Table((), (), (Scenario(0, ()),))


def read_table(source: str | list[dict[str, object]], rows: tuple[int, int] | None, directory: Path) -> Table:
    """The scenarios [first, last) of the table; raises SpecificationError that names row and column."""
    if source == [] and rows is None:
        return UNCHANGED
    if isinstance(source, list):
        columns, cells = _from_rows(source)
        name = "scenarios"
        first, last = rows or (0, len(cells))
        cells = cells[first:last]
    else:
        name = source
        columns, cells, first = _from_file(directory / source, source, rows)
    _check_rows(name, rows, len(cells))
    return _table(name, columns, cells, first)


def _check_rows(name: str, rows: tuple[int, int] | None, found: int) -> None:
    if rows is not None and (rows[0] < 0 or rows[1] <= rows[0]):
        raise SpecificationError(f"rows {rows[0]}:{rows[1]} of {name} are no range; first must be below last")
    if rows is not None and found < rows[1] - rows[0]:
        raise SpecificationError(
            f"{name} ends before row {rows[1]}: rows {rows[0]}:{rows[1]} are asked, "
            f"and it has {rows[0] + found if found else 'fewer than ' + str(rows[0] + 1)}"
        )
    if not found:
        raise SpecificationError(f"{name} has no rows")


def _from_rows(rows: list[dict[str, object]]) -> tuple[list[str], list[list[object]]]:
    columns = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    return columns, [[row.get(column) for column in columns] for row in rows]


def _from_file(file: Path, name: str, rows: tuple[int, int] | None) -> tuple[list[str], list[list[object]], int]:
    first, last = rows or (0, None)
    first = max(first, 0)
    if not file.is_file():
        raise SpecificationError(f"the scenario table {name} is not in the working directory")
    suffix = file.suffix.lower()
    try:
        if suffix in (".parquet", ".pq"):
            return *_from_parquet(file, first, last), first
        if suffix in (".csv", ".txt"):
            return *_from_csv(file, name, first, last), first
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise SpecificationError(f"{name} cannot be read: {error}") from error
    raise SpecificationError(f"{name}: a scenario table is a .csv or a .parquet file")


def _from_csv(file: Path, name: str, first: int, last: int | None) -> tuple[list[str], list[list[object]]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines)
        columns = [column.strip() for column in next(reader, [])]
        filled = (row for row in reader if row)
        cells: list[list[object]] = []
        for number, row in enumerate(itertools.islice(filled, first, last), first):
            if len(row) != len(columns):
                raise SpecificationError(f"{name}, row {number}: {len(row)} cells under {len(columns)} columns")
            cells.append(list(row))
    return columns, cells


def _from_parquet(file: Path, first: int, last: int | None) -> tuple[list[str], list[list[object]]]:
    table = pq.read_table(file, memory_map=True)
    table = table.slice(first, None if last is None else max(0, last - first))
    columns = [column.to_pylist() for column in table.columns]
    return table.column_names, [list(row) for row in zip(*columns, strict=True)]


def _table(name: str, columns: list[str], cells: list[list[object]], first: int) -> Table:
    _refuse_repeated(name, columns)
    positions = {column: position for position, column in enumerate(columns)}
    carried = tuple(column for column in columns if is_carried(column))
    set_columns = [column for column in columns if column != SCENARIO_COLUMN and column not in carried]
    try:
        paths = tuple(parse_set_path(column) for column in set_columns)
    except SpecificationError as fault:
        raise SpecificationError(f"{name}: {fault}") from None
    scenarios = []
    for row_number, row in enumerate(cells, first):
        where = f"{name}, row {row_number}"
        values = tuple(
            parse_cell(path, row[positions[column]], f"{where}, column {column!r}")
            for path, column in zip(paths, set_columns, strict=True)
        )
        number = row[positions[SCENARIO_COLUMN]] if SCENARIO_COLUMN in positions else None
        carried_cells = tuple(row[positions[column]] for column in carried)
        scenarios.append(Scenario(_scenario_number(number, row_number, where), values, carried_cells))
    _refuse_same_number(name, scenarios)
    return Table(paths, carried, tuple(scenarios))


def _scenario_number(cell: object, row_number: int, where: str) -> int:
    """Without one in the table it is the row's place in the whole table."""
    if cell is None:
        return row_number
    if isinstance(cell, str):  # as spreadsheets write it: 7 or 7.0; int() would take 1_1 and other scripts' digits too
        match = re.fullmatch(r"([0-9]{1,10})(\.0*)?", cell.strip())
        number = int(match[1]) if match else -1
    else:
        number = int(cell) if isinstance(cell, int) or (isinstance(cell, float) and cell.is_integer()) else -1
    if not 0 <= number <= _LARGEST_NUMBER or isinstance(cell, bool):
        raise SpecificationError(f"{where}, column 'scenario': {cell!r} is no whole number from 0 to {_LARGEST_NUMBER}")
    return number


def _refuse_repeated(name: str, columns: list[str]) -> None:
    seen: set[str] = set()
    for column in columns:
        if not column:
            raise SpecificationError(f"{name}: a column has no name")
        if column in seen:
            raise SpecificationError(f"{name}: two columns are named {column!r}")
        seen.add(column)


def _refuse_same_number(name: str, scenarios: list[Scenario]) -> None:
    seen: set[int] = set()
    for scenario in scenarios:
        if scenario.number in seen:
            raise SpecificationError(f"{name}: two rows are scenario {scenario.number}")
        seen.add(scenario.number)
