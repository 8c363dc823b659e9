"""What the boss's database wants now and then: its connection kept, a look whether it is still ours, old journal gone.

Called by the loop's thread between two turns. Pruning goes in steps that are small beside a turn, so that
nothing waits for it.
"""

from __future__ import annotations

import logging

from boss.core.store import DatabaseAwayError
from boss.database import Database, DatabaseBusyError, DatabaseFullError, DatabaseUnavailableError

logger = logging.getLogger(__name__)

#: Between two words on the connection.
ALIVE_SECONDS = 60.0
#: Between two prunings of the journal, and between the steps of one.
PRUNE_SECONDS, STEP_SECONDS = 3600.0, 1.0
#: Turns that one step takes away.
STEP_TURNS = 2000
DAY_SECONDS = 86_400.0


class Upkeep:
    """`boss.loop.Upkeep` over a real database. `journal_days` 0: the journal is kept for ever."""

    def __init__(self, database: Database, journal_days: float) -> None:
        self._database = database
        self._journal_seconds = journal_days * DAY_SECONDS
        self._prune_at = 0.0
        self._pruned = 0

    def __call__(self, now: float, wall: float) -> float:
        """Seconds after which it is to be called again. Raises DatabaseAwayError, and Superseded for another boss's."""
        try:
            self._database.keep_alive()
            if not self._journal_seconds or now < self._prune_at:
                return ALIVE_SECONDS
            pruned = self._database.prune_events(wall - self._journal_seconds, STEP_TURNS)
        except DatabaseFullError as error:
            logger.warning("the journal is not pruned: %s", error, extra={"action": "not_pruned"})
            pruned = 0
        except (DatabaseBusyError, DatabaseUnavailableError) as error:
            raise DatabaseAwayError(str(error)) from error
        self._pruned += pruned
        if pruned == STEP_TURNS:
            return STEP_SECONDS
        if self._pruned:
            logger.info("%d turns of the journal were old and are gone", self._pruned, extra={"action": "pruned"})
        self._prune_at, self._pruned = now + PRUNE_SECONDS, 0
        return ALIVE_SECONDS
