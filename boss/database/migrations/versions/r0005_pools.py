"""What is told of an instance and what a batch cost its workers. Frozen: imports nothing of ours."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LongText = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")

#: Table, column, kind, and what it is in rows that are there already.
_NEW: list[tuple[str, str, Any, str]] = [
    ("instances", "address", LongText, "''"),
    ("instances", "keep_alive", sa.Boolean(), "0"),
    ("instances", "hello_at", sa.Double(), "0"),
    ("batches", "worker_seconds", sa.Double(), "0"),
]


def upgrade() -> None:
    """Add address, keep_alive and hello_at of instances and worker_seconds of batches, empty or 0 in rows that are
    there.
    """
    for table, name, kind, before in _NEW:
        if not any(column["name"] == name for column in sa.inspect(op.get_bind()).get_columns(table)):
            op.add_column(table, sa.Column(name, kind, nullable=True))
            op.execute(f"UPDATE {table} SET {name} = {before}")
