"""File descriptors, and what to call when they are ready: a thin epoll that other threads wake by an eventfd."""

from __future__ import annotations

import contextlib
import logging
import os
import select
from collections.abc import Callable

logger = logging.getLogger(__name__)

Callback = Callable[[], None]


class Watch:
    """`wait` calls the callbacks of what is ready. Everything but `wake` belongs to one thread."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.add(self._wake, self._woken)

    def add(self, fd: int, callback: Callback, writing: bool = False) -> None:
        self._callbacks[fd] = callback
        self._epoll.register(fd, select.EPOLLOUT if writing else select.EPOLLIN)

    def forget(self, fd: int) -> None:
        """Stop watching it."""
        if self._callbacks.pop(fd, None) is not None:
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)

    def close(self, fd: int) -> None:
        """Stop watching it, and close it."""
        self.forget(fd)
        os.close(fd)

    def wait(self, seconds: float | None) -> None:
        """A callback that fails is logged, and its descriptor no longer watched: it would fail without end."""
        for fd, _ in self._epoll.poll(seconds, 128):
            callback = self._callbacks.get(fd)
            if callback is None:  # an earlier callback of this round may have closed it
                continue
            try:
                callback()
            except Exception:
                logger.exception("a callback of the runner failed", extra={"action": "callback_failed"})
                if self._callbacks.get(fd) is callback and fd != self._wake:
                    self.forget(fd)

    def wake(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def close_all(self) -> None:
        for fd in list(self._callbacks):
            self.close(fd)
        self._epoll.close()
