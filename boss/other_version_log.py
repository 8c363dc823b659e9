"""Logs which agents speak another version of the protocol, and what the boss does about each: once an hour for each."""

from __future__ import annotations

import logging

from boss.core.diagnosis import other_versions
from boss.core.state import State
from boss.core.waits import OtherVersion
from boss.status import ReasonContext, sentence

logger = logging.getLogger(__name__)

#: Until an agent is logged again.
REPEAT_SECONDS = 3600.0
#: Lines within a minute, whatever incarnations and ids agents take.
LINES = 20
_LINES_SECONDS = 60.0


class OtherVersionLog:
    """Used by one thread."""

    def __init__(self) -> None:
        #: What was logged and when (monotonic), oldest first.
        self._logged: dict[OtherVersion, float] = {}

    def observe(self, state: State, now: float) -> None:
        """Called after every turn; `now` in seconds of a monotonic clock."""
        if not state.other_versions:
            return
        self._logged = {one: at for one, at in self._logged.items() if now - at < REPEAT_SECONDS}
        lines = sum(now - at < _LINES_SECONDS for at in self._logged.values())
        new = [one for one in other_versions(state) if one not in self._logged]
        for one in new[: max(0, LINES - lines)]:
            self._logged[one] = now
            logger.warning("%s", sentence(one, ReasonContext(state.wall)), extra={"action": "other_version"})
