"""Handlers for files that pass through the boss: sent by pushes, fetched by the datastore, sent back by it.

Knows the spools, and that the datastore keeps what it was sent.
"""

from __future__ import annotations

import os

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from boss.api.errors import HttpError, bad_input, not_found
from boss.api.from_datastore import ResultFetcher
from boss.api.responses import file_response, json_response
from boss.api.routes import Call
from boss.api.schema import MissingAnswer, MissingFile, MissingRequest, UploadAnswer
from boss.api.spool import DIGEST, Spool, SpoolBusyError, SpoolContentError, SpoolFullError, Upload, blob_path

#: Bytes gathered before they go to the disk in one write.
_WRITE_BYTES = 1 << 20
_DIGESTS_LIMIT = 200_000


def missing(call: Call) -> MissingAnswer:
    """Those of the digests that are not here whole, with how many bytes of each are.

    Blocks on spool, database and tree. Raises HttpError 400: no digest; 413: more than 200,000.
    """
    digests = call.request_body(MissingRequest).digests
    if len(digests) > _DIGESTS_LIMIT:
        raise HttpError(413, f"{len(digests):,} digests in one question; ask for at most {_DIGESTS_LIMIT:,}")
    for digest in digests:
        _check(digest)
    spool = call.services.spool
    absent = [digest for digest in dict.fromkeys(digests) if not spool.keep(digest)]
    there = on_datastore(call, absent)
    lacking = [digest for digest in absent if digest not in there]
    return MissingAnswer(missing=[MissingFile(digest=digest, have=spool.have(digest)) for digest in lacking])


def on_datastore(call: Call, digests: list[str]) -> dict[str, int]:
    """Sizes in bytes of those that earlier pushes sent and the datastore keeps: they are not sent again.

    Blocks on the database, and reads contents where the tree is on this disk. Raises OSError.
    """
    stored = call.backend.lookups.stored(digests) if digests else {}
    tree = call.services.tree
    # Where the tree is on this disk a check costs little: another process may have removed it all.
    return {digest: size for digest, size in stored.items() if tree is None or tree.has_blob(digest)}


def state(call: Call) -> UploadAnswer:
    """How many bytes of the file are here. Raises HttpError 400: no digest; 404: nothing is."""
    return _state(call, call.services.spool)


def outgoing_state(call: Call) -> UploadAnswer:
    """How many bytes of a content that the datastore is to send are here.

    Raises HttpError 400, 404: as `state`; 409: the datastore is on this disk.
    """
    return _state(call, _fetching(call).spool)


def _state(call: Call, spool: Spool) -> UploadAnswer:
    digest = _check(call.text("digest"))
    have = spool.have(digest)
    complete = spool.has(digest)
    if not have and not complete:
        raise HttpError(404, f"nothing of {digest} is here")
    return UploadAnswer(digest=digest, have=have, complete=complete)


async def receive(call: Call) -> Response:
    """Append the body from `offset` on; when `size` bytes are there they are verified and kept.

    Raises HttpError 400: no digest, negative numbers, too many bytes, another content; 409: another client is sending
    it, or the file does not end at `offset`; 507: no space.
    """
    return await _receive(call, call.services.spool)


async def receive_outgoing(call: Call) -> Response:
    """The same, from the datastore, of a content that a client has requested; older contents make room.

    Raises HttpError 400, 409, 507: as `receive`; 409 also: the datastore is on this disk.
    """
    spool = _fetching(call).spool
    size = call.whole("size", 0)
    if 0 <= size <= spool.limit_bytes:
        await run_in_threadpool(spool.free_space, _check(call.text("digest")), size)
    return await _receive(call, spool)


def _fetching(call: Call) -> ResultFetcher:
    fetching = call.services.fetching
    if fetching is None:
        raise HttpError(409, "the datastore of this boss is on its own disk: nothing is sent here")
    return fetching


async def blob(call: Call) -> Response:
    """A content that a push sent, for a datastore elsewhere; `Range: bytes=N-` goes on from there.

    Raises HttpError 400: no digest; 404: it is not in the spool; 409, 416: as `file_response`.
    """
    digest = _check(call.text("digest"))
    spool = call.services.spool
    try:
        file = os.open(blob_path(spool.directory, digest), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise not_found(f"{digest} is not in the boss's spool (any more); push again, then it is sent again") from None
    spool.keep(digest)
    return file_response(call.request, file, os.fstat(file).st_size, digest)


async def _receive(call: Call, spool: Spool) -> Response:
    digest, offset = _check(call.text("digest")), call.whole("offset", 0)
    size = call.whole("size", 0)
    if offset < 0 or size < 0:
        raise bad_input("offset and size cannot be negative")
    try:
        with spool.upload(digest, offset, size) as upload:
            complete = await _append(call, upload)
            return json_response(UploadAnswer(digest=digest, have=upload.have, complete=complete))
    except SpoolBusyError as error:
        raise HttpError(409, str(error)) from None
    except SpoolFullError as error:
        raise HttpError(507, str(error)) from None
    except SpoolContentError as error:
        raise bad_input(str(error)) from None


async def _append(call: Call, upload: Upload) -> bool:
    buffer = bytearray()
    try:
        async for chunk in call.request.stream():
            buffer += chunk
            if len(buffer) >= _WRITE_BYTES:
                await run_in_threadpool(upload.write, bytes(buffer))
                buffer.clear()
        await run_in_threadpool(upload.write, bytes(buffer))
        return await run_in_threadpool(upload.close)
    except ClientDisconnect:
        upload.write(bytes(buffer))  # what came is kept: the next upload goes on from there
        raise
    finally:
        upload.abandon()


def _check(digest: str) -> str:
    if not DIGEST.match(digest):
        raise bad_input(f"{digest[:80]!r} is no digest: 'b2:' and 64 hexadecimal digits")
    return digest
