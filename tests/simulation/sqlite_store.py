"""The second mode: the boss's real database code over SQLite, with the model beside it.

Every turn goes into both. What the boss reads comes from the real one, and must be what the model says.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from boss.core.model import Submission
from boss.core.rows import Changes, Known, Loaded, LoadedBatch
from boss.database import Database, SupersededError
from boss.database.store import DatabaseStore
from tests.worlds.store import Session, SimulatedStore, Superseded


class SqliteStore(SimulatedStore):
    """The model, and a directory with a database file."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="simulated-")
        self._url = f"sqlite:///{Path(self._folder.name) / 'ecloud.sqlite'}"
        Database.open(self._url, deployment_id="d").close()
        self._open: list[Database] = []

    def open(self) -> Session:
        self.epoch += 1
        database = Database.open(self._url)
        self._open.append(database)
        epoch, _ = database.take_over("host", 1)
        assert epoch == self.epoch, f"epoch {epoch}, the model says {self.epoch}"
        return SqliteSession(self, database, Path(self._folder.name))

    def close(self) -> None:
        for database in self._open:
            database.close()
        self._folder.cleanup()


class SqliteSession(Session):
    """One boss's connections."""

    def __init__(self, store: SqliteStore, database: Database, folder: Path) -> None:
        super().__init__(store)
        self._database = database
        self._real = DatabaseStore(database, folder)
        self.lookups = self._real
        self.load = self._load

    def commit(self, changes: Changes, wall: float) -> None:
        """A lost answer: the same turn is written again, and is there already."""
        try:
            self._real.commit(changes, wall)
        except SupersededError:
            assert self.epoch != self.store.epoch, "superseded, and the model knows of no later boss"
            raise Superseded from None
        if self.answer_lost:
            self._database.turn -= 1
            self._real.commit(changes, wall)
        super().commit(changes, wall)

    def _load(self) -> Loaded:
        real, model = self._real.load(), self.store.load()
        for name in ("deployment", "epoch", "next_instance"):
            assert getattr(real, name) == getattr(model, name), f"{name}: {getattr(real, name)!r} in the database"
        unfinished = [one.row for one in real.batches if not one.row.finished_at]
        numbers = {number for row in unfinished for number in range(row.first, row.first + row.count)}
        # Those that are joined to them tell nothing.
        stored, took = ([one for one in loaded.took if one[0] in numbers] for loaded in (real, model))
        assert stored == took, f"what tasks took: {stored} in the database, {took}"
        for name in ("attempts", "workers", "instances", "files"):
            _same(name, getattr(real, name), getattr(model, name))
        assert sorted(map(tuple, real.records)) == sorted(model.records), "the records to be forgotten differ"
        _same_batches(real.batches, model.batches)
        return real

    def known(self, submission: Submission) -> Known:
        try:
            return self._real.known(submission)
        except SupersededError:
            raise Superseded from None

    def batches_for(
        self, tasks: Collection[int], batches: Collection[int], present: Collection[int]
    ) -> tuple[list[LoadedBatch], dict[int, int], list[tuple[int, int]]]:
        try:
            return self._real.batches_for(tasks, batches, present)
        except SupersededError:
            raise Superseded from None

    def close(self) -> None:
        self._database.close()


def _same(name: str, real: Iterable[Any], model: Iterable[Any]) -> None:
    left, right = sorted(map(repr, real)), sorted(map(repr, model))
    assert left == right, f"{name} of the database are not those of the model:\n{left}\n{right}"


def _same_batches(real: list[LoadedBatch], model: list[LoadedBatch]) -> None:
    """What the boss works with; a batch may come along in one of them because of a task beyond it."""
    expected = {batch.row.number: batch for batch in model}
    for batch in real:
        other = expected.get(batch.row.number)
        if other is None:
            continue
        for name in ("states", "attempts", "failures", "deaths", "cancelling", "dropped", "with_results"):
            values = getattr(batch, name), getattr(other, name)
            assert values[0] == values[1], f"batch {batch.row.number}: {name} {values[0]}, the model says {values[1]}"
