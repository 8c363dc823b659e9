"""Whose batch it is, tasks whose inputs may have changed since, init tasks that the next version has not got.

Frozen: imports nothing of ours.

Batches of before state neither submitter nor file: that tells none apart, so a push of the same project and name is
their next version, whoever pushes it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

LongText = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
LongBytes = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")

ADDED = (
    ("batches", "submitter", LongText),
    ("batches", "source", sa.String(32)),
    ("task_states", "outdated", LongBytes),
    ("inits", "retired", sa.Boolean()),
)


def upgrade() -> None:
    """Add the columns of ADDED, NULL in rows that are there."""
    inspector = sa.inspect(op.get_bind())
    for table, name, kind in ADDED:
        if not any(column["name"] == name for column in inspector.get_columns(table)):
            op.add_column(table, sa.Column(name, kind, nullable=True))
