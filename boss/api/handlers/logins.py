"""Handlers for what people do about machines: logins of programs on other hosts, and looking at a worker.

What is done stands behind `Machines`, which only a running boss has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from boss.api.errors import Fault, bad_input
from boss.api.routes import Call
from boss.api.schema import DebugLine, LoginAnswer, LoginRemoved, LoginRequest


class Machines(Protocol):
    """A running boss's own. Raises Fault."""

    def login(self, name: str, folder: str) -> LoginAnswer: ...
    def remove_login(self, name: str) -> None: ...

    def debug(self, worker: str) -> Iterator[DebugLine]:
        """Line by line as it comes; raises before the first one where the worker is not known."""
        ...


def login(call: Call) -> LoginAnswer:
    folder = call.request_body(LoginRequest).folder
    if not folder.startswith("/") or not folder.isprintable():
        raise bad_input(f"folder {folder!r} must be an absolute path on the other host")
    return _machines(call).login(call.text("name"), folder)


def remove_login(call: Call) -> LoginRemoved:
    name = call.text("name")
    _machines(call).remove_login(name)
    return LoginRemoved(name=name)


async def debug(call: Call) -> Response:
    lines = await run_in_threadpool(_machines(call).debug, call.text("id"))
    return StreamingResponse((msgspec.json.encode(line) + b"\n" for line in lines), media_type="application/x-ndjson")


def _machines(call: Call) -> Machines:
    if call.services.machines is None:
        raise Fault(503, "only a running boss does this, and none runs here: start one (python -m boss)")
    return call.services.machines
