"""How long to wait before the next attempt to connect. Pure: chance and lifetimes are handed in."""

from __future__ import annotations


class Backoff:
    """Doubles from `least` to `most`; starts again after a connection that lasted."""

    def __init__(self, least: float, most: float) -> None:
        self._least = least
        self._most = most
        self._next = least

    def ended(self, lasted: float) -> None:
        """A connection has ended. A short one changes nothing: a client that is thrown out at once is no storm."""
        if lasted >= self._most / 2:
            self._next = self._least

    def pause(self, chance: float) -> float:
        """Seconds to wait now; `chance` is in [0, 1). A thousand workers must not return in one instant."""
        pause = self._next * (0.5 + chance / 2)
        self._next = min(self._next * 2, self._most)
        return pause
