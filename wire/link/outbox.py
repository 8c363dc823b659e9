"""What other threads put into a link: messages to publish, bounded in bytes and number, and topics to subscribe to.

The outbox takes messages only while a connection is up, and is emptied when that ends: the protocol repeats everything
that was not confirmed, so a message that was kept over a disconnection could only arrive late, as an outdated order.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    topic: str
    payload: bytes
    qos: int
    retain: bool

    @property
    def size(self) -> int:
        return len(self.payload) + len(self.topic) + 32


class Outbox:
    """Closed at first; `open` and `close` are called by the link's thread, `put` by any thread."""

    def __init__(self, max_bytes: int, max_messages: int) -> None:
        self._max_bytes = max_bytes
        self._max_messages = max_messages
        self._lock = threading.Lock()
        self._waiting: deque[OutboundMessage] = deque()
        self._open = False
        #: Of all that was put and is not settled: waiting here, or handed over and not acknowledged.
        self._bytes = 0
        self._messages = 0

    def open(self) -> None:
        with self._lock:
            self._open = True

    def refuse_more(self) -> None:
        """What waits is still sent, nothing new is taken."""
        with self._lock:
            self._open = False

    def close(self) -> int:
        """Discard all. Returns how many messages were not known to be at the broker."""
        with self._lock:
            lost = self._messages
            self._waiting.clear()
            self._open, self._bytes, self._messages = False, 0, 0
            return lost

    def put(self, message: OutboundMessage) -> bool:
        """False when closed or full. QoS 0 may fill half only, so that live output never crowds out reports."""
        share = 2 if message.qos == 0 else 1
        with self._lock:
            if not self._open or self._messages >= self._max_messages // share:
                return False
            if self._messages and self._bytes + message.size > self._max_bytes // share:
                return False
            self._append(message)
            return True

    def put_last(self, message: OutboundMessage) -> None:
        """The link's own word (presence): taken even when full or already refusing."""
        with self._lock:
            self._append(message)

    def _append(self, message: OutboundMessage) -> None:
        self._waiting.append(message)
        self._bytes += message.size
        self._messages += 1

    def take(self, limit: int) -> list[OutboundMessage]:
        """Up to `limit` messages in order, to be handed to the connection; each is `settled` later."""
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]

    def settled(self, size: int) -> None:
        """One that was taken has reached the broker."""
        with self._lock:
            self._bytes -= size
            self._messages -= 1

    def unsettled(self) -> int:
        with self._lock:
            return self._messages


@dataclass(frozen=True, slots=True)
class Subscription:
    topic: str
    qos: int
    #: True: without it the link is of no use, so a refusal ends the connection.
    required: bool


class Subscriptions:
    """Added by any thread; the link's thread takes what is new."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requested: dict[str, Subscription] = {}
        #: Those added since they were last taken, in order.
        self._added: list[Subscription] = []

    def add(self, subscription: Subscription) -> None:
        with self._lock:
            self._requested[subscription.topic] = subscription
            self._added.append(subscription)

    def all(self) -> list[Subscription]:
        """All of them, for a new connection; those added so far are contained in it."""
        with self._lock:
            self._added.clear()
            return list(self._requested.values())

    def added(self) -> list[Subscription]:
        with self._lock:
            added, self._added = self._added, []
            return added
