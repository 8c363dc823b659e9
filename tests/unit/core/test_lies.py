"""A worker and a datastore that say anything a schema takes: the scheduler's state stays right, and every turn can be
written into a real database (here SQLite; no text is longer than its column on a server)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
from sqlalchemy import String, create_engine, func, select

from boss.core.rows import Changes
from boss.database import Database
from boss.database.tables import metadata
from tests.worlds.scheduler import FakeDatastore, FakeWorker, World
from wire.codec import WireError
from wire.messages import DatastoreReport, WorkerReport

SEEDS = 60
TURNS = 40

WHOLE = (-(2**80), -(2**63), -1, 0, 1, 1, 1, 2, 2, 3, 4, 2**31, 2**32, 2**63 - 1, 2**63, 2**80)
REAL = (-1e308, -1.0, 0.0, 0.5, 1.0, 3.0, 1e9, 1e308, 5e-324)
TEXTS = ("", "x", "w", "in", "out", "b2:" + "0" * 64, "b2:", "../../x", "\0", "\u202e☃😀", "y" * 300, "😀" * 20_000)


#: Where no absurd value is within the bounds.
_SMALL: dict[Any, Any] = {int: 1, float: 0.5, str: "x"}


def _is_within(value: Any, bound: msgspec.Meta) -> bool:
    if isinstance(value, int | float):
        return (bound.ge is None or value >= bound.ge) and (bound.le is None or value <= bound.le)
    return bound.max_length is None or len(value) <= bound.max_length


def anything(kind: Any, choose: random.Random) -> Any:
    """A value of this type, rather an absurd one; seldom beyond its bounds, where it would only be refused."""
    if get_origin(kind) is Annotated:
        inner, *bounds = get_args(kind)
        tried = (anything(inner, choose) for _ in range(1 if choose.random() < 0.01 else 20))
        return next(
            (value for value in tried if all(_is_within(value, bound) for bound in bounds)), _SMALL.get(inner, [])
        )
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is int:
        return choose.choice(WHOLE)
    if kind is float:
        return choose.choice(REAL)
    if kind is str:
        return choose.choice(TEXTS)
    if kind is bool:
        return choose.random() < 0.5
    if kind is type(None):
        return None
    if origin is Literal:
        return choose.choice(arguments)
    if origin is list:
        return [anything(arguments[0], choose) for _ in range(choose.choice((0, 1, 1, 2)))]
    if origin is tuple:
        return tuple(anything(one, choose) for one in arguments)
    if origin is dict:
        return {anything(arguments[0], choose): anything(arguments[1], choose) for _ in range(choose.choice((0, 1, 2)))}
    if arguments:
        return anything(choose.choice(arguments), choose)
    if kind is object:
        return choose.choice(TEXTS)
    hints = get_type_hints(kind, include_extras=True)
    return kind(**{field.name: anything(hints[field.name], choose) for field in msgspec.structs.fields(kind)})


class TwoStores:
    """Commits each turn twice."""

    def __init__(self, first: Any, second: Database) -> None:
        self._first, self._second = first, second
        self.known, self.batches_for = first.known, first.batches_for

    def commit(self, changes: Changes, wall: float) -> None:
        self._first.commit(changes, wall)
        self._second.commit(changes, wall)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.open(f"sqlite:///{tmp_path / 'it.sqlite'}")
    made.take_over("here", 1)
    yield made
    made.close()


def started(database: Database) -> tuple[World, FakeWorker, FakeDatastore]:
    world = World()
    world.session = TwoStores(world.session, database)  # type: ignore[assignment]
    world.push(
        {"a": "", "b": "a", "c": "", "d": ""}, results={"a": "out", "c": "out2"}, requirements={"c": "in"}, inits=["i"]
    )
    return world, world.worker(slots=4), world.datastore


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_is_said_the_state_stays_right_and_can_be_recorded(
    database: Database, seed: int, tmp_path: Path
) -> None:
    choose = random.Random(seed)
    world, worker, datastore = started(database)
    for _ in range(TURNS):
        worker.orders()
        datastore.orders()
        try:
            if choose.random() < 0.7:
                worker.report(*(anything(WorkerReport, choose) for _ in range(choose.choice((1, 1, 3)))))
            else:
                datastore.report(anything(DatastoreReport, choose))
        except WireError:
            pass
        world.wait(choose.choice((0.0, 0.1, 20.0)))
        if choose.random() < 0.1:
            worker.restarted()
    world.effects.clear()
    assert_texts_fit(tmp_path / "it.sqlite")


def assert_texts_fit(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        for table in metadata.tables.values():
            for column in table.columns:
                if isinstance(column.type, String) and column.type.length:
                    longest = connection.execute(select(func.max(func.length(column)))).scalar() or 0
                    assert longest <= column.type.length, f"{table.name}.{column.name}"
    engine.dispose()
