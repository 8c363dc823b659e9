"""How fast a batch goes, from what one watcher saw: tasks per second and what is left. Pure; times come in."""

from __future__ import annotations

from collections import deque

#: The window over which the rate is taken.
WINDOW_SECONDS = 30.0


class Pace:
    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def saw(self, now: float, ended: int) -> None:
        """So many tasks had ended at this time."""
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW_SECONDS:
            self._seen.popleft()
        if len(self._seen) > 1 and now - self._seen[-2][0] < 1.0:
            self._seen.pop()  # one point a second is enough
        self._seen.append((now, ended))

    def rate(self) -> float:
        """Tasks per second in the window; 0 while nothing can be said."""
        (began, first), (last, ended) = self._seen[0], self._seen[-1]
        if last - began < 0.2 or ended <= first:
            return 0.0
        return (ended - first) / (last - began)


def eta_seconds(unfinished: int, rate: float) -> float | None:
    return unfinished / rate if rate > 0 else None
