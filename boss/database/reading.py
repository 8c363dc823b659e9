"""How the parts that read get a connection: each call has one of the pool, and leaves it again."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine

from boss.database.errors import translated

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", bound="Reader")


class Reader:
    """Reads only; any thread."""

    def __init__(self, engine: Engine, place: str) -> None:
        self.engine = engine
        self.place = place


def reads(method: Callable[Concatenate[R, Connection, P], T]) -> Callable[Concatenate[R, P], T]:
    """A method of a Reader that is given a connection; what goes wrong comes out as a DatabaseError."""

    @wraps(method)
    def call(reader: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with translated(reader.place), reader.engine.connect() as connection:
            return method(reader, connection, *args, **kwargs)

    return call
