"""Handlers for the files that pushes send along: what is missing, how far it is, and the bytes. Knows the spool."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from boss.web.answers import MissingAnswer, MissingFile, MissingRequest, UploadAnswer
from boss.web.faults import Fault, bad_input
from boss.web.responses import json_response
from boss.web.routes import Call
from boss.web.spool import DIGEST, SpoolBusy, SpoolFull, Upload, WrongContent

#: Bytes gathered before they go to the disk in one write.
_WRITE_BYTES = 1 << 20
_DIGESTS_LIMIT = 200_000


def missing(call: Call) -> MissingAnswer:
    """Those of the digests that are not here whole, with how much of each is."""
    digests = call.request_body(MissingRequest).digests
    if len(digests) > _DIGESTS_LIMIT:
        raise Fault(413, f"{len(digests):,} digests in one question; ask for at most {_DIGESTS_LIMIT:,}")
    for digest in digests:
        _check(digest)
    spool = call.services.spool
    wanted = [digest for digest in dict.fromkeys(digests) if not spool.keep(digest)]
    return MissingAnswer(missing=[MissingFile(digest=digest, have=spool.have(digest)) for digest in wanted])


def state(call: Call) -> UploadAnswer:
    """How much of the file is here."""
    digest = _check(call.text("digest"))
    spool = call.services.spool
    have = spool.have(digest)
    complete = spool.has(digest)
    if not have and not complete:
        raise Fault(404, f"nothing of {digest} is here")
    return UploadAnswer(digest=digest, have=have, complete=complete)


async def receive(call: Call) -> Response:
    """Append the body from `offset` on; when `size` bytes are there they are verified and kept."""
    digest, offset = _check(call.text("digest")), call.whole("offset", 0)
    size = call.whole("size", 0)
    if offset < 0 or size < 0:
        raise bad_input("offset and size cannot be negative")
    try:
        with call.services.spool.upload(digest, offset, size) as upload:
            complete = await _append(call, upload)
            return json_response(UploadAnswer(digest=digest, have=upload.have, complete=complete))
    except SpoolBusy as error:
        raise Fault(409, str(error)) from None
    except SpoolFull as error:
        raise Fault(507, str(error)) from None
    except WrongContent as error:
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
