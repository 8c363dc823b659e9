"""Bodies to HTTP responses. Knows JSON and statuses only."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.responses import Response

from boss.api.schema import ErrorAnswer

#: Seconds after which it is worth asking again.
RETRY_AFTER_SECONDS = 5

_HEADERS = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": str(RETRY_AFTER_SECONDS)}}


def json_response(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


def error_response(status: int, error: str, details: Sequence[str] = ()) -> Response:
    headers = _HEADERS.get(status)
    return json_response(ErrorAnswer(error=error, details=list(details)), status, headers)
