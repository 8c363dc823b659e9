"""Handlers for machines of other hosts: logins of their programs, and the check of a worker's host.

The work is done behind `LoginService` and `DebugService`, which only a running boss has.
"""

from __future__ import annotations

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from boss.api.errors import bad_input
from boss.api.routes import Call
from boss.api.schema import LoginAnswer, LoginRemoved, LoginRequest
from boss.api.services import of_running_boss


def login(call: Call) -> LoginAnswer:
    folder = call.request_body(LoginRequest).folder
    if not folder.startswith("/") or not folder.isprintable():
        raise bad_input(f"folder {folder!r} must be an absolute path on the other host")
    return of_running_boss(call.services.logins).login(call.text("name"), folder)


def remove_login(call: Call) -> LoginRemoved:
    name = call.text("name")
    of_running_boss(call.services.logins).remove_login(name)
    return LoginRemoved(name=name)


async def debug(call: Call) -> Response:
    lines = await run_in_threadpool(of_running_boss(call.services.debugger).debug, call.text("id"))
    return StreamingResponse((msgspec.json.encode(line) + b"\n" for line in lines), media_type="application/x-ndjson")
