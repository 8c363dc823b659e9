"""Start tokens: what a worker's machine shows at its start to be given its program and, once, its login.

Kept hashed, one file for each worker, so that the next boss knows them; a token itself is on no disk of ours. Knows no
HTTP and no broker. Times are seconds since 1970: they hold over a restart.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from boss.common.private_files import private_folder, write_private
from wire.topics import WORKER_ID

FOLDER = "guests"
#: Tokens of one worker that count; older ones make way.
_MOST = 8


class StartToken(msgspec.Struct, kw_only=True):
    #: BLAKE2b of the token, hexadecimal.
    hash: str
    until: float
    #: False: for the bundle only.
    login: bool


#: Compared with where a worker has no token.
_NONE = StartToken(hash="0" * 64, until=0.0, login=False)


class StartTokenRecord(msgspec.Struct, kw_only=True):
    """What is known of the machine of one worker: a file each, below the state directory."""

    worker: str
    instance: int
    role: str = "worker"
    tokens: list[StartToken] = msgspec.field(default_factory=list)
    #: When the token was exchanged for the login, and by whom; 0: not yet.
    exchanged_at: float = 0.0
    exchanged_by: str = ""
    #: The last time that it was shown again.
    refused_at: float = 0.0
    refused_by: str = ""


class StartTokens:
    """All calls are safe from any thread."""

    def __init__(self, state_directory: Path, wall: Callable[[], float]) -> None:
        self._folder = private_folder(state_directory / FOLDER)
        self._wall = wall
        self._lock = threading.RLock()
        self._records: dict[str, StartTokenRecord] = {}
        #: Worker -> tokens of this boss's life only, for the bundle only.
        self._passing: dict[str, list[StartToken]] = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                record = msgspec.json.decode(path.read_bytes(), type=StartTokenRecord)
            except (OSError, msgspec.DecodeError):
                path.unlink(missing_ok=True)  # half a file opens nothing
            else:
                self._records[record.worker] = record

    def record(self, worker: str) -> StartTokenRecord | None:
        """What is on record of this worker's machine; None: nothing is."""
        return self._records.get(worker)

    def all(self) -> Iterator[StartTokenRecord]:
        """Every record that there was when the iteration began."""
        with self._lock:
            yield from list(self._records.values())

    def begin(self, worker: str, instance: int, role: str) -> StartTokenRecord:
        """The one of this instance; what another instance of this worker had opens nothing any more."""
        assert WORKER_ID.match(worker)
        with self._lock:
            record = self._records.get(worker)
            if record is None or record.instance != instance or record.role != role:
                record = self._records[worker] = StartTokenRecord(worker=worker, instance=instance, role=role)
            return record

    def issue(self, record: StartTokenRecord, seconds: float) -> str:
        """A new token for so many seconds, good for the login too. On disk when this returns. Raises OSError."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            now = self._wall()
            alive = [one for one in record.tokens if one.until > now]
            record.tokens = [*alive, StartToken(hash=_hash(token), until=now + seconds, login=True)][-_MOST:]
            self.save(record)
        return token

    def issue_passing(self, worker: str, seconds: float) -> str:
        """A new token for the bundle only, that the next boss does not know. Waits for nothing: the loop asks."""
        token = secrets.token_urlsafe(32)
        new = StartToken(hash=_hash(token), until=self._wall() + seconds, login=False)
        self._passing[worker] = [*self._passing.get(worker, []), new][-_MOST:]
        return token

    def find(self, worker: str, token: str) -> StartToken | None:
        """That token of that worker, its time over or not. Takes as long for any other."""
        hashed = _hash(token)
        with self._lock:
            record = self._records.get(worker)
            tokens = [*record.tokens, *self._passing.get(worker, [])] if record is not None else []
            found = [one for one in tokens or [_NONE] if hmac.compare_digest(one.hash, hashed)]
        return found[0] if found else None

    def is_over(self, token: StartToken) -> bool:
        """Whether its time is over."""
        return token.until <= self._wall()

    def save(self, record: StartTokenRecord) -> None:
        """On disk when this returns. Raises OSError."""
        with self._lock:
            write_private(self._folder / f"{record.worker}.json", msgspec.json.encode(record), durable=True)

    def forget(self, worker: str) -> bool:
        """Its tokens open nothing any more, and its file is removed when this returns. False: there was no record.
        Raises OSError; then nothing is forgotten.
        """
        with self._lock:
            (self._folder / f"{worker}.json").unlink(missing_ok=True)
            self._passing.pop(worker, None)
            return self._records.pop(worker, None) is not None


def _hash(token: str) -> str:
    return hashlib.blake2b(token.encode(errors="surrogateescape"), digest_size=32).hexdigest()
