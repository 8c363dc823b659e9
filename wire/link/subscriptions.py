"""The topics that a link subscribes to: kept by the link, requested again at each connection."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Subscription:
    topic: str
    qos: int
    #: True: without it the link is of no use, so a refusal ends the connection.
    required: bool


class Subscriptions:
    """Changed by any thread; the link's thread takes the changes one by one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requested: dict[str, Subscription] = {}
        #: Changes since they were last taken, in order: (topic, what it is now or None).
        self._changes: list[tuple[str, Subscription | None]] = []

    def add(self, subscription: Subscription) -> None:
        with self._lock:
            self._requested[subscription.topic] = subscription
            self._changes.append((subscription.topic, subscription))

    def remove(self, topic: str) -> None:
        with self._lock:
            if self._requested.pop(topic, None) is not None:
                self._changes.append((topic, None))

    def all(self) -> list[Subscription]:
        """All of them, for a new connection; the changes so far are contained in it."""
        with self._lock:
            self._changes.clear()
            return list(self._requested.values())

    def changes(self) -> list[tuple[str, Subscription | None]]:
        with self._lock:
            changes, self._changes = self._changes, []
            return changes
