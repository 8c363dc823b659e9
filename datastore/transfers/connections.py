"""Connections to workers' hosts: one ssh for each, which carries every transfer to and from it.

A connection is opened by the first transfer that needs it, is closed when none has used it for a minute, and ends with
this program. What could not be opened is raised as TransferFailedError. It knows no files and no attempts.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from datastore.transfers import hosts
from datastore.transfers.children import TransferProcess, environment
from datastore.transfers.verdicts import RemoteEnd, TransferFailedError, of_connection
from wire.messages import Place

IDLE_SECONDS = 60.0
#: Open at once without being used; the one that was not used for longest goes first.
MAX_IDLE = 64
#: Until a host must have let us in.
_CONNECT_SECONDS = 40.0
#: A host that many connect to at once drops some of the newcomers: one more try after this.
_DROPPED = re.compile(r"kex_exchange_identification|Connection reset by peer|Connection closed by")
_DROPPED_SECONDS = 0.5
#: ssh adds 17 characters to a socket's path for a while; the whole may have 107.
_MAX_PATH = 60
_PLAIN = re.compile(r"[A-Za-z0-9/._-]+\Z")
_PREFIX = "ecloud-ssh-"

#: Worker, host, port, user, keys: another of these is another connection.
_Identity = tuple[str, str, int, str, tuple[str, ...]]


class Connections:
    def __init__(self, key: Path | None, mark: str, note: Path) -> None:
        """`note`: a file that remembers the private folder, for the next start to remove it."""
        self._key = key
        self._environment = environment(mark)
        self._note = note
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._last = 0
        self._closed = False
        self._connections: dict[_Identity, _Connection] = {}
        self._changed = threading.Condition(self._lock)
        self._sweeper: threading.Thread | None = None
        _remove_noted(note)

    @contextlib.contextmanager
    def use(self, worker: str, place: Place) -> Iterator[str]:
        """The command (for rsync's `-e`) that reaches the host as `hosts.ALIAS`. Raises TransferFailedError."""
        connection = self._get(worker, place)
        try:
            connection.open()
            yield connection.command
        finally:
            with self._lock:
                connection.users -= 1
                connection.used = time.monotonic()
                self._start_sweeper()
                self._changed.notify()

    def has(self, worker: str, place: Place) -> bool:
        """Whether one to this place is open, so that using it waits for nothing."""
        with self._lock:
            connection = self._connections.get(_identity(worker, place))
        return connection is not None and connection.is_open()

    def close(self) -> None:
        """End all; nothing can be opened afterwards."""
        with self._lock:
            self._closed = True
            connections = list(self._connections.values())
            self._changed.notify_all()
        for connection in connections:
            connection.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._note.unlink(missing_ok=True)

    # -- inside --------------------------------------------------------------------------------------

    def _get(self, worker: str, place: Place) -> _Connection:
        remote = hosts.remote_of(worker, place)
        identity = _identity(worker, place)
        with self._lock:
            if self._closed:
                raise TransferFailedError("transfer", "the datastore is ending")
            connection = self._connections.get(identity)
            if connection is None:
                connection = self._connections[identity] = self._make(remote, place)
            connection.users += 1
            return connection

    def _make(self, remote: RemoteEnd, place: Place) -> _Connection:
        if self._key is None:
            raise TransferFailedError(
                "transfer",
                f"{remote} cannot be reached: this datastore has no SSH key (--ssh-key, ECLOUD_DATASTORE_SSH_KEY)",
            )
        known = hosts.known_hosts(remote.worker, place)
        folder = self._private_folder()
        self._last += 1
        own = folder / str(self._last)
        own.mkdir(0o700)
        (own / "known_hosts").write_text(known)
        (own / "settings").write_text(hosts.settings(remote, own, folder / "key"))
        return _Connection(remote, own, str(self._key), self._environment)

    def _private_folder(self) -> Path:
        """Short, because sockets lie there; plain, because it stands in settings of ssh and rsync."""
        if self._folder is None:
            assert self._key is not None
            above = Path(tempfile.gettempdir())
            if len(str(above)) > _MAX_PATH or not _PLAIN.match(str(above)):
                above = Path("/tmp")
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=above))
            self._note.write_text(f"{folder}\n")
            (folder / "key").symlink_to(self._key.absolute())
            self._folder = folder
        return self._folder

    def _start_sweeper(self) -> None:
        if self._sweeper is None and not self._closed:
            self._sweeper = threading.Thread(target=self._sweep, name="ssh-idle", daemon=True)
            self._sweeper.start()

    def _sweep(self) -> None:
        """Close what is idle, when it is time."""
        while True:
            with self._lock:
                if self._closed:
                    return
                due = self._due()
                for identity in due:
                    # Under the lock: who asks for it meanwhile gets a new one.
                    self._connections.pop(identity).close()
                if not due:
                    self._changed.wait(self._until_next())

    def _due(self) -> list[_Identity]:
        idle = sorted((each.used, key) for key, each in self._connections.items() if not each.users)
        latest = time.monotonic() - IDLE_SECONDS
        too_many = max(0, len(idle) - MAX_IDLE)
        return [key for number, (used, key) in enumerate(idle) if used <= latest or number < too_many]

    def _until_next(self) -> float | None:
        used = [each.used for each in self._connections.values() if not each.users]
        return max(0.0, min(used) + IDLE_SECONDS - time.monotonic()) if used else None


class _Connection:
    """One host as one worker states it. `users` and `used` belong to `Connections`."""

    def __init__(self, remote: RemoteEnd, folder: Path, key: str, environment: dict[str, str]) -> None:
        self.users = 0
        self.used = time.monotonic()
        #: rsync splits this at blanks; the folder has none.
        self.command = f"ssh -F {folder / 'settings'}"
        self._remote = remote
        self._folder = folder
        self._key = key
        self._environment = environment
        self._opening = threading.Lock()
        self._master: TransferProcess | None = None
        self._closed = False

    def is_open(self) -> bool:
        """As far as is known: a host that has gone is noticed after a while only."""
        return self._master is not None and not self._master.ended()

    def open(self) -> None:
        """Raises TransferFailedError."""
        with self._opening:
            if self._master is not None:
                if not self._master.ended():
                    return
                self._master.wait()
            words = self._try()
            if words is not None and _DROPPED.search(words) and not self._closed:
                time.sleep(_DROPPED_SECONDS)  # sshd does not announce when it accepts new connections again
                words = self._try()
            if words is not None:
                raise of_connection(words, self._remote, self._key)

    def close(self) -> None:
        """From any thread; an opening under way fails."""
        self._closed = True
        master = self._master
        if master is not None:
            master.end()
            master.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _try(self) -> str | None:
        """None: connected. Else what ssh wrote."""
        (self._folder / "socket").unlink(missing_ok=True)
        with open(self._folder / "words", "w+b") as words:
            command = [*self.command.split(), "-M", "-N", "-o", "PermitLocalCommand=yes", "-o", "LocalCommand=echo"]
            master = TransferProcess([*command, hosts.ALIAS], self._environment, stdout=subprocess.PIPE, stderr=words)
            self._master = master
            with master.stdout:
                if not self._closed and _speaks(master.stdout.fileno(), _CONNECT_SECONDS):
                    return None
            master.end()
            master.wait()
            words.seek(0)
            return words.read(20_000).decode(errors="replace")


def _identity(worker: str, place: Place) -> _Identity:
    return worker, place.host, place.port, place.user, tuple(place.host_keys)


def _speaks(fd: int, seconds: float) -> bool:
    """The local command runs when the host has let us in and the socket is there."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000)) and os.read(fd, 1) != b""


def _remove_noted(note: Path) -> None:
    """The private folder of a former start, if it is one of ours."""
    try:
        folder = Path(note.read_text().strip())
        status = folder.lstat()
    except (OSError, ValueError):
        return
    if folder.name.startswith(_PREFIX) and status.st_uid == os.geteuid():
        shutil.rmtree(folder, ignore_errors=True)
