"""The column of an instance's NIC for init tasks is called so. Frozen: imports nothing of ours."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

LongText = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Rename `instances.card` to `nic`."""
    columns = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("instances")}
    if "nic" not in columns:
        op.alter_column("instances", "card", new_column_name="nic", existing_type=LongText, existing_nullable=True)
    elif "card" in columns:
        # Renamed by a start that was interrupted before it recorded that; revision 0006 then added an empty one again.
        op.drop_column("instances", "card")
