"""Handlers for machines of workers at their start: the bundle, and the login for the start token.

The door has let in only who has a start token of the worker that the path names; what it opens stands behind `Guests`,
which only a running boss has.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from boss.api.errors import Fault, bad_input
from boss.api.routes import Call, Sending
from boss.api.schema import GuestLoginAnswer, GuestLoginRequest
from boss.api.streaming import file_response

#: Bundles that are sent together: a whole pool may boot, or be replaced, at one moment. Machines ask again.
AT_ONCE = 32


class Guests(Protocol):
    """A running boss's own. Safe from any thread; raises Fault."""

    def admits(self, worker: str, token: str) -> bool:
        """In the same time whether it is right, wrong, or of another worker."""
        ...

    def bundle(self, worker: str, token: str, kind: str, digest: str) -> tuple[Path, str]:
        """File and digest. `kind`: Python and machine; `digest`: empty is the newest."""
        ...

    def exchange(self, worker: str, token: str, folder: str, address: str) -> GuestLoginAnswer:
        """Once. `address`: of who asks, for people."""
        ...


async def bundle(call: Call) -> Response:
    worker, kind, digest = call.text("worker"), str(call.path["kind"]), str(call.query.get("digest", ""))
    path, digest = await run_in_threadpool(_guests(call).bundle, worker, _token(call), kind, digest)
    sending = call.services.sending
    if sending.bundles >= AT_ONCE:
        raise Fault(503, f"{AT_ONCE} machines are fetching their programs; ask again soon")
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return _Counted(file_response(call.request, file, os.fstat(file).st_size, digest), sending)


class _Counted(Response):
    """An answer that counts as being sent until it is."""

    def __init__(self, answer: Response, sending: Sending) -> None:
        self._answer = answer
        self._sending = sending
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._sending.bundles += 1
        try:
            await self._answer(scope, receive, send)
        finally:
            self._sending.bundles -= 1


def login(call: Call) -> GuestLoginAnswer:
    folder = call.request_body(GuestLoginRequest).folder
    if not folder.startswith("/") or not folder.isprintable():
        raise bad_input(f"folder {folder!r} must be an absolute path on the machine")
    client = call.request.client
    return _guests(call).exchange(call.text("worker"), _token(call), folder, client.host if client else "")


def _token(call: Call) -> str:
    return call.request.headers.get("authorization", "").partition(" ")[2].strip()


def _guests(call: Call) -> Guests:
    if call.services.guests is None:
        raise Fault(503, "only a running boss does this, and none runs here: start one (python -m boss)")
    return call.services.guests
