"""Handlers for programs on other machines: logins that operators ask for, the check of a worker's host, and what the
machine of a worker gets at its start, its bundle and its login.

The work is done behind `LoginService`, `DebugService` and `BootstrapService`, which only a running boss has. What a
machine gets at its start the guard opens only to a client with a start token of the worker that the path names.
"""

from __future__ import annotations

import os

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from boss.api.errors import HttpError, bad_input
from boss.api.responses import file_response
from boss.api.routes import Call
from boss.api.schema import InstanceLoginAnswer, LoginAnswer, LoginRemoved, LoginRequest
from boss.api.services import BundlesInTransit, of_running_boss

#: Bundles that are sent together: a whole pool may boot, or be replaced, at one moment. Machines ask again.
AT_ONCE = 32


def login(call: Call) -> LoginAnswer:
    """The login of a worker or of `datastore` on another host, created if there is none. Blocks on the broker.

    Raises HttpError 400: `folder` is not absolute; 503: no boss runs; else as `LoginService.login`.
    """
    _folder(call, "the other host")
    return of_running_boss(call.services.logins).login(call.text("name"), call.request_body(LoginRequest))


def _folder(call: Call, where: str) -> str:
    """Where the login's files are to be."""
    folder = call.request_body(LoginRequest).folder
    if not folder.startswith("/") or not folder.isprintable():
        raise bad_input(f"folder {folder!r} must be an absolute path on {where}")
    return folder


def remove_login(call: Call) -> LoginRemoved:
    """End the login. Raises HttpError 503: no boss runs; else as `LoginService.remove_login`."""
    name = call.text("name")
    of_running_boss(call.services.logins).remove_login(name)
    return LoginRemoved(name=name)


async def debug(call: Call) -> Response:
    """Checks of the worker's host, a line of JSON each as results come.

    Raises HttpError 404: there is no such worker; 503: no boss runs.
    """
    lines = await run_in_threadpool(of_running_boss(call.services.debugger).debug, call.text("id"))
    return StreamingResponse((msgspec.json.encode(line) + b"\n" for line in lines), media_type="application/x-ndjson")


# --- a machine at its start ------------------------------------------------------------------------


async def bundle(call: Call) -> Response:
    """The program of this worker's machine, with its digest as ETag; `Range: bytes=N-` goes on from there.

    Raises HttpError 401, 403, 404: as `BootstrapService.bundle`; 503: no boss runs, or 32 are being sent; 409, 416: as
    `file_response`; OSError: it cannot be read.
    """
    worker, kind, digest = call.text("worker"), str(call.path["kind"]), str(call.query.get("digest", ""))
    path, digest = await run_in_threadpool(
        of_running_boss(call.services.bootstrap).bundle, worker, _token(call), kind, digest
    )
    sending = call.services.bundles
    if sending.count >= AT_ONCE:
        raise HttpError(503, f"{AT_ONCE} machines are fetching their programs; ask again soon")
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return _Counted(file_response(call.request, file, os.fstat(file).st_size, digest), sending)


class _Counted(Response):
    """An answer that counts as being sent until it is."""

    def __init__(self, answer: Response, sending: BundlesInTransit) -> None:
        self._answer = answer
        self._sending = sending
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._sending.count += 1
        try:
            await self._answer(scope, receive, send)
        finally:
            self._sending.count -= 1


def exchange(call: Call) -> InstanceLoginAnswer:
    """The login for the start token.

    Raises HttpError 400: `folder` is not absolute; 503: no boss runs; else as `BootstrapService.exchange`.
    """
    folder, client = _folder(call, "the machine"), call.request.client
    return of_running_boss(call.services.bootstrap).exchange(
        call.text("worker"), _token(call), folder, client.host if client else ""
    )


def _token(call: Call) -> str:
    return call.request.headers.get("authorization", "").partition(" ")[2].strip()
