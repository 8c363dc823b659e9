"""Many small results in one answer: how they are packed, and how a reader takes them out again. Pure.

An entry is a line of JSON, {"at": place in the question, "size": bytes}, and then the bytes. What is not in the answer
(it is larger, or not available) is asked for alone; that answer has the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec

from boss.api.errors import ApiError

#: A larger result is asked for alone.
RESULT_BYTES = 256 * 1024
#: Results of one question, and bytes that a reader asks for at once.
MAX_RESULTS, MAX_BYTES = 500, 8 * 1024 * 1024
_LINE_BYTES = 200


class _Head(msgspec.Struct):
    at: Annotated[int, msgspec.Meta(ge=0, lt=MAX_RESULTS)]
    size: Annotated[int, msgspec.Meta(ge=0, le=RESULT_BYTES)]


_decode = msgspec.json.Decoder(_Head).decode


class ResultBundleError(ApiError):
    """The answer is no valid bundle, or is incomplete."""


def packed(at: int, content: bytes) -> bytes:
    """One entry of a bundle, in the format above. `at`: place in the question."""
    return msgspec.json.encode(_Head(at, len(content))) + b"\n" + content


def unpacked(pieces: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each entry as it comes: place and content. Blocks while `pieces` does.

    Raises ResultBundleError: no valid entry, or the end came within one.
    """
    waiting = bytearray()
    head: _Head | None = None
    for piece in pieces:
        waiting += piece
        start = 0
        while True:
            if head is None:
                end = waiting.find(b"\n", start)
                if end < 0:
                    break
                head, start = _head(bytes(waiting[start:end])), end + 1
            if len(waiting) - start < head.size:
                break
            yield head.at, bytes(waiting[start : start + head.size])
            start += head.size
            head = None
        del waiting[:start]
        if head is None and len(waiting) > _LINE_BYTES:
            raise ResultBundleError("an entry has no beginning")
    if head is not None or waiting:
        raise ResultBundleError("the answer ended within an entry")


def _head(line: bytes) -> _Head:
    try:
        return _decode(line)
    except msgspec.DecodeError as error:
        raise ResultBundleError(f"an entry begins wrongly: {error}") from None
