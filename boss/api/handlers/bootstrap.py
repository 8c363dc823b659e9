"""Handlers for machines of workers at their start: the bundle, and the login for the start token.

The guard has admitted only a client with a start token of the worker that the path names; what it opens is behind
`BootstrapService`, which only a running boss has.
"""

from __future__ import annotations

import os

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from boss.api.errors import HttpError, bad_input
from boss.api.routes import Call
from boss.api.schema import InstanceLoginAnswer, InstanceLoginRequest
from boss.api.services import BundlesInTransit, of_running_boss
from boss.api.streaming import file_response

#: Bundles that are sent together: a whole pool may boot, or be replaced, at one moment. Machines ask again.
AT_ONCE = 32


async def bundle(call: Call) -> Response:
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


def login(call: Call) -> InstanceLoginAnswer:
    folder = call.request_body(InstanceLoginRequest).folder
    if not folder.startswith("/") or not folder.isprintable():
        raise bad_input(f"folder {folder!r} must be an absolute path on the machine")
    client = call.request.client
    return of_running_boss(call.services.bootstrap).exchange(
        call.text("worker"), _token(call), folder, client.host if client else ""
    )


def _token(call: Call) -> str:
    return call.request.headers.get("authorization", "").partition(" ")[2].strip()
