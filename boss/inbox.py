"""What every thread but the loop's own has of the loop: a place to put things into, and how the loop is doing.

Made before the loop and before all that sends to it, so that no part needs one that is made after it.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from boss.core.events import Event, StopAsked, TimePassed
from boss.core.instance_state import DATASTORE
from boss.core.reasons import MessageRejection
from boss.core.state import State

#: An event, or a call to be made in the loop's thread after the turn. Only such a call ever sees the state, and what it
#: hands to another thread is a copy.
Item = Event | Callable[[State], None]

#: Instead of an event's reply number: its client waits no longer, and the event is not handled.
WITHDRAWN = -1

#: Bytes of messages that may wait here, of one agent and of all. One message of an agent may always wait. What is
#: dropped beyond is reported again: agents repeat what is not acknowledged.
WAITING_OF_ONE = 16 * 1024 * 1024
WAITING_OF_ALL = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Message:
    """What an agent said, and how much it counts while it waits."""

    sender: str
    size: int
    event: Event


class Inbox:
    """All calls are safe from any thread, and from a signal handler."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Item | _Message] = queue.SimpleQueue()
        self._lock = threading.Lock()
        #: Sender -> bytes of its messages that wait.
        self._waiting: dict[str, int] = {}
        self._waiting_of_all = 0
        #: Messages that were dropped before they came in, by kind.
        self.rejected: Counter[MessageRejection] = Counter()
        #: How often `stop` was called.
        self.stops = 0
        #: Set by the loop: nothing that is put in is taken any more.
        self.ended = False
        #: Set by the loop: why nothing can be committed at present, a sentence; empty: it can.
        self.database_error = ""

    def put(self, item: Item) -> None:
        self._items.put(item)

    def has_room(self, sender: str, size: int) -> bool:
        """Whether a message of so many bytes may come in: asked before it is decoded."""
        with self._lock:
            of_sender = self._waiting.get(sender, 0)
            limit = WAITING_OF_ALL if sender == DATASTORE else WAITING_OF_ONE
            return not of_sender or (of_sender + size <= limit and self._waiting_of_all + size <= WAITING_OF_ALL)

    def put_message(self, sender: str, size: int, event: Event) -> None:
        """Of an agent; `size`: bytes of the message, which count until it is taken."""
        with self._lock:
            self._waiting[sender] = self._waiting.get(sender, 0) + size
            self._waiting_of_all += size
        self._items.put(_Message(sender, size, event))

    def stop(self) -> None:
        """Stop the boss: gracefully at the first call; at a further one, at the end of the present turn."""
        self.stops += 1
        if self.stops == 1:
            self.put(StopAsked(workers=True))
        else:
            self.ended = True
            self.put(TimePassed())

    # --- for the loop ------------------------------------------------------------------------------

    def take(self, timeout: float | None = 0.0) -> Item | None:
        """The next item; None: there is none within the time. `timeout` None waits for ever."""
        try:
            item = self._items.get(timeout=timeout)
        except queue.Empty:
            return None
        return self._taken(item) if isinstance(item, _Message) else item

    def _taken(self, message: _Message) -> Event:
        with self._lock:
            left = self._waiting[message.sender] - message.size
            self._waiting_of_all -= message.size
            if left > 0:
                self._waiting[message.sender] = left
            else:
                del self._waiting[message.sender]
        return message.event
