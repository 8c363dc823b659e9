"""The backend where no boss runs: reading without any lock, a change as one turn of its own.

A change holds the state directory's lock and the database's epoch for ONE transaction, so that no boss can
run meanwhile; nothing is started, stopped, adopted or requeued by it, and of all effects only the answer is
performed: the next boss derives the others from rows. The database comes in as functions that open it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from boss.api.backend import BackendUnavailableError, Request, View
from boss.api.pool_views import instance_answer, pool_views
from boss.api.schema import HeldAnswer, PoolAnswer, WorkerAnswer
from boss.common.file_lock import take_lock
from boss.core.effects import Answer
from boss.core.events import Submitted
from boss.core.model import TaskState
from boss.core.plan import SHOWN, Plan, Some
from boss.core.policy import Policy, PoolPolicy
from boss.core.pools import PoolState
from boss.core.rows import InstanceRow, WorkerRow
from boss.core.scaling.decide import Decision
from boss.core.scheduler import Scheduler
from boss.core.store import TurnStore
from boss.database import Database, EmptyDatabase
from boss.database.views import TaskLine
from boss.state_directory.boss_file import LOCK_FILE
from boss.turn import decide, record
from wire.messages import Place

CARRY_ON = "No boss is running here: the next push_tasks.py, or `python -m boss`, carries this on."

_REPLY = 1
_HELD_SHOWN = 10_000


class OfflineBackend:
    """`boss.api.backend.Backend` without a boss. `database`: open for reading; `close` closes it."""

    def __init__(
        self,
        state_directory: Path,
        database: Database | EmptyDatabase,
        open_to_write: Callable[[], tuple[Database, TurnStore]],
        pools: Sequence[PoolPolicy] = (),
    ) -> None:
        self._state_directory = state_directory
        self._database = database
        self._open_to_write = open_to_write
        #: Of the settings.
        self._pools = pools
        self.reads = database.reads
        self.lookups = database.lookups
        self.spool = state_directory / "spool"

    def close(self) -> None:
        """End the connections to the database."""
        self._database.close()

    def view(self) -> View:
        """What the database has at present. Blocks on it; raises DatabaseError."""
        running = self.reads.tasks_of([TaskState.RUNNING], limit=_HELD_SHOWN)
        workers = [row for row in self.reads.workers() if row.state != "gone"]
        instances = self.reads.live_instances()
        return View(
            live=False,
            deployment=self._database.deployment,
            workers=tuple(_worker(row, running) for row in workers),
            places={row.id: msgspec.json.decode(row.place, type=Place) for row in workers if row.place},
            pools=self._pool_views(instances),
            instances=tuple(map(instance_answer, instances)),
        )

    def _pool_views(self, instances: list[InstanceRow]) -> tuple[PoolAnswer, ...]:
        learned = {pool.name: PoolState() for pool in self._pools}
        boots, spent = self.reads.pools_past()
        for name, known in learned.items():
            known.boots.extend(boots.get(name, ()))
            known.spent.update(spent.get(name, {}))
            known.plan = Decision(reason="no boss runs that would decide")
        return pool_views(self._pools, learned, instances, 0.0, time.time(), {})

    def ask(self, event: Request) -> Answer:
        """Handle the event in one turn of its own; the answer, after the commit. Blocks on the database.

        Raises BackendUnavailableError: no boss has run here yet, or another process holds the lock; DatabaseError.
        """
        if not self._database.deployment and isinstance(event, Submitted) and event.submission.dry_run:
            ids = event.submission.ids
            plan = Plan(tasks=len(ids), new=Some(len(ids), ids[:SHOWN]))
            return Answer(reply=event.reply, value={"plan": plan})
        if not self._database.deployment:
            raise BackendUnavailableError("no boss has run here yet: there is nothing to change")
        with _locked(self._state_directory):
            database, store = self._open_to_write()
            try:
                return _one_turn(database, store, event)
            finally:
                database.close()

    @contextmanager
    def follow(self, batch: int) -> Iterator[None]:
        """Counts no follower: there is no boss that would stop."""
        yield

    def detach(self, batch: int) -> None:
        """Nothing to do: no boss works on it."""

    def carry_on(self) -> str:
        """A sentence: who does the work that a change makes."""
        return CARRY_ON


def _one_turn(database: Database, store: TurnStore, event: Request) -> Answer:
    """A turn without a boss: nothing goes on by it, and of its effects only the answer is performed."""
    database.take_over(socket.gethostname(), os.getpid())
    now, wall = time.monotonic(), time.time()
    scheduler = Scheduler(Policy())
    scheduler.restore(store.load(), now, wall)
    event.reply = _REPLY
    decided = decide(scheduler, store, [event], now, wall, settle=Scheduler.settle_rows)
    answer = next(effect for effect in decided.effects if isinstance(effect, Answer) and effect.reply == _REPLY)
    if not answer.rejections:
        record(decided, store, wall)
    return answer


@contextmanager
def _locked(state_directory: Path) -> Iterator[None]:
    """The lock that a boss holds while it runs. Does not wait for it; raises BackendUnavailableError."""
    try:
        descriptor = take_lock(state_directory / LOCK_FILE)
    except BlockingIOError:
        raise BackendUnavailableError(
            f"a boss is just starting or stopping on {state_directory}; try again shortly"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _worker(row: WorkerRow, running: Sequence[TaskLine]) -> WorkerAnswer:
    held = [
        HeldAnswer(task=line.number, project=line.project, id=line.id, attempt=line.attempt, phase=line.phase)
        for line in running
        if line.worker == row.id and not line.ended
    ]
    return WorkerAnswer(
        id=row.id,
        state=row.state,
        pool=row.pool,
        slots=row.slots,
        address=row.address,
        quarantined=row.quarantined,
        quarantined_kind=row.quarantined_kind,
        keep_alive=row.keep_alive,
        labels=row.labels,
        holding=held,
        program=row.program,
    )
