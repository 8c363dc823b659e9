"""An instance's card for init tasks, and from where a batch's budget counts. Frozen: imports nothing of ours."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

LongText = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")

#: Table, column, kind, and what it is in rows that are there already.
_NEW: list[tuple[str, str, Any, str]] = [
    ("instances", "card", LongText, "''"),
    ("batches", "budget_from", sa.Double(), "0"),
]


def upgrade() -> None:
    """Add `card` of instances (now `nic`) and budget_from of batches, empty or 0 in rows that are there."""
    for table, name, kind, before in _NEW:
        if not any(column["name"] == name for column in sa.inspect(op.get_bind()).get_columns(table)):
            op.add_column(table, sa.Column(name, kind, nullable=True))
            op.execute(f"UPDATE {table} SET {name} = {before}")
