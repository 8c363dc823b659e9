"""How long to wait before the next attempt to connect. Pure: chance and lifetimes are handed in."""

from __future__ import annotations


class Backoff:
    """Doubles from `min_seconds` to `max_seconds`; starts again after a connection that lasted."""

    def __init__(self, min_seconds: float, max_seconds: float) -> None:
        self._min = min_seconds
        self._max = max_seconds
        self._next = min_seconds

    def ended(self, lasted: float) -> None:
        """A connection has ended. A short one changes nothing: a client that is thrown out at once is no storm."""
        if lasted >= self._max / 2:
            self._next = self._min

    def pause(self, chance: float) -> float:
        """Seconds to wait now; `chance` is in [0, 1). A thousand workers must not return in one instant."""
        pause = self._next * (0.5 + chance / 2)
        self._next = min(self._next * 2, self._max)
        return pause
