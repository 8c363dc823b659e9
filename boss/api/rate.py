"""How fast a batch goes: ended tasks per second over the last half minute, and what is left. Pure; times come in."""

from __future__ import annotations

from collections import deque

#: The window over which the rate is taken.
WINDOW_SECONDS = 30.0


class Rate:
    def __init__(self) -> None:
        #: (when, how many had ended), at most one a second and the newest.
        self._seen: deque[tuple[float, int]] = deque()

    def of(self, now: float, ended: int) -> float:
        """Tasks per second, now that so many have ended; 0 while nothing can be said."""
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW_SECONDS:
            self._seen.popleft()
        if len(self._seen) > 1 and now - self._seen[-2][0] < 1.0:
            self._seen.pop()
        self._seen.append((now, ended))
        began, first = self._seen[0]
        if now - began < 0.2 or ended <= first:
            return 0.0
        return (ended - first) / (now - began)


def eta_seconds(unfinished: int, rate: float) -> float | None:
    """Seconds until so many tasks have ended, at `rate` tasks per second; None: nothing can be said."""
    return unfinished / rate if rate > 0 else None
