"""Contents on their way from a datastore elsewhere to the clients that request them: ordered once, shared by all.

The boss orders, the datastore sends into a spool of its own (`FetchedSpool`); a request waits a while; if
that was not enough its answer is to repeat it. Nothing here is kept over a restart: requests come again.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from boss.api.backend import Backend, BackendUnavailableError
from boss.api.errors import ApiError
from boss.api.spool import Spool, blob_path, digest_named
from boss.core.effects import Answer
from boss.core.events import SendAsked
from boss.core.reasons import Rejection, RejectionKind

#: Contents requested of the datastore at once, and those that may wait for that.
AT_ONCE, MAX_WAITING = 16, 256
#: How long one request waits for a content before its client has to repeat it.
WAIT_SECONDS = 20.0


class FetchedSpool(Spool):
    """The spool of what was fetched. A cache: the oldest file is removed for a new one."""

    def free_space(self, digest: str, size: int) -> None:
        """Remove what was requested longest ago until this one fits, or only uploads under way are left.

        `size`: bytes of the whole content. Blocks on the disk. Raises OSError.
        """
        required = size - self.have(digest)
        with self._lock:
            excess = self.used_bytes() + sum(self._busy.values()) + required - self.limit_bytes
            if excess <= 0:
                return
            kept = {digest, *self._busy}
            others = [entry for entry in os.scandir(self.directory) if digest_named(entry.name) not in kept]
            for entry in sorted(others, key=lambda one: one.stat().st_mtime):
                excess -= entry.stat().st_size
                os.unlink(entry.path)  # a reader has it open
                if excess <= 0:
                    return


class DatastoreBusyError(ApiError):
    """Too many requests wait already; a sentence."""


class ResultUnavailableError(ApiError):
    """The datastore cannot send it; its sentence."""


class ResultFetcher:
    """Used by the application's event loop; `Backend.ask` waits in threads."""

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self.spool = FetchedSpool(directory, limit_bytes)
        self._threads = ThreadPoolExecutor(AT_ONCE, "fetch")
        self._asked: dict[str, Future[Answer]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Drop what has not been requested of the datastore yet. Does not wait."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def opened(self, backend: Backend, name: str, digest: str, size: int) -> int | None:
        """A descriptor of the content, which the caller closes; None: it is still on its way.

        Waits up to 20 s. Raises DatastoreBusyError: 256 contents wait already; ResultUnavailableError: the datastore
        cannot send it, or no boss answers.
        """
        file = self._open(digest)
        if file is not None:
            return file
        asked = self._ask(backend, SendAsked(name=name, digest=digest, size=size))
        done, _ = await asyncio.wait([asyncio.wrap_future(asked)], timeout=WAIT_SECONDS)
        if not done:
            return None
        answer = asked.result()
        if answer.rejections:
            raise ResultUnavailableError(" ".join(rejection.text for rejection in answer.rejections))
        return self._open(digest)

    def _open(self, digest: str) -> int | None:
        """What is opened stays readable even if it has to make way."""
        try:
            file = os.open(blob_path(self.spool.directory, digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        self.spool.keep(digest)
        return file

    def _ask(self, backend: Backend, event: SendAsked) -> Future[Answer]:
        with self._lock:
            asked = self._asked.get(event.digest)
            if asked is None:
                if len(self._asked) >= MAX_WAITING:
                    raise DatastoreBusyError(
                        f"{len(self._asked):,} files are being fetched from the datastore; ask again in a moment"
                    )
                asked = self._asked[event.digest] = self._threads.submit(self._wait, backend, event)
            return asked

    def _wait(self, backend: Backend, event: SendAsked) -> Answer:
        try:
            return backend.ask(event)
        except BackendUnavailableError as error:
            return Answer(reply=0, rejections=[Rejection(RejectionKind.UNAVAILABLE, str(error))])
        finally:
            with self._lock:
                self._asked.pop(event.digest, None)
