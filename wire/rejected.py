"""How the three programs log the messages and events on which their agents did not act.

The agents count them by reason, and log nothing. A sender can make a count rise as fast as it can send; what is logged
of it is one line now and then, in words of ours only.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TypeVar

R = TypeVar("R", bound=str)

#: Between two lines.
PAUSE_SECONDS = 60.0


class RejectionLog:
    """Logs how far counts by reason have risen."""

    def __init__(self, logger: logging.Logger, what: str, pause: float = PAUSE_SECONDS) -> None:
        """`what`: of what the counts are, in the plural."""
        self._logger = logger
        self._what = what
        self._pause = pause
        self._logged: dict[str, int] = {}
        self._logged_at = float("-inf")

    def observe(self, counts: Mapping[R, int], now: float) -> None:
        """Called after every turn, with what was counted since the start; `now` in seconds of a monotonic clock.

        The first rise is logged at once, what comes within the pause after a line with the next one.
        """
        if now - self._logged_at < self._pause or counts == self._logged:
            return
        risen = {reason: count - self._logged.get(reason, 0) for reason, count in counts.items()}
        counted = ", ".join(f"{count} {reason}" for reason, count in risen.items() if count)
        self._logger.info("%s not acted upon: %s", self._what, counted, extra={"action": "rejected"})
        self._logged = {str(reason): count for reason, count in counts.items()}
        self._logged_at = now
