"""Handlers for what people do about machines: logins of programs on other hosts, and looking at a worker.

What is done stands behind `LoginService`, which only a running boss has.
"""

from __future__ import annotations

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from boss.api.errors import HttpError, bad_input
from boss.api.routes import Call
from boss.api.schema import LoginAnswer, LoginRemoved, LoginRequest
from boss.api.services import LoginService


def login(call: Call) -> LoginAnswer:
    folder = call.request_body(LoginRequest).folder
    if not folder.startswith("/") or not folder.isprintable():
        raise bad_input(f"folder {folder!r} must be an absolute path on the other host")
    return _service(call).login(call.text("name"), folder)


def remove_login(call: Call) -> LoginRemoved:
    name = call.text("name")
    _service(call).remove_login(name)
    return LoginRemoved(name=name)


async def debug(call: Call) -> Response:
    lines = await run_in_threadpool(_service(call).debug, call.text("id"))
    return StreamingResponse((msgspec.json.encode(line) + b"\n" for line in lines), media_type="application/x-ndjson")


def _service(call: Call) -> LoginService:
    if call.services.logins is None:
        raise HttpError(503, "only a running boss does this, and none runs here: start one (python -m boss)")
    return call.services.logins
