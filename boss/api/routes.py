"""What a route is: one entry serves the application, the OpenAPI document and the tests alike.

A plain handler is an ordinary function from a Call to a body (it runs in a thread, so it may block); a
streaming one is async and makes its own response. Knows no route by name.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from boss.api.backend import Backend
from boss.api.errors import HttpError, bad_input, not_found
from boss.api.services import Services
from boss.common.suggestions import did_you_mean
from boss.database.views import LARGEST
from wire.http import PREFIX

#: Which token opens a route: the user's, or that of one machine at its start.
USER_TOKEN, START_TOKEN = "token", "start_token"

#: Largest JSON body of a change (a whole graph comes as a stream and has its own limit).
BODY_LIMIT_BYTES = 16 * 1024 * 1024
T = TypeVar("T")


class _Any(Convertor[str]):
    """The rest of a path, whatever it holds: ids and names may have slashes and line ends."""

    regex = "(?s:.+)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("any", _Any())


@dataclass(frozen=True)
class Parameter:
    """One query parameter."""

    name: str
    kind: type[int] | type[float] | type[str] | type[bool]
    sentence: str
    required: bool = False


@dataclass(frozen=True)
class Call:
    """One request, as a handler sees it."""

    services: Services
    request: Request
    path: dict[str, object]
    query: dict[str, object]
    body: object = None

    @property
    def backend(self) -> Backend:
        """The boss, as all handlers share it."""
        return self.services.backend

    def number(self, name: str = "number") -> int:
        """The number that the path names. There is nothing above what a database counts to.

        Raises HttpError 404: it is larger.
        """
        value = self.path[name]
        assert isinstance(value, int)
        if value > LARGEST:
            raise not_found(f"there is no {value}")
        return value

    def text(self, name: str, default: str = "") -> str:
        """The query parameter of this name, else the part of the path, else the default."""
        return str(self.query.get(name, self.path.get(name, default)))

    def whole(self, name: str, default: int) -> int:
        """The whole number that the query has under this name, else the default."""
        value = self.query.get(name, default)
        assert isinstance(value, int)
        return value

    def count(self, name: str, limit: int) -> int:
        """How many a list is to have; 0: the query does not say. Raises HttpError 400: it is not from 0 to `limit`."""
        value = self.whole(name, 0)
        if not 0 <= value <= limit:
            raise bad_input(f"{name} is {value}; it must be from 1 to {limit:,}")
        return value

    def request_body(self, kind: type[T]) -> T:
        """The body, which `read_body` has decoded as the route's request type; `kind` is that."""
        assert isinstance(self.body, kind)
        return self.body


PlainHandler = Callable[[Call], object]
StreamingHandler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    method: str
    #: Below PREFIX, in Starlette's form: /tasks/{number:int}.
    path: str
    name: str
    summary: str
    answer: type
    handler: PlainHandler | None = None
    streaming: StreamingHandler | None = None
    request: type | None = None
    #: Media type of a body that is no JSON.
    request_media: str = ""
    answer_media: str = "application/json"
    token: str = USER_TOKEN
    parameters: tuple[Parameter, ...] = field(default=())


def read_query(route: Route, request: Request) -> dict[str, object]:
    """The query parameters by type. Raises HttpError 400 for unknown, missing, double and wrong ones."""
    known = {parameter.name: parameter for parameter in route.parameters}
    values: dict[str, object] = {}
    for name, text in request.query_params.multi_items():
        if name not in known:
            raise bad_input(f"query parameter {name!r} is not known{did_you_mean(name, list(known))}")
        if name in values:
            raise bad_input(f"query parameter {name!r} is given twice")
        values[name] = _typed(known[name], text)
    for parameter in route.parameters:
        if parameter.required and parameter.name not in values:
            raise bad_input(f"query parameter {parameter.name!r} is missing: {parameter.sentence}")
    return values


def _typed(parameter: Parameter, text: str) -> object:
    try:
        value = msgspec.convert(text, parameter.kind, strict=False)
    except msgspec.ValidationError:
        raise bad_input(
            f"query parameter {parameter.name!r} is {text!r}; it must be {_WORDS[parameter.kind]}"
        ) from None
    if isinstance(value, int) and abs(value) > LARGEST:
        raise bad_input(f"query parameter {parameter.name!r} is {text}; that is too large")
    if isinstance(value, float) and not 0 <= value < math.inf:  # nan too: no comparison holds for it
        raise bad_input(f"query parameter {parameter.name!r} is {text!r}; it must be a number from 0 on")
    return value


_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "0 or 1"}


async def read_body(route: Route, request: Request) -> object:
    """The JSON body as the route's request type; None where that has none, or reads it as a stream.

    Waits for the client. Raises HttpError 413: larger than BODY_LIMIT_BYTES; 400: not of that type.
    """
    if route.request is None or route.request_media:
        return None
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_LIMIT_BYTES:
            raise HttpError(413, f"the body is larger than {BODY_LIMIT_BYTES:,} bytes")
        chunks.append(chunk)
    try:
        return msgspec.json.decode(b"".join(chunks) or b"{}", type=route.request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_input(f"the body is not what {route.method} {PREFIX}{route.path} takes: {error}") from None
