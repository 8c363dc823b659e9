"""Tasks that a person wants forgotten. Frozen: imports nothing of ours."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `task_states.dropped`, NULL in rows that are there."""
    if not any(column["name"] == "dropped" for column in sa.inspect(op.get_bind()).get_columns("task_states")):
        op.add_column("task_states", sa.Column("dropped", sa.Boolean(), nullable=True))
