"""One turn of the boss, in four steps with plain values between them. The only copy of it.

    collect   the caller takes what waits; `decide` reads what an event needs of batches that are not in memory
    decide    events -> Decided: how many of them were taken, the changes to record, the effects to perform
    record    the changes, in one transaction
    perform   `perform_steps` makes steps of the effects, with messages filled in from the database in bulk;
              each is done by what `Outside` has for its type

The loop, the backend without a boss, the simulation and the world of the unit tests call these; each has its own
policy around them: try again while the database is away, stop when it is refused, die between any two steps.
Nothing here waits, tries again or keeps anything from one turn to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from boss.core.effects import (
    Answer,
    ClearPresence,
    CompareInputs,
    Effect,
    EndBoss,
    OfInstance,
    SendToDatastore,
    SendToWorker,
)
from boss.core.events import BatchesLoaded, Event, PauseAsked, Submitted, TasksAsked, TimePassed
from boss.core.merge import batches_concerned
from boss.core.rows import Changes
from boss.core.scheduler import Scheduler
from boss.core.store import TurnReads, TurnStore
from boss.dispatch import Dispatcher, Found
from boss.inbox import WITHDRAWN
from boss.intake.finish import leave_to_project, missing_warnings
from wire.messages import DatastoreOrders, WorkerOrders

#: Events that read the database: they must see what the events before them did.
_Reading = Submitted | TasksAsked | PauseAsked


class Decided(NamedTuple):
    """A turn that is decided: to be recorded, then performed. Nothing of it has left yet."""

    #: So many of the events; those behind need a turn of their own, after this one is recorded.
    taken: int
    changes: Changes
    effects: list[Effect]

    @property
    def changed(self) -> bool:
        """False: there is nothing to record."""
        return not self.changes.empty()


class MessageToWorker(NamedTuple):
    """Orders with all that the worker needs, for this worker."""

    worker: str
    message: WorkerOrders


#: One thing that leaves. `Found` (what became of orders that were left out) is for the inbox and `EndBoss` for the code
#: that runs the turns; `Outside` does the others.
PerformStep = MessageToWorker | DatastoreOrders | Found | Answer | OfInstance | ClearPresence | EndBoss
#: The effects of a turn on other programs: what does a step, for each type of them. Returns at once, and nothing: what
#: comes of it comes back as an event.
Outside = Mapping[type, Callable[[Any], None]]


# --- collect's end, decide -------------------------------------------------------------------------


def decide(
    scheduler: Scheduler,
    reads: TurnReads,
    events: Sequence[Event],
    now: float,
    wall: float,
    settle: Callable[[Scheduler], None] = Scheduler.settle,
) -> Decided:
    """Take as many of the events as go into one turn: at least the first.

    An event that reads the database must see what the events before it did: once something is to be recorded, it and
    all behind it are left for the next turn. Blocks on `reads` only and raises what they raise: then the turn is
    half decided, and the scheduler's state must not be used again.
    """
    scheduler.handle(TimePassed(wall=wall), now)
    taken = 0
    for event in events:
        present = True
        if isinstance(event, _Reading):
            if taken and not scheduler.untouched():
                break
            present = _read_for(scheduler, reads, event, now)
        taken += 1
        if present:
            scheduler.handle(event, now)
    settle(scheduler)
    changes, effects = scheduler.take()
    return Decided(taken, changes, effects)


def _read_for(scheduler: Scheduler, reads: TurnReads, event: _Reading, now: float) -> bool:
    """What the event needs of batches that are not in memory. False: it is withdrawn.

    Checked before and after: the reads may have waited for the database longer than the client.
    """
    if event.reply == WITHDRAWN:
        return False
    if isinstance(event, Submitted):
        event.known = reads.known(event.submission)
        event.known.gone.update(event.gone)
        _prefer_results(event)
        event.submission.warnings += missing_warnings(event.submission, event.known.results)
        # Once each, although an event may be handled again (`boss.refused_turn`).
        event.submission.warnings = list(dict.fromkeys(event.submission.warnings))
        _bring_back(scheduler, reads, [], batches_concerned(event.submission, event.known), now)
    elif isinstance(event, PauseAsked):
        _bring_back(scheduler, reads, [], [event.batch], now)
    else:
        _bring_back(scheduler, reads, event.selection.tasks, event.selection.batches, now)
    return event.reply != WITHDRAWN


def _bring_back(
    scheduler: Scheduler, reads: TurnReads, tasks: Collection[int], batches: Collection[int], now: float
) -> None:
    """These batches, those of the tasks, and all below them, into memory."""
    state = scheduler.state
    absent_tasks = [task for task in tasks if state.find(task) is None]
    absent = [number for number in batches if number not in state.batches]
    if absent_tasks or absent:
        loaded, outside, crossing = reads.batches_for(absent_tasks, absent, list(state.batches))
        scheduler.handle(BatchesLoaded(batches=loaded, outside=outside, crossing=crossing), now)


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


# --- record ----------------------------------------------------------------------------------------


def record(decided: Decided, store: TurnStore, wall: float) -> None:
    """All changes of the turn in one transaction; none where there are none. Blocks until they are on disk.

    Raises DatabaseAwayError when certainly nothing was written: it may be called again. `wall`: seconds since the
    epoch, of the commit.
    """
    if decided.changed:
        store.commit(decided.changes, wall)


# --- perform ---------------------------------------------------------------------------------------


def perform_steps(effects: Iterable[Effect], dispatcher: Dispatcher) -> list[PerformStep]:
    """The steps of a turn's effects: orders to workers, orders to the datastore, the rest; in this order.

    Blocks on the dispatcher's look-ups, one for all orders of a kind. Raises DatabaseAwayError; it may be called again.
    """
    effects = list(effects)
    messages = dispatcher.to_workers(effect for effect in effects if isinstance(effect, SendToWorker))
    steps: list[PerformStep] = [MessageToWorker(worker, message) for worker, message in messages]
    steps += dispatcher.to_datastore(effect for effect in effects if isinstance(effect, SendToDatastore))
    steps += dispatcher.found()
    steps += dispatcher.compare(effect for effect in effects if isinstance(effect, CompareInputs))
    steps += [e for e in effects if not isinstance(e, SendToWorker | SendToDatastore | CompareInputs)]
    return steps
