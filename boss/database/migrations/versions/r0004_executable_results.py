"""A result's row tells whether its owner may execute it. Frozen: imports nothing of ours."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `results.executable`, NULL (unknown) in rows that are there."""
    if not any(column["name"] == "executable" for column in sa.inspect(op.get_bind()).get_columns("results")):
        op.add_column("results", sa.Column("executable", sa.Boolean(), nullable=True))
