"""httpx without a network: the ASGI application driven inside this process, each request by a thread of its own.

Used where no boss runs. A body comes in pieces, as they are made: few are held at a time, however large it is.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator

import httpx
from starlette.types import ASGIApp, Message

from boss.client.client import ClientError

#: Pieces that the application may be ahead of the reader.
_AHEAD = 8
#: How often an application that is ahead checks whether the answer is still read.
_POLL_SECONDS = 0.5


class InProcessTransport(httpx.BaseTransport):
    def __init__(self, app: ASGIApp, release: Callable[[], None] = lambda: None) -> None:
        """`release`: called by `close`, for what the application holds open."""
        self.app = app
        self._release = release

    def close(self) -> None:
        """Call `release`: the application is used no longer."""
        self._release()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, whose body is still to come. Blocks until the application begins it; raises what that raises."""
        run = _Run(self.app, request)
        start = run.next()
        assert isinstance(start, dict)
        return httpx.Response(start["status"], headers=start["headers"], stream=run, request=request)


class _ReaderClosedError(ClientError):
    """The answer is no longer read."""


class _Run(httpx.SyncByteStream):
    """One request under way, and the body of its answer."""

    def __init__(self, app: ASGIApp, request: httpx.Request) -> None:
        assert isinstance(request.stream, httpx.SyncByteStream)
        self._app = app
        self._scope = _scope(request)
        self._chunks = iter(request.stream)
        self._whole = False
        #: The start of the answer, pieces of its body, then an exception or None.
        self._answer: queue.Queue[Message | bytes | BaseException | None] = queue.Queue(_AHEAD)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="in-process", daemon=True)
        self._thread.start()

    def next(self) -> Message | bytes | None:
        item = self._answer.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def __iter__(self) -> Iterator[bytes]:
        while (item := self.next()) is not None:
            assert isinstance(item, bytes)
            yield item

    def close(self) -> None:
        self._closed = True
        while not self._answer.empty():
            self._answer.get_nowait()
        self._thread.join()

    # --- in the request's thread ----------------------------------------------------------------------

    async def _ask(self) -> None:
        await self._app(self._scope, self._receive, self._send)

    def _run(self) -> None:
        end: BaseException | None = None
        try:
            asyncio.run(self._ask())
        except _ReaderClosedError:
            return
        except BaseException as error:
            end = error
        try:
            self._put(end)
        except _ReaderClosedError:
            pass

    async def _receive(self) -> Message:
        if self._whole:
            while not self._closed:
                await asyncio.sleep(_POLL_SECONDS)
            return {"type": "http.disconnect"}
        chunk = next(self._chunks, None)
        self._whole = chunk is None
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._put(message)
        elif body := message.get("body", b""):
            self._put(bytes(body))

    def _put(self, item: Message | bytes | BaseException | None) -> None:
        """Nothing else waits for this thread, so it may wait."""
        while not self._closed:
            try:
                self._answer.put(item, timeout=_POLL_SECONDS)
                return
            except queue.Full:
                continue
        raise _ReaderClosedError


def _scope(request: httpx.Request) -> dict[str, object]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (request.url.host, request.url.port or 80),
        "client": ("127.0.0.1", 0),
    }
