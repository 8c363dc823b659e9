"""The boss's one loop: turn after turn (`boss.turn`), and what it does while the database is away.

One thread owns the scheduler. All other threads put items into the inbox, and effects are performed after the
commit. How many events a turn carries is never configured: it is what waits when the turn begins.

The loop knows neither MQTT nor SQL nor HTTP: `Outside` is what it needs of the world, and the program
(`boss.program`) puts the parts together.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import TypeVar

import msgspec

from boss.core.effects import Answer, EndBoss
from boss.core.events import Event, TimePassed
from boss.core.model import Submission
from boss.core.rows import Known, LoadedBatch
from boss.core.scheduler import Scheduler
from boss.core.state import State
from boss.core.store import DatabaseAwayError, TurnRefusedError, TurnStore
from boss.dispatch import Dispatcher, Found
from boss.inbox import Inbox, Item
from boss.refused_turn import RefusedOutcomes, outcomes, refusal
from boss.status import OtherVersionLog
from boss.turn import Decided, Outside, decide, perform_steps, record
from wire.rejected import RejectionLog

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Events of one turn at most, so that a flood cannot keep a commit waiting for ever.
TURN_EVENTS = 20_000
#: So many events one after the other that cannot be recorded are no bad rows: the database is not as it must be.
GIVEN_UP_IN_A_ROW = 20
#: A loop that did nothing for so long (a quiet or a stopped process) first checks that the database is still its own.
QUIET_SECONDS = 2.0
#: Between two tries of a commit while the database is away.
DATABASE_PAUSE_SECONDS = 1.0


class _GivenUpError(Exception):
    """The loop was stopped while the database is away. What is not on disk has had no effect."""


#: Periodic maintenance of the database: (monotonic, wall) -> seconds until the next time. Raises DatabaseAwayError.
Upkeep = Callable[[float, float], float]


class Loop:
    """The loop around one scheduler."""

    def __init__(
        self,
        inbox: Inbox,
        scheduler: Scheduler,
        store: TurnStore,
        outside: Outside,
        upkeep: Upkeep | None = None,
        after_turn: Callable[[State], None] | None = None,
    ) -> None:
        """`after_turn`: looks at the state after each turn, and changes nothing."""
        self.inbox = inbox
        self.scheduler = scheduler
        self._store = store
        self._outside = outside
        self._dispatcher = Dispatcher(store, "", 0)
        self._waiting: list[Item] = []
        #: So many items go into the next turn at most: few while an event is looked for that cannot be recorded.
        self._turn_limit = TURN_EVENTS
        self._refused_outcomes = RefusedOutcomes()
        #: Events that were given up, one after the other.
        self._given_up = 0
        self._rejected = RejectionLog(logger, "reports")
        self._dropped = RejectionLog(logger, "messages")
        self._other_versions = OtherVersionLog()
        self._upkeep = upkeep
        self._after_turn = after_turn
        self._upkeep_at = self._turned_at = 0.0

    def start(self) -> None:
        """Begin where the database stands. Nothing goes out before the first turn (`run`)."""
        loaded = self._store.load()
        self._dispatcher = Dispatcher(self._store, loaded.deployment, loaded.epoch, self.scheduler.in_cache)
        self.scheduler.restore(loaded, time.monotonic(), time.time())
        self.inbox.put(TimePassed())

    def run(self) -> None:
        """Turn after turn until the scheduler says that the boss may end."""
        try:
            while not self.inbox.ended:
                items = self._collect()
                self._keep_up()
                self.turn(items)
                self._turned_at = time.monotonic()
                self._rejected.observe(self.scheduler.state.rejected, self._turned_at)
                self._dropped.observe(dict(self.inbox.rejected), self._turned_at)
                self._other_versions.observe(self.scheduler.state, self._turned_at)
                if self._after_turn is not None:
                    self._after_turn(self.scheduler.state)
        except _GivenUpError:
            logger.warning("the boss stops although its database is away", extra={"action": "given_up"})
        finally:
            self.inbox.ended = True

    # --- collect -----------------------------------------------------------------------------------

    def _collect(self) -> list[Item]:
        """What waits; if nothing does, what comes first, or nothing at the next deadline."""
        items, self._waiting = self._waiting[: self._turn_limit], self._waiting[self._turn_limit :]
        if not items:
            deadline = self._next_wake()
            first = self.inbox.take(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if first is None:
                return [TimePassed()]
            items.append(first)
        while len(items) < self._turn_limit and (item := self.inbox.take()) is not None:
            items.append(item)
        return items

    def _next_wake(self) -> float | None:
        deadline = self.scheduler.next_deadline()
        if self._upkeep is None:
            return deadline
        return self._upkeep_at if deadline is None else min(deadline, self._upkeep_at)

    def _keep_up(self) -> None:
        """Maintenance of the database. If it is away, that is known before a turn uses it."""
        now = time.monotonic()
        if self._upkeep is None or (now < self._upkeep_at and now - self._turned_at < QUIET_SECONDS):
            return
        try:
            pause = self._upkeep(now, time.time())
        except DatabaseAwayError as error:
            self._away(error)
            pause = DATABASE_PAUSE_SECONDS
        else:
            self._back()
        self._upkeep_at = now + pause

    # --- decide, record, perform -------------------------------------------------------------------

    def turn(self, items: list[Item]) -> None:
        """One turn of these, or of as many of them as go into one; the others wait for the next."""
        items = [
            self._refused_outcomes.recordable(item) if isinstance(item, msgspec.Struct) else item for item in items
        ]
        events = [item for item in items if isinstance(item, msgspec.Struct)]
        taken = events
        try:
            decided = decide(self.scheduler, _RetryingReads(self, self._store), events, time.monotonic(), time.time())
            if decided.taken < len(events):
                taken = events[: decided.taken]
                end = next(at for at, item in enumerate(items) if item is events[decided.taken])
                items, self._waiting = items[:end], [*items[end:], *self._waiting]
            self._record(decided)
        except TurnRefusedError as error:
            self._refused(items, taken, error)
            return
        self._turn_limit = min(TURN_EVENTS, 2 * self._turn_limit)
        self._given_up = 0
        self._perform(decided)
        for item in items:
            if not isinstance(item, msgspec.Struct):
                item(self.scheduler.state)

    def _refused(self, items: list[Item], events: list[Event], error: TurnRefusedError) -> None:
        """A row of the turn is refused: the turn is forgotten, and its items wait for others that can be recorded."""
        logger.warning("a turn of %d events is refused: %s", len(events), error, extra={"action": "turn_refused"})
        self._reload()
        self._waiting = [*items, *self._waiting]
        if error.attempt is not None and self._refused_outcomes.add(error.attempt, str(error)):
            return
        if len(events) > 1:
            self._turn_limit = max(1, len(items) // 2)
            return
        self._given_up += 1
        if not events or self._given_up > GIVEN_UP_IN_A_ROW:
            raise error
        (event,) = events
        if [key for key in outcomes(event) if self._refused_outcomes.add(key, str(error))]:
            return
        logger.error(
            "a %s cannot be recorded and is dropped: %s", type(event).__name__, error, extra={"action": "event_dropped"}
        )
        self._waiting = [item for item in self._waiting if item is not event]
        answer = refusal(event, str(error))
        if answer is not None:
            self._outside[Answer](answer)

    def _reload(self) -> None:
        loaded = self._until_back(self._store.load)
        self.scheduler.reload(loaded, time.monotonic(), time.time())

    def _record(self, decided: Decided) -> None:
        """Until it is on disk, nothing is sent; workers go on with what they have meanwhile."""
        if decided.changed:
            self._until_back(lambda: record(decided, self._store, time.time()))
            self._back()

    def _perform(self, decided: Decided) -> None:
        for step in self._until_back(lambda: perform_steps(decided.effects, self._dispatcher)):
            if isinstance(step, Found):
                self.inbox.put(step)
            elif isinstance(step, EndBoss):
                self.inbox.ended = True
            else:
                self._outside[type(step)](step)

    def _until_back(self, call: Callable[[], T]) -> T:
        """Try until the database answers. Nothing else happens meanwhile: no turn can end without it."""
        failed = False
        while True:
            try:
                result = call()
            except DatabaseAwayError as error:
                self._away(error)
                failed = True
                if self.inbox.stops:
                    raise _GivenUpError from None  # a graceful stop requires it
                time.sleep(DATABASE_PAUSE_SECONDS)
            else:
                if failed:
                    self._back()
                return result

    def _away(self, error: DatabaseAwayError) -> None:
        if not self.inbox.database_error:
            logger.error(
                "the database is away (%s): the boss accepts and sends nothing, and retries every second",
                error,
                extra={"action": "database_away"},
            )
        self.inbox.database_error = f"the database is away: {error}"

    def _back(self) -> None:
        if self.inbox.database_error:
            logger.info("the database is back", extra={"action": "database_back"})
            self.inbox.database_error = ""


class _RetryingReads:
    """The reads of a turn, tried until the database answers."""

    def __init__(self, loop: Loop, store: TurnStore) -> None:
        self._loop = loop
        self._store = store

    def known(self, submission: Submission) -> Known:
        return self._loop._until_back(lambda: self._store.known(submission))

    def batches_for(
        self, tasks: Collection[int], batches: Collection[int], present: Collection[int]
    ) -> tuple[list[LoadedBatch], dict[int, int], list[tuple[int, int]]]:
        return self._loop._until_back(lambda: self._store.batches_for(tasks, batches, present))
