"""The door of the HTTP API: token, Host, Origin, content type. One ASGI middleware in front of every route.

A web page open in the same browser must not be able to submit commands, so a foreign Host (DNS rebinding), a
foreign Origin and a change whose body is of a type that a plain form can send are refused, with or without a
token. A valid token is admitted whatever others do; wrong ones are answered slowly, and many of them at once with 429.
A token may be good for files only: what a datastore elsewhere has, which opens two paths and nothing else. What a
worker's machine does at its start is opened by the start token of that worker alone, which opens nothing else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import deque
from collections.abc import Callable, Iterable

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boss.api.connections import trust
from boss.api.responses import error_response
from boss.state_directory.tokens import same
from wire.http import GUESTS, PREFIX

#: Names under which this machine reaches itself.
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
#: Bodies of changes; none of them can be sent by an HTML form.
CONTENT_TYPES = frozenset({"application/json", "application/x-ndjson", "application/octet-stream"})

#: What a token that is good for files only opens.
FILES_PATHS = (f"{PREFIX}/blobs/", f"{PREFIX}/outgoing/")

#: What the start token of a worker opens, and nothing but that: below it comes the worker's id.
BOOTSTRAP_PATHS = f"{GUESTS}/"

#: (worker, token): is it one of that worker's?
Admits = Callable[[str, str], bool]

_WRONG_DELAY_SECONDS = 0.2
_WRONG_WINDOW_SECONDS = 10.0
_WRONG_LIMIT = 20


def host_name(host: str) -> str:
    """The Host header without its port."""
    if host.startswith("["):
        return host[: host.find("]") + 1].lower()
    return host.partition(":")[0].lower()


class Guard:
    """Refuses requests that are not allowed (401, 403, 415, 429), and sets safety headers on answers.

    Raises ValueError when it is made without a token.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: Iterable[str],
        allowed_hosts: Iterable[str] = (),
        files_tokens: Iterable[str] = (),
        admits: Admits | None = None,
    ) -> None:
        self.app = app
        self.tokens = tuple(token for token in tokens if token)
        self.files_tokens = tuple(token for token in files_tokens if token)
        self.allowed_hosts = LOOPBACK_HOSTS | {name.lower() for name in allowed_hosts}
        self.admits = admits
        self.wrong: deque[float] = deque(maxlen=_WRONG_LIMIT)
        if not self.tokens:
            raise ValueError("the HTTP API needs at least one token")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None:
            refusal = await self._token_refusal(scope, headers)
        if refusal is not None:
            await error_response(*refusal)(scope, receive, send)
            return
        trust(scope)
        await self.app(scope, receive, _with_safety_headers(send))

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        if len(headers.getlist("host")) != 1 or not self._is_our_name(scope, host_name(headers["host"])):
            return 403, "the Host header names no address of the boss; use one that it listens on (http_host)"
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"{scope['scheme']}://{headers['host'].lower()}":
            return 403, "requests from other web pages are refused"
        if scope["method"] in ("GET", "HEAD"):
            return None
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in CONTENT_TYPES:
            return 415, f"content type {kind or 'none'!r} is refused; send one of {', '.join(sorted(CONTENT_TYPES))}"
        return None

    def _is_our_name(self, scope: Scope, name: str) -> bool:
        """A name that is allowed, or the very address at which the connection came in: no foreign name leads there."""
        address = str((scope.get("server") or ("",))[0]).lower()
        return name in self.allowed_hosts or (_is_address(address) and name.strip("[]") == address)

    async def _token_refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scope["path"].startswith(BOOTSTRAP_PATHS):
            return await self._start_token_refusal(scope["path"], scheme, given.strip())
        # All are compared, whichever is right: the time reveals nothing.
        for_all = any([same(given.strip(), token) for token in self.tokens])
        for_files = any([same(given.strip(), token) for token in self.files_tokens])
        if scheme.lower() != "bearer" or not (for_all or for_files):
            return await self._wrong_token()
        if not for_all and not scope["path"].startswith(FILES_PATHS):
            return 403, "this token is good for the datastore's files only"
        return None

    async def _start_token_refusal(self, path: str, scheme: str, given: str) -> tuple[int, str] | None:
        worker = path.removeprefix(BOOTSTRAP_PATHS).partition("/")[0]
        admitted = self.admits is not None and await run_in_threadpool(self.admits, worker, given)
        return None if admitted and scheme.lower() == "bearer" else await self._wrong_token()

    async def _wrong_token(self) -> tuple[int, str]:
        now = time.monotonic()
        crowded = len(self.wrong) == _WRONG_LIMIT and now - self.wrong[0] < _WRONG_WINDOW_SECONDS
        self.wrong.append(now)
        if crowded:
            return 429, "too many requests with a wrong token"
        await asyncio.sleep(_WRONG_DELAY_SECONDS)
        return 401, "no token or a wrong one; the boss's token stands in its state directory, logins/http_token"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _with_safety_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *_SAFETY_HEADERS]}
        await send(message)

    return wrapped


_SAFETY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
)
