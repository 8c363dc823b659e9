"""The SQL of everything that is written often, made once per table and kind of database.

Written as text and given to the driver with tuples: SQLAlchemy's own bulk path builds a dictionary per
row, which costs more than the row. Knows tables and two dialects, no values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import islice
from typing import TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError

#: Rows handed to the driver at once: bounds the memory of an acceptance of a million tasks.
ROWS_AT_ONCE = 10_000

Row = tuple[object, ...]
T = TypeVar("T")

_quote: dict[bool, Callable[[str], str]] = {
    True: sqlite.dialect().identifier_preparer.quote,
    False: mysql.dialect().identifier_preparer.quote,
}


def is_lite(connection: Connection) -> bool:
    """True: SQLite; False: MariaDB or MySQL."""
    return connection.dialect.name == "sqlite"


@cache
def insert(table: Table, lite: bool) -> str:
    """All columns, in the table's order."""
    quote = _quote[lite]
    names = ", ".join(quote(column.name) for column in table.columns)
    marks = ", ".join(["?" if lite else "%s"] * len(table.columns))
    return f"INSERT INTO {quote(table.name)} ({names}) VALUES ({marks})"


@cache
def upsert(table: Table, lite: bool, only: tuple[str, ...] = ()) -> str:
    """Insert, or give the row of that key these values (of the columns in `only`, or of all)."""
    quote = _quote[lite]
    changing = only or tuple(column.name for column in table.columns if not column.primary_key)
    if lite:
        keys = ", ".join(quote(column.name) for column in table.primary_key)
        values = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in changing)
        return f"{insert(table, lite)} ON CONFLICT ({keys}) DO UPDATE SET {values}"
    values = ", ".join(f"{quote(name)} = VALUES({quote(name)})" for name in changing)
    return f"{insert(table, lite)} ON DUPLICATE KEY UPDATE {values}"


@cache
def insert_if_absent(table: Table, lite: bool) -> str:
    """As `insert`; a row whose key is there already is left as it is."""
    key = next(iter(table.primary_key)).name
    if lite:
        return f"{insert(table, lite)} ON CONFLICT DO NOTHING"
    return f"{insert(table, lite)} ON DUPLICATE KEY UPDATE {_quote[lite](key)} = {_quote[lite](key)}"


@cache
def update(table: Table, lite: bool, columns: tuple[str, ...]) -> str:
    """Parameters: the columns' values, then the key's."""
    quote, mark = _quote[lite], "?" if lite else "%s"
    values = ", ".join(f"{quote(name)} = {mark}" for name in columns)
    return f"UPDATE {quote(table.name)} SET {values} WHERE {_key(table, lite)}"


@cache
def delete(table: Table, lite: bool) -> str:
    """Parameters: the key's values."""
    return f"DELETE FROM {_quote[lite](table.name)} WHERE {_key(table, lite)}"


def _key(table: Table, lite: bool) -> str:
    mark = "?" if lite else "%s"
    return " AND ".join(f"{_quote[lite](column.name)} = {mark}" for column in table.primary_key)


def write_rows(connection: Connection, sql: str, rows: Iterable[Row]) -> None:
    """Hand the rows to the driver, some thousands at a time."""
    remaining = iter(rows)
    while part := list(islice(remaining, ROWS_AT_ONCE)):
        connection.exec_driver_sql(sql, part)


def write_reported(connection: Connection, sql: str, rows: Iterable[Row]) -> None:
    """As `write_rows`, for upserts of what workers say: a value that no column can hold is written as near
    as can be, because the turn must not hang on it."""
    remaining = iter(rows)
    while part := list(islice(remaining, ROWS_AT_ONCE)):
        try:
            connection.exec_driver_sql(sql, part)
        except (UnicodeEncodeError, OverflowError, DataError, IntegrityError, ProgrammingError):
            connection.exec_driver_sql(sql, [tuple(map(storable, row)) for row in part])


def storable(value: object) -> object:
    """The nearest value that any column can hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float) and not math.isfinite(value):
        return 0.0
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return 2**63 - 1 if value > 0 else -(2**63)
    return value


def parts(values: Sequence[T], size: int = 900) -> Iterable[Sequence[T]]:
    """Slices for `IN (...)`: longer lists make MariaDB change its plan."""
    return (values[start : start + size] for start in range(0, len(values), size))


def listed(numbers: Iterable[int]) -> str:
    """`1,2,3` for `IN (...)`: whole numbers need no parameters."""
    return ",".join(map(str, map(int, numbers)))
