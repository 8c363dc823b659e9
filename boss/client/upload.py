"""Sends the files that a push names: only what the boss lacks, each from where its last sending broke off."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from boss.client.client import Client, ClientError, RequestRefusedError

_CHUNK_BYTES = 1 << 18
#: Digests asked about in one request.
_ASK_AT_ONCE = 50_000
#: How often a file is tried again that another client is sending at the same moment.
_BUSY_TRIES = 120

#: Called with (bytes sent so far, bytes to send).
Report = Callable[[int, int], None]


class Sendable(NamedTuple):
    """A local file with what its digest and size were when the push was read."""

    path: Path
    digest: str
    size: int


def send_files(client: Client, files: list[Sendable], report: Report) -> int:
    """Send what is missing; the number of bytes sent. Raises ClientError that names the file.

    Blocks until all are sent; for a file that another client is sending, up to a minute (120 tries, 0.5 s apart).
    Raises RequestRefusedError, NoAnswerError: the boss does not say what it lacks, or is not reached.
    """
    by_digest = {file.digest: file for file in files}
    waiting = dict(_missing(client, list(by_digest)))
    total = sum(by_digest[digest].size - have for digest, have in waiting.items())
    done = 0
    for digest, have in waiting.items():
        before = done

        def report_file(count: int, before: int = before) -> None:
            report(before + count, total)

        _send(client, by_digest[digest], have, report_file)
        done += by_digest[digest].size - have
    return done


def _missing(client: Client, digests: list[str]) -> Iterator[tuple[str, int]]:
    for first in range(0, len(digests), _ASK_AT_ONCE):
        for file in client.missing(digests[first : first + _ASK_AT_ONCE]):
            yield file.digest, file.have


def _send(client: Client, file: Sendable, have: int, report: Callable[[int], None]) -> None:
    digest, size = file.digest, file.size
    for _ in range(_BUSY_TRIES):
        try:
            client.send_file(digest, size, have, _content(file, have, report))
            return
        except RequestRefusedError as error:
            if error.status != 409:
                raise ClientError(f"sending {file.path} failed: {error}") from None
            time.sleep(0.5)  # another client sends the same file: it may be here in a moment, or go on elsewhere
        missing = client.missing([digest])
        if not missing:
            return
        have = missing[0].have
    raise ClientError(f"sending {file.path} failed: another push is still sending it; push again later")


def _content(file: Sendable, offset: int, report: Callable[[int], None]) -> Iterator[bytes]:
    """The bytes from `offset` up to the size that the push names, whatever the file has become meanwhile."""
    try:
        with file.path.open("rb") as source:
            source.seek(offset)
            left = file.size - offset
            while left and (chunk := source.read(min(_CHUNK_BYTES, left))):
                left -= len(chunk)
                yield chunk
                report(file.size - offset - left)
    except OSError as error:
        raise ClientError(f"{file.path} cannot be read any more: {error.strerror}") from None
    if left:
        raise ClientError(f"{file.path} became shorter while it was being sent; push again")
