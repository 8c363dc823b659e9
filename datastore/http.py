"""Files between this datastore and a boss on another host, by the boss's HTTP API: what pushes sent, what users want.

It knows the boss's URL and a token that is good for files only; both come from whoever started the program, never
from an order. Every content is verified where it arrives, and a transfer that broke off goes on where it was.

    BossError                  a sentence that names the boss
    ├── BossUnreachableError   no answer, or the connection broke: worth another try
    ├── BossRefusedError       the boss has answered, and it was no
    └── WrongContentError      what came has not the size or digest that was announced
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from datastore.disk.content import CopyStoppedError, Stopped, digest_of, write_all
from datastore.errors import DatastoreError
from wire.http import OUTGOING

#: For the connection, and between two pieces; a boss that verifies a large file keeps us waiting longer.
TIMEOUT_SECONDS, VERIFY_SECONDS = 30.0, 600.0
#: Tries in a row that brought nothing further, and the pauses between them.
TRIES, PAUSE_SECONDS = 3, 1.0
_PIECE_BYTES, _FETCH_BYTES = 1 << 20, 1 << 18


class BossError(DatastoreError):
    """The text is a sentence."""


class BossUnreachableError(BossError):
    """It may work in a while."""


class BossRefusedError(BossError):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class WrongContentError(BossError):
    """What came has not the size or digest that was announced; none of it is kept."""


class Boss:
    """Used from several threads; each has a connection of its own. Raises ValueError for a URL that cannot be."""

    def __init__(self, url: str, token_file: Path, stopped: Stopped, pause_seconds: float = PAUSE_SECONDS) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ValueError(f"the boss's URL {url!r} cannot be used: http://HOST:PORT is expected")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self._prefix = parts.path.rstrip("/")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._token_file = token_file
        self._token()  # an error at the start, not with the first file
        self._stopped = stopped
        self._pause = pause_seconds
        self._own = threading.local()
        self._open: set[http.client.HTTPConnection] = set()

    def stop(self) -> None:
        """End what is under way; whoever waits for a connection gets an error. From any thread."""
        for connection in list(self._open):
            _cut(connection)

    def close(self) -> None:
        """Once it is no longer used."""
        for connection in list(self._open):
            connection.close()

    # -- from the boss -------------------------------------------------------------------------------

    def fetch(self, path: str, target: int, size: int) -> str:
        """Bring the descriptor's file to `size` bytes, from what it has on; the digest of all of it.

        Raises BossUnreachableError and OSError (what came stays for the next time), BossRefusedError,
        WrongContentError, CopyStoppedError.
        """
        have = os.fstat(target).st_size
        if have > size:
            os.ftruncate(target, 0)
        self._tried(lambda: self._fetch_rest(path, target, size), lambda: os.fstat(target).st_size)
        return digest_of(target, self._stopped)[0]

    def _fetch_rest(self, path: str, target: int, size: int) -> bool:
        have = os.lseek(target, 0, os.SEEK_END)
        if have == size:
            return True
        headers = {"Range": f"bytes={have}-"} if have else {}
        with self._asked("GET", path, headers) as answer:
            if have and answer.status != 206:
                os.ftruncate(target, 0)
                have = os.lseek(target, 0, os.SEEK_SET)
            while piece := answer.read(_FETCH_BYTES):
                if self._stopped():
                    raise CopyStoppedError
                have += len(piece)
                if have > size:
                    raise WrongContentError(f"{self.url} sends more than the {size:,} bytes of {path}")
                write_all(target, piece)
        if have < size:
            raise BossUnreachableError(
                f"the connection to the boss at {self.url} broke after {have:,} of {size:,} bytes"
            )
        return True

    # -- to the boss ---------------------------------------------------------------------------------

    def send(self, source: int, digest: str, size: int) -> None:
        """Send the descriptor's content, from where an earlier try broke off.

        Raises BossUnreachableError, BossRefusedError, CopyStoppedError, OSError.
        """
        self._tried(lambda: self._send_rest(source, digest, size), lambda: int(getattr(self._own, "sent", 0)))

    def _send_rest(self, source: int, digest: str, size: int) -> bool:
        have, complete = self._there(digest)
        self._own.sent = have
        if complete:
            return True
        path = f"{OUTGOING}{digest}?offset={have}&size={size}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size - have)}
        try:
            with self._asked("PUT", path, headers, _pieces(source, have, size, self._stopped)) as answer:
                return self._decoded(answer)[1]
        except BossRefusedError as error:
            if error.status == 409:  # another connection of ours is not over there yet
                raise BossUnreachableError(str(error)) from None
            raise

    def _there(self, digest: str) -> tuple[int, bool]:
        try:
            with self._asked("GET", f"{OUTGOING}{digest}", {}) as answer:
                return self._decoded(answer)
        except BossRefusedError as error:
            if error.status == 404:
                return 0, False
            raise

    def _decoded(self, answer: http.client.HTTPResponse) -> tuple[int, bool]:
        """How many bytes the boss has, and whether that is all of it."""
        try:
            state = json.loads(answer.read(65_536))
            return int(state["have"]), bool(state["complete"])
        except (ValueError, KeyError, TypeError):
            raise BossRefusedError(
                200, f"what answers at {self.url} is no boss; set --boss-url to the boss's"
            ) from None

    # -- one request ---------------------------------------------------------------------------------

    def _tried(self, do: Callable[[], bool], reached: Callable[[], int]) -> None:
        """Until it is done; given up after some tries in a row that brought nothing further."""
        tries, best = 0, -1
        while True:
            try:
                if do():
                    return
                failure = BossUnreachableError(
                    f"the boss at {self.url} took all of it, and says that it is not complete"
                )
            except BossUnreachableError as error:
                failure = error
            if self._stopped():
                raise CopyStoppedError from None
            now = reached()
            tries = 1 if now > best else tries + 1
            best = max(best, now)
            if tries >= TRIES:
                raise failure
            time.sleep(self._pause)  # a boss that is restarted needs a moment; a stop waits for it, too

    @contextmanager
    def _asked(
        self, method: str, path: str, headers: dict[str, str], body: Iterator[bytes] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer, of success; the connection is kept for the next request if it was read to its end."""
        connection, used = self._connection()
        try:
            answer = self._answer(connection, used, method, path, headers, body)
            refused = None if answer.status in (200, 206) else self._refused(answer)
            if refused is None:
                yield answer
            if not answer.isclosed() or (refused is not None and body is not None):
                self._forget(connection)
        except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
            self._forget(connection)
            if self._stopped():
                raise CopyStoppedError from None
            raise BossUnreachableError(f"the boss at {self.url} does not answer: {_words(error)}") from None
        except BaseException:
            self._forget(connection)
            raise
        if refused is not None:
            raise refused

    def _answer(
        self,
        connection: http.client.HTTPConnection,
        used: bool,
        method: str,
        path: str,
        headers: dict[str, str],
        body: Iterator[bytes] | None,
    ) -> http.client.HTTPResponse:
        headers = {**headers, "Authorization": f"Bearer {self._token()}"}
        try:
            if connection.sock is None:
                connection.connect()
            connection.request(method, self._prefix + path, body, headers)
        except (BrokenPipeError, ConnectionResetError):
            if body is None and used:  # kept too long: the boss has closed it
                connection.close()
                return self._answer(connection, False, method, path, headers, body)
            # It may have said why before it stopped reading.
        except OSError as error:
            if body is not None and not isinstance(error, ConnectionError | TimeoutError) and connection.sock:
                raise  # of the file that is being sent
            raise ConnectionError(_words(error)) from None
        connection.sock.settimeout(VERIFY_SECONDS if body is not None else TIMEOUT_SECONDS)
        try:
            return connection.getresponse()
        except http.client.RemoteDisconnected:
            if not used or body is not None:
                raise
            connection.close()
            return self._answer(connection, False, method, path, headers, body)

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        """This thread's, and whether it was used before."""
        kept: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        if kept is not None:
            return kept, kept.sock is not None
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = self._own.connection = kind(self._host, self._port, timeout=TIMEOUT_SECONDS)
        self._open.add(connection)
        return connection, False

    def _forget(self, connection: http.client.HTTPConnection) -> None:
        self._open.discard(connection)
        self._own.connection = None
        connection.close()

    def _refused(self, answer: http.client.HTTPResponse) -> BossError:
        try:
            said = str(json.loads(answer.read(65_536))["error"])
        except (ValueError, KeyError, TypeError):
            said = f"HTTP status {answer.status}"
        if answer.status == 401:
            return BossRefusedError(
                answer.status,
                f"the boss at {self.url} does not accept the token in {self._token_file} ({said}); put what its "
                "`logins/http_datastore` holds there: it is tried again automatically",
            )
        if answer.status in (429, 503):
            return BossUnreachableError(f"the boss at {self.url} cannot answer at present: {said}")
        return BossRefusedError(answer.status, f"the boss at {self.url} says: {said}")

    def _token(self) -> str:
        """Read again for each request: it may have been replaced. Raises BossRefusedError."""
        try:
            token = self._token_file.read_text().strip()
        except OSError as error:
            reason = f"the boss's token cannot be read from {self._token_file}: {error.strerror}"
            raise BossRefusedError(401, reason) from None
        if not token or not token.isprintable() or not token.isascii():
            raise BossRefusedError(401, f"{self._token_file} holds no token for the boss's files")
        return token


def _pieces(source: int, first: int, size: int, stopped: Stopped) -> Iterator[bytes]:
    at = first
    while at < size:
        if stopped():
            raise CopyStoppedError
        piece = os.pread(source, min(_PIECE_BYTES, size - at), at)
        if not piece:
            raise OSError("the file became shorter while it was being sent")
        at += len(piece)
        yield piece


def _cut(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # it is closed already
            pass


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
