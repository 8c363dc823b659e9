"""No table of facts about the deployment any more: no program ever wrote into it. Frozen: imports nothing of ours."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop the table `context`, with what it holds, where it is there."""
    if sa.inspect(op.get_bind()).has_table("context"):
        op.drop_table("context")
