"""What every thread but the loop's own has of the loop: a place to put things into, and how the loop is doing.

Made before the loop and before all that sends to it, so that no part needs one that is made after it.
"""

from __future__ import annotations

import queue
from collections.abc import Callable

from boss.core.events import Event, StopAsked, TimePassed
from boss.core.state import State

#: An event, or a call to be made in the loop's thread after the turn. Only such a call ever sees the state, and what it
#: hands to another thread is a copy.
Item = Event | Callable[[State], None]

#: Instead of an event's reply number: its client waits no longer, and the event is not handled.
WITHDRAWN = -1


class Inbox:
    """All calls are safe from any thread, and from a signal handler."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()
        #: How often `stop` was called.
        self.stops = 0
        #: Set by the loop: nothing that is put in is taken any more.
        self.ended = False
        #: Set by the loop: why nothing can be committed at present, a sentence; empty: it can.
        self.database_error = ""

    def put(self, item: Item) -> None:
        self._items.put(item)

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
            return self._items.get(timeout=timeout)
        except queue.Empty:
            return None
