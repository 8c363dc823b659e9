"""The boss's one loop: collect, decide, record, perform.

One thread owns the scheduler. Everybody else puts items into the inbox and gets effects performed after the
commit. How many events a turn carries is never configured: it is what waits when the turn begins.

The loop knows neither MQTT nor SQL nor HTTP: `Outside` is what it needs of the world, and the program
(`boss.__main__`) puts the parts together.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from boss.core.effects import (
    Answer,
    AttachNetwork,
    ClearPresence,
    DetachNetwork,
    Effect,
    EndBoss,
    SendToDatastore,
    SendToWorker,
    StartInstance,
    StopInstance,
)
from boss.core.events import (
    BatchesLoaded,
    PauseAsked,
    Submitted,
    TasksAsked,
    TimePassed,
)
from boss.core.merge import batches_concerned
from boss.core.rows import Changes
from boss.core.scheduler import Scheduler
from boss.core.state import State
from boss.core.store import DatabaseAwayError, Store
from boss.dispatch import Dispatcher
from boss.inbox import WITHDRAWN, Inbox, Item
from boss.intake.finish import leave_to_project
from wire.messages import DatastoreOrders, WorkerOrders
from wire.rejected import RejectionLog

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Events of one turn at most, so that a flood cannot keep a commit waiting for ever.
TURN_EVENTS = 20_000
#: A loop that did nothing for so long (a quiet or a stopped process) first looks whether the database is still its own.
QUIET_SECONDS = 2.0
#: Between two tries of a commit while the database is away.
DATABASE_PAUSE_SECONDS = 1.0


class _GivenUpError(Exception):
    """The loop was told to end while the database is away. What is not on disk has had no effect."""


class Outside(Protocol):
    """Everything that the loop can do to the world. No call may block for long, none returns an answer."""

    def send_to_worker(self, worker: str, message: WorkerOrders) -> None: ...
    def send_to_datastore(self, message: DatastoreOrders) -> None: ...
    def clear_presence(self, worker: str) -> None: ...
    def answer(self, answer: Answer) -> None: ...
    def start_instance(self, effect: StartInstance) -> None: ...
    def stop_instance(self, effect: StopInstance) -> None: ...
    def change_card(self, effect: AttachNetwork | DetachNetwork) -> None: ...
    def turn_done(self, changed: bool) -> None: ...


#: What the database wants now and then: (monotonic, wall) -> seconds until the next time. Raises DatabaseAwayError.
Upkeep = Callable[[float, float], float]


class Loop:
    """The loop around one scheduler."""

    def __init__(
        self, inbox: Inbox, scheduler: Scheduler, store: Store, outside: Outside, upkeep: Upkeep | None = None
    ) -> None:
        self.inbox = inbox
        self.scheduler = scheduler
        self._store = store
        self._outside = outside
        self._dispatcher = Dispatcher(store, "", 0)
        self._waiting: list[Item] = []
        self._rejected = RejectionLog(logger, "reports")
        self._upkeep = upkeep
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
                self._rejected.look(self.scheduler.state.rejected, self._turned_at)
        except _GivenUpError:
            logger.warning("the boss ends although its database is away", extra={"action": "given_up"})
        finally:
            self.inbox.ended = True

    # --- collect -----------------------------------------------------------------------------------

    def _collect(self) -> list[Item]:
        """What waits; if nothing does, what comes first, or nothing at the next deadline."""
        items, self._waiting = self._waiting, []
        if not items:
            deadline = self._next_look()
            first = self.inbox.take(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if first is None:
                return [TimePassed()]
            items.append(first)
        while len(items) < TURN_EVENTS and (item := self.inbox.take()) is not None:
            items.append(item)
        return items

    def _next_look(self) -> float | None:
        deadline = self.scheduler.next_deadline()
        if self._upkeep is None:
            return deadline
        return self._upkeep_at if deadline is None else min(deadline, self._upkeep_at)

    def _keep_up(self) -> None:
        """What the database wants now and then. If it is away, that is known before a turn needs it."""
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

    # --- decide ------------------------------------------------------------------------------------

    def turn(self, items: list[Item]) -> None:
        """One turn. An event that reads the database sees what the events before it did: it starts a new one."""
        calls: list[Callable[[State], None]] = []
        self.scheduler.begin(time.monotonic(), time.time())
        for position, item in enumerate(items):
            if not isinstance(item, msgspec.Struct):
                calls.append(item)
                continue
            if isinstance(item, Submitted | TasksAsked | PauseAsked):
                if position and not self._untouched():
                    self._waiting = items[position:]
                    break
                if item.reply != WITHDRAWN:
                    self._read_for(item)
                if item.reply == WITHDRAWN:
                    continue
            self.scheduler.handle(item)
        self._finish_turn()
        for call in calls:
            call(self.scheduler.state)

    def _untouched(self) -> bool:
        state = self.scheduler.state
        return state.changes.empty() and not state.dirty and not state.dirty_batches

    def _read_for(self, event: Submitted | TasksAsked | PauseAsked) -> None:
        """What the event needs of batches that are not in memory."""
        if isinstance(event, Submitted):
            submission = event.submission
            event.known = self._until_back(lambda: self._store.known(submission))
            _prefer_results(event)
            self._bring_back([], batches_concerned(submission, event.known))
        elif isinstance(event, PauseAsked):
            self._bring_back([], [event.batch])
        else:
            self._bring_back(event.selection.tasks, event.selection.batches)

    def _bring_back(self, tasks: list[int], batches: list[int]) -> None:
        """These batches, those of the tasks, and all below them, into memory."""
        state = self.scheduler.state
        absent_tasks = [task for task in tasks if state.find(task) is None]
        absent = [number for number in batches if number not in state.batches]
        if absent_tasks or absent:
            present = list(state.batches)
            loaded, outside, crossing = self._until_back(lambda: self._store.batches_for(absent_tasks, absent, present))
            self.scheduler.handle(BatchesLoaded(batches=loaded, outside=outside, crossing=crossing))

    # --- record, perform ---------------------------------------------------------------------------

    def _finish_turn(self) -> None:
        self.scheduler.settle()
        changes, effects = self.scheduler.take()
        changed = not changes.empty()
        if changed:
            self._record(changes)
        self._perform(effects)
        self._outside.turn_done(changed)

    def _record(self, changes: Changes) -> None:
        """Until it is on disk, nothing goes out; workers meanwhile go on with what they have."""
        self._until_back(lambda: self._store.commit(changes, time.time()))
        self._back()

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
                    raise _GivenUpError from None  # nothing polite can be done without it
                time.sleep(DATABASE_PAUSE_SECONDS)
            else:
                if failed:
                    self._back()
                return result

    def _away(self, error: DatabaseAwayError) -> None:
        if not self.inbox.database_error:
            logger.error(
                "the database is away (%s): nothing is accepted or sent until it is back; "
                "this is tried again every second",
                error,
                extra={"action": "database_away"},
            )
        self.inbox.database_error = f"the database is away: {error}"

    def _back(self) -> None:
        if self.inbox.database_error:
            logger.info("the database is back", extra={"action": "database_back"})
            self.inbox.database_error = ""

    def _perform(self, effects: list[Effect]) -> None:
        to_workers = [effect for effect in effects if isinstance(effect, SendToWorker)]
        for worker, message in self._until_back(lambda: self._dispatcher.to_workers(to_workers)):
            self._outside.send_to_worker(worker, message)
        to_datastore = [effect for effect in effects if isinstance(effect, SendToDatastore)]
        for order in self._until_back(lambda: self._dispatcher.to_datastore(to_datastore)):
            self._outside.send_to_datastore(order)
        for found in self._dispatcher.found():
            self.inbox.put(found)
        for effect in effects:
            if isinstance(effect, Answer):
                self._outside.answer(effect)
            elif isinstance(effect, StartInstance):
                self._outside.start_instance(effect)
            elif isinstance(effect, StopInstance):
                self._outside.stop_instance(effect)
            elif isinstance(effect, AttachNetwork | DetachNetwork):
                self._outside.change_card(effect)
            elif isinstance(effect, ClearPresence):
                self._outside.clear_presence(effect.worker)
            elif isinstance(effect, EndBoss):
                self.inbox.ended = True


def _prefer_results(event: Submitted) -> None:
    """A name that an older task of the project declares means its result, not the file of that name that was sent."""
    submission, own = event.submission, set(event.submission.ids)
    results = event.known.results
    names = {file.name for file in submission.files if file.name in results and results[file.name][2] not in own}
    if names:
        leave_to_project(submission, names)
        submission.warnings += [
            f"the file `{name}` was not taken: the name is a result of task {results[name][2]!r} of project "
            f"{submission.project!r}, which comes first"
            for name in sorted(names)
        ]
