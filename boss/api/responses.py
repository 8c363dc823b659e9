"""Answers over HTTP: bodies as JSON, errors, and files, whole or from an offset on (`Range: bytes=N-`).

Knows descriptors and statuses; not where a file comes from. Files are read in pieces, by threads.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Sequence

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from boss.api.errors import HttpError
from boss.api.schema import ErrorAnswer

#: Of errors; a 503 is worth asking again after some seconds.
_HEADERS = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": "5"}}
#: Of a file.
MEDIA = "application/octet-stream"
_PIECE_BYTES = 1 << 20
_RANGE = re.compile(r"bytes=(\d{1,18})-\Z")


def json_response(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A response with `body` as JSON, as msgspec encodes it."""
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


def error_response(status: int, error: str, details: Sequence[str] = ()) -> Response:
    """A response with an ErrorAnswer; 401 and 503 have their headers (WWW-Authenticate; Retry-After in seconds)."""
    return json_response(ErrorAnswer(error=error, details=list(details)), status, _HEADERS.get(status))


def first_byte(request: Request, size: int) -> int:
    """Where the answer is to begin, in bytes: `Range: bytes=N-` of RFC 9110, section 14; without it 0.

    Raises HttpError 416: another form, or N is larger than `size`.
    """
    given = request.headers.get("range")
    if given is None:
        return 0
    match = _RANGE.match(given.strip())
    if match is None or int(match[1]) > size:
        raise HttpError(
            416, f"range {given[:80]!r} is none of a file of {size:,} bytes; ask for bytes=N- with N up to that"
        )
    return int(match[1])


def file_response(request: Request, file: int, size: int, digest: str) -> Response:
    """`size` bytes of the descriptor, which is closed afterwards whatever happens; its content has this digest.

    Reads up to 1 MiB at once here, and the rest as it is sent. Raises HttpError 416: as `first_byte`; 409: the file is
    shorter than `size`; OSError.
    """
    try:
        first = first_byte(request, size)
    except HttpError:
        os.close(file)
        raise
    headers = {"content-length": str(size - first), "etag": f'"{digest}"', "accept-ranges": "bytes"}
    if first:
        headers["content-range"] = f"bytes {first}-{size - 1}/{size}"
    status = 206 if first else 200
    if size - first <= _PIECE_BYTES:
        try:
            content = os.pread(file, size - first, first)
        finally:
            os.close(file)
        if len(content) != size - first:
            raise HttpError(409, "the file became shorter while it was being read; ask again")
        return Response(content, status, headers, media_type=MEDIA)
    return _FileStream(file, first, size, status, headers)


class _FileStream(StreamingResponse):
    def __init__(self, file: int, first: int, size: int, status: int, headers: dict[str, str]) -> None:
        super().__init__(_pieces(file, first, size), status, headers, media_type=MEDIA)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._file)


async def _pieces(file: int, first: int, size: int) -> AsyncIterator[bytes]:
    at = first
    while at < size:
        piece = await run_in_threadpool(os.pread, file, min(_PIECE_BYTES, size - at), at)
        if not piece:
            return  # shorter than promised: the connection is cut, and the receiver sees it
        at += len(piece)
        yield piece
