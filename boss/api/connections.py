"""Open connections of the HTTP API: how long each may take to say what it wants, and how many may be there without a
token.

A connection costs a descriptor whoever opened it. One that has no request under way is closed after some seconds, also
in the middle of a head or behind an answer; of those without a valid token only so many stay, and the oldest of
them that has no request under way makes room for a new one. While a request lasts its connection is never closed.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from wire.descriptors import within_limit

#: Seconds for the head of a request, from the connection or the answer before it.
HEAD_SECONDS = 10.0
#: HttpConnections without a token, and how many descriptors all else may need.
MAX_UNKNOWN, RESERVED = 256, 128

#: In the scope of a request: the connection on which it came.
CONNECTION = "ecloud.connection"


class HttpConnections:
    """Those of one server. Touched by its event loop only."""

    def __init__(self) -> None:
        #: Without a token, the oldest first.
        self._unknown: dict[HttpConnection, None] = {}
        self.max_unknown = within_limit(MAX_UNKNOWN, 2, RESERVED)

    def protocol(self) -> type[H11Protocol]:
        """What uvicorn makes of each connection."""
        connections = self

        class Limited(HttpConnection):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(connections, *args, **kwargs)

        return Limited

    def add(self, connection: HttpConnection) -> None:
        """A connection that has shown no token yet; if there are too many, the oldest idle one is closed."""
        self._unknown[connection] = None
        if len(self._unknown) > self.max_unknown:
            idle = next((each for each in self._unknown if each.idle), None)
            if idle is not None:
                idle.close()

    def remove(self, connection: HttpConnection) -> None:
        """It has a token, or has ended: it no longer counts as one without."""
        self._unknown.pop(connection, None)


class HttpConnection(H11Protocol):
    """One connection."""

    def __init__(self, connections: HttpConnections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connections = connections
        self._answer = self.app
        self.app = self._requested
        self._head_timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """No request is under way."""
        return self._head_timer is not None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the event loop: it counts as one without a token, and has 10 s for the head of a request."""
        super().connection_made(transport)
        self._connections.add(self)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop: it counts no longer."""
        self._connections.remove(self)
        self._head_arrived()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Called by uvicorn: the next head has 10 s again."""
        self._await_head()
        super().on_response_complete()

    def trust(self) -> None:
        """The request that is under way showed a valid token."""
        self._connections.remove(self)

    def close(self) -> None:
        """Cut it at once, without an answer."""
        self._connections.remove(self)
        self._head_arrived()
        self.transport.abort()

    def _await_head(self) -> None:
        self._head_arrived()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.close)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    async def _requested(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._head_arrived()
        scope[CONNECTION] = self
        await self._answer(scope, receive, send)


def trust(scope: Scope) -> None:
    """The request showed a valid token. Other servers than ours (tests) know of no connection."""
    connection = scope.get(CONNECTION)
    if isinstance(connection, HttpConnection):
        connection.trust()
