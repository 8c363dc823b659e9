"""A database as plain text, so that one of an old form can be kept with the tests and read into any server.

`dump` writes every row of every table as JSON (bytes in base64); `restore` makes the tables of the form that
the text names and puts the rows in. The stored text was written by the program that had that form, once, and is
never made again.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect

from boss.database import Database, schema
from boss.database.engine import parse_url, writer_engine

STORED = Path(__file__).parent / "stored"


def dump(database: Database) -> str:
    """All rows of all tables, one row a line."""
    with database._readers.connect() as connection:
        names = sorted(inspect(connection).get_table_names())
        tables = {name: _rows(connection, name) for name in names}
    return json.dumps(tables, indent=1, sort_keys=True)


def _rows(connection: Connection, table: str) -> dict[str, Any]:
    found = connection.exec_driver_sql(f"SELECT * FROM {table}")
    columns = list(found.keys())
    return {"columns": columns, "rows": [[_plain(value) for value in row] for row in found]}


def _plain(value: object) -> object:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def restore(url: str, text: str) -> None:
    """Into an empty database."""
    tables = json.loads(text)
    (revision,) = tables.pop("alembic_version")["rows"][0]
    engine = writer_engine(parse_url(url))
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(schema._MIGRATIONS))
        command.upgrade(config, revision)
        for name, content in tables.items():
            _insert(connection, name, content["columns"], content["rows"])
    engine.dispose()


def _insert(connection: Connection, table: str, columns: list[str], rows: list[list[Any]]) -> None:
    quote = connection.dialect.identifier_preparer.quote
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    marks = ",".join([mark] * len(columns))
    statement = f"INSERT INTO {table} ({','.join(map(quote, columns))}) VALUES ({marks})"
    for row in rows:
        connection.exec_driver_sql(statement, tuple(map(_value, row)))


def _value(value: Any) -> Any:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value
