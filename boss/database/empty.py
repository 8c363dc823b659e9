"""What is read where no boss has run yet: the tables, in memory, with nothing in them."""

from __future__ import annotations

from sqlalchemy import StaticPool, create_engine

from boss.database.lookups import DatabaseLookups
from boss.database.queries import DatabaseReads
from boss.database.tables import metadata


class EmptyDatabase:
    """As much of a Database as reading takes. It has no deployment: that is made with the first one on disk."""

    deployment = ""

    def __init__(self) -> None:
        self._engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        metadata.create_all(self._engine)
        self.reads = DatabaseReads(self._engine, "in memory")
        self.lookups = DatabaseLookups(self._engine, "in memory")

    def close(self) -> None:
        self._engine.dispose()
