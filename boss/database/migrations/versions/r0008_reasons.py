"""What kind of reason a quarantine and a pause have, beside their sentences. Frozen: imports nothing of ours.

Programs before this form decided by how the sentences begin; here that is done for the last time.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

Word = sa.String(32)

#: How the sentence begins -> its kind, the longest first; what begins in none of these ways is the last one.
_QUARANTINED = (
    ("by hand: ", "operator"),
    ("its host is not trusted: it states another host key than the pinned one: ", "other_host_key"),
    ("its host is not trusted: it states no host key", "no_host_key"),
    ("its host is not trusted: ", "untrusted"),
    ("init task ", "init_task"),
    ("task ", "results"),
    ("", "failures"),
)
_PAUSED = (("it has used up ", "budget"), ("its init task ", "init_task"), ("", "operator"))


def upgrade() -> None:
    """Add `workers.quarantined_kind` and `batches.paused_kind`, in rows that are there by how their sentence begins."""
    _add_kind("workers", "id", "quarantined", _QUARANTINED)
    _add_kind("batches", "number", "paused", _PAUSED)


def _add_kind(table: str, key: str, sentence: str, kinds: tuple[tuple[str, str], ...]) -> None:
    connection, kind = op.get_bind(), f"{sentence}_kind"
    if not any(column["name"] == kind for column in sa.inspect(connection).get_columns(table)):
        op.add_column(table, sa.Column(kind, Word, nullable=True))
    rows = sa.table(table, sa.column(key), sa.column(sentence), sa.column(kind))
    connection.execute(sa.update(rows).values({kind: ""}))
    for owner, text in connection.execute(sa.select(rows.c[key], rows.c[sentence]).where(rows.c[sentence] != "")).all():
        chosen = next(word for start, word in kinds if text.startswith(start))
        connection.execute(sa.update(rows).where(rows.c[key] == owner).values({kind: chosen}))
