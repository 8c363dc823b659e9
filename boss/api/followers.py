"""Followers of a boss, and since when it is unused: a boss that a push started stops once it is no longer required.

Counts and times only. Whether work is left is read from a view, which the loop made.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boss.api.backend import View

#: Seconds without a follower after which such a boss stops, once a client has followed it ...
UNFOLLOWED_SECONDS = 3.0
#: ... after a push that its client has not followed yet: that may have been killed just then ...
PUSHED_SECONDS = 15.0
#: ... and after the last request, where no client has followed.
UNUSED_SECONDS = 60.0
#: Between two polls of a view.
POLL_SECONDS = 0.25


class Followers:
    """All calls are safe from any thread; none blocks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds, as of `time.monotonic`."""
        self._clock = clock
        self._lock = threading.Lock()
        #: Batch -> how many follow it.
        self._following: dict[int, int] = {}
        self._detached: set[int] = set()
        self._last_use = clock()
        #: A client has followed, however short; a push came that its client has not followed yet.
        self._followed = False
        self._awaited = False

    def use(self) -> None:
        """A client sends a request, or is being answered."""
        self._last_use = self._clock()

    def counting(self, app: ASGIApp) -> ASGIApp:
        """The application, with every request counted as use."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            async def received() -> Message:
                self.use()
                return await receive()

            async def sent(message: Message) -> None:
                self.use()  # a large result is in use for as long as it is read
                await send(message)

            self.use()
            await app(scope, received, sent)

        return counted

    def pushed(self) -> None:
        """A push came in, whose client is about to follow."""
        self._awaited = True

    def expect_no_follower(self) -> None:
        """The push was refused: there is nothing to follow."""
        with self._lock:
            self._followed, self._awaited = True, False

    @contextmanager
    def follow(self, batch: int) -> Iterator[None]:
        """Counts a follower of the batch while the context lasts."""
        with self._lock:
            self._following[batch] = self._following.get(batch, 0) + 1
            self._followed, self._awaited = True, False
        try:
            yield
        finally:
            with self._lock:
                self._following[batch] -= 1
                if not self._following[batch]:
                    del self._following[batch]
                self._last_use = self._clock()

    def detach(self, batch: int) -> None:
        """The boss is to work on this batch to its end, whoever follows."""
        with self._lock:
            self._detached.add(batch)
            self._followed, self._awaited = True, False

    def is_detached(self, batch: int) -> bool:
        """Whether `detach` was called for this batch."""
        with self._lock:
            return batch in self._detached

    def count(self) -> int:
        """How many follow at present, of all batches."""
        with self._lock:
            return sum(self._following.values())

    def idle_seconds(self) -> float:
        """How long no client has used the boss."""
        return self._clock() - self._last_use

    def timeout_seconds(self) -> float:
        """How long the boss may be unused before it stops."""
        with self._lock:
            if self._awaited:
                return PUSHED_SECONDS
            return UNFOLLOWED_SECONDS if self._followed else UNUSED_SECONDS


def is_at_work(view: View) -> bool:
    """A detached batch has work left, or instances without work are about to be stopped, which comes first."""
    unfinished = [batch for batch in view.batches.values() if not batch.finished_at]
    if unfinished:
        return any(batch.detached for batch in unfinished)
    return any(pool.grows and sum(pool.instances.values()) > pool.min + pool.spare for pool in view.pools)


def wait_until_unneeded(followers: Followers, view: Callable[[], View], ended: Callable[[], bool]) -> bool:
    """Blocks until the boss was unused for long enough: True. False: it `ended` before, seen within POLL_SECONDS."""
    while not ended():
        time.sleep(POLL_SECONDS)  # no event reports that the last work is done
        if followers.count() or is_at_work(view()):
            followers.use()
        elif followers.idle_seconds() > followers.timeout_seconds():
            return True
    return False
