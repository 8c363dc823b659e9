"""Runs of rsync over the connections to workers' hosts: started, watched, stopped, their exits read.

It knows hosts, names and codes; what is sent or received is the business of `sending` and `fetching`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from datastore.disk.content import CopyStoppedError, Stopped, is_full
from datastore.disk.tree import Tree
from datastore.paths import shown
from datastore.transfers import free_space, rsync, verdicts
from datastore.transfers.connections import Connections
from datastore.transfers.hosts import remote_of
from datastore.transfers.verdicts import Direction, RemoteEnd, TransferFailedError
from wire.messages import AttemptKey, Place

logger = logging.getLogger(__name__)

#: Names of one rsync that sends: very long lists make it crawl.
MAX_SENT = 20_000
#: Names of one that fetches: it compares each that comes with each that was asked for, and that is quadratic.
MAX_FETCHED = 1_000
#: What is written to see whether the disk is full.
_PROBE_BYTES = 65_536


class Errand(NamedTuple):
    """What one rsync is for."""

    worker: str
    place: Place
    direction: Direction
    #: The folder on the host, for sentences.
    path: str
    names: list[str]
    #: All files together, and the largest that may be written here (None: none is).
    size: int
    largest: int | None = None
    #: Attempts for which it is run; when none of them is wanted any more it is ended.
    keys: frozenset[AttemptKey] = frozenset()
    #: Of each file that is sent.
    sizes: Mapping[str, int] = MappingProxyType({})


class Runs:
    def __init__(self, tree: Tree, connections: Connections, environment: dict[str, str], stopped: Stopped) -> None:
        """`environment`: of every child."""
        self._tree = tree
        self._connections = connections
        self._environment = environment
        self._stopped = stopped
        self._lock = threading.Lock()
        self._running: dict[rsync.Rsync, frozenset[AttemptKey]] = {}

    def run(self, errand: Errand, arguments: Callable[[str], list[str]]) -> rsync.RsyncEnded:
        """To its end. `arguments` gets the command that reaches the host.

        Raises TransferFailedError, CopyStoppedError.
        """
        try:
            with self._connections.use(errand.worker, errand.place) as shell:
                return self._run(errand, arguments(shell))
        except TransferFailedError as failure:
            if self._stopped():
                raise CopyStoppedError from None
            raise TransferFailedError(failure.fault, _with_path(str(failure), errand)) from None
        except OSError as error:
            raise TransferFailedError("transfer", f"a transfer cannot be started: {error}") from None

    def failure(self, ended: rsync.RsyncEnded, errand: Errand) -> TransferFailedError | None:
        """None: files are to be looked at."""
        remote = remote_of(errand.worker, errand.place)
        if ended.too_slow:
            at = verdicts.doing(remote, errand.direction, errand.path)
            return TransferFailedError("transfer", f"{at}: it is too slow and was given up")
        if ended.too_much:
            at = verdicts.doing(remote, errand.direction, errand.path)
            return TransferFailedError("host", f"{at}: it sent more bytes than were reported")
        full = self._tree.full_text()
        failure = verdicts.of_rsync(ended.code, ended.words, remote, errand.direction, errand.path, full)
        if failure is not None and errand.direction == "stage" and verdicts.lost_connection_in(ended.code, ended.words):
            failure = self._ask(ended.code, remote, errand) or failure
        if failure is not None and failure.fault == "full" and not self._is_full(errand.size):
            # Only the host says so, and results of other workers must not wait for its word.
            at = verdicts.doing(remote, errand.direction, errand.path)
            failure = TransferFailedError("transfer", f"{at}: {verdicts.telling(ended.words)}")
        if failure is not None and ended.code in verdicts.BUGS:
            logger.error("rsync ended with code %d: %s", ended.code, ended.words[:2000], extra={"action": "bug"})
        return failure

    def end_unwanted(self, unwanted: Callable[[AttemptKey], bool]) -> None:
        """Something is not wanted any more: end those of which nothing is."""
        with self._lock:
            running = list(self._running.items())
        for each, keys in running:
            if keys and all(unwanted(key) for key in keys):
                each.end()

    def stop(self) -> None:
        """End all that is under way; whoever waits for it raises CopyStoppedError (`stopped` is true by now)."""
        with self._lock:
            running = list(self._running)
        for each in running:
            each.end()
        self._connections.close()

    # -- inside --------------------------------------------------------------------------------------

    def _run(self, errand: Errand, arguments: list[str]) -> rsync.RsyncEnded:
        run = rsync.Rsync()
        with self._lock:
            self._running[run] = errand.keys
        try:
            if self._stopped():
                raise CopyStoppedError
            fetched = errand.size if errand.direction == "collect" else None
            ended = run.run(arguments, errand.names, self._environment, errand.largest, fetched)
            logger.debug(
                "%s of worker %s: %d names, %d bytes, code %d", errand.direction, errand.worker, len(errand.names),
                errand.size, ended.code, extra={"action": "transfer"},
            )  # fmt: skip
        finally:
            with self._lock:
                del self._running[run]
        if self._stopped():
            raise CopyStoppedError
        return ended

    def _ask(self, code: int, remote: RemoteEnd, errand: Errand) -> TransferFailedError | None:
        """What the host's room tells of an end without words. One that is not connected any more is not looked for."""
        found = None
        if self._connections.has(errand.worker, errand.place):
            with contextlib.suppress(TransferFailedError), self._connections.use(errand.worker, errand.place) as shell:
                found = free_space.ask(shell, self._environment, errand.path, errand.sizes)
        return verdicts.of_room(code, remote, errand.path, found)

    def _is_full(self, size: int) -> bool:
        if self._tree.free_bytes() < size:
            return True
        try:
            probe = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o600, dir_fd=self._tree.incoming)
            try:
                os.write(probe, bytes(_PROBE_BYTES))
            finally:
                os.close(probe)
        except OSError as error:
            return is_full(error)
        return False


def _with_path(said: str, errand: Errand) -> str:
    if errand.path in said:
        return said
    doing = "inputs cannot be sent to" if errand.direction == "stage" else "results cannot be fetched from"
    return f"{doing} {shown(errand.path)}: {said}"
