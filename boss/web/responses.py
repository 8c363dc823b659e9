"""Bodies to HTTP responses. Knows JSON and statuses only."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.responses import Response

from boss.web.answers import ErrorAnswer


def json_response(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


def error_response(status: int, error: str, details: Sequence[str] = ()) -> Response:
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return json_response(ErrorAnswer(error=error, details=list(details)), status, headers)
