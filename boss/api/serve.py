"""uvicorn in a thread of its own: no signal handlers, no access log, a port that may be chosen by the system."""

from __future__ import annotations

import contextlib
import socket
import threading

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from boss.api.connections import HttpConnections
from boss.api.errors import ApiError
from boss.api.services import CLOSING

#: HttpConnections that wait to be accepted; uvicorn's own number.
_BACKLOG = 2048
_START_SECONDS = 10.0
_STOP_SECONDS = 5.0


class ServeError(ApiError):
    """The text is a sentence: which address, and why not."""


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # signals belong to the program, not to a thread
        yield


class Server:
    """Answers from a thread of its own between `start` and `stop`."""

    def __init__(self, app: ASGIApp, sock: socket.socket) -> None:
        """`sock`: of `listen`."""
        self.host, self.port = sock.getsockname()[:2]
        self._closing = threading.Event()
        config = uvicorn.Config(
            self._with_closing(app),
            log_config=None,
            log_level="warning",
            http=HttpConnections().protocol(),
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._socket = sock
        self._server = _QuietServer(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def url(self) -> str:
        """For clients on this machine: loopback, where it listens on every address."""
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        host = loopback.get(self.host, self.host)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        """Requests are answered when this returns. Blocks up to 10 s; raises ServeError: it did not start by then."""
        started = threading.Event()
        startup = self._server.startup

        async def startup_and_report(sockets: list[socket.socket] | None = None) -> None:
            await startup(sockets)
            started.set()

        self._server.startup = startup_and_report  # type: ignore[method-assign]  # uvicorn has no hook for "listening"
        self._thread.start()
        if not started.wait(_START_SECONDS):
            raise ServeError(f"the HTTP server on {self.url} did not start within {_START_SECONDS:.0f} s")

    def _run(self) -> None:
        """Raises ServeError unless it was to end: a boss without its HTTP API would look alive."""
        try:
            self._server.run(sockets=[self._socket])
        except SystemExit as error:  # in a thread it would go unnoticed
            raise ServeError(f"the HTTP server on {self.url} gave up ({error.code})") from None
        if not self._closing.is_set():
            raise ServeError(f"the HTTP server on {self.url} has ended")

    def _with_closing(self, app: ASGIApp) -> ASGIApp:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            scope[CLOSING] = self._closing
            await app(scope, receive, send)

        return wrapped

    def stop(self) -> None:
        """Stop it; blocks up to 5 s. Streams see it and end; what is still open after a second is cut."""
        self._closing.set()
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS)
        self._socket.close()


def listen(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A socket that listens there; clients are answered once a Server has it. Port 0: the system chooses one.

    Raises ServeError: the address is in use, or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ServeError(
            f"the HTTP API cannot listen on {host}:{port}: {error.strerror}; set http_host and http_port"
        ) from None
    return listening
