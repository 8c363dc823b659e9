"""Sent files are found by their digest. Frozen: imports nothing of ours, because it must stay what it was."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("files_by_digest", "files", ["digest"])
