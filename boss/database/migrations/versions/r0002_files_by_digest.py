"""Sent files are found by their digest. Frozen: imports nothing of ours, because it must stay what it was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index of files by digest."""
    # MySQL commits each step by itself, and an interrupted one is run again.
    if not any(index["name"] == "files_by_digest" for index in sa.inspect(op.get_bind()).get_indexes("files")):
        op.create_index("files_by_digest", "files", ["digest"])
