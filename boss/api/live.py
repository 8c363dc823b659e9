"""The running boss as the HTTP application sees it: events go into the inbox, views come out of the loop.

A view is made by the loop's own thread on request, at most twenty times a second, so that
no other thread ever reads the scheduler's state.
"""

from __future__ import annotations

import itertools
import threading
import time
from array import array
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from msgspec.structs import replace

from boss.api.backend import BackendUnavailableError, Request, View
from boss.api.followers import Followers
from boss.api.pool_views import instance_answer, pool_views
from boss.api.rate import Rate, eta_seconds
from boss.api.schema import BatchAnswer, HeldAnswer, WorkerAnswer, counts_of
from boss.core.effects import Answer
from boss.core.events import DropTasksAsked, Submitted
from boss.core.graph import Batch
from boss.core.model import WorkerState
from boss.core.state import State, Worker, runs
from boss.core.waits import BossWarning
from boss.database import DatabaseLookups, DatabaseReads
from boss.inbox import WITHDRAWN, Inbox
from boss.providers.provider import Limits
from boss.status import StatusReasons, database_reason
from wire.messages import Place

#: A view younger than this is handed out again.
FRESH_SECONDS = 0.05
#: How long a request waits for a view before it gets the last one (the loop may be waiting for its database).
VIEW_SECONDS = 1.0
#: A request waits so long for a database that is away.
AWAY_SECONDS = 5.0
#: Batches that are finished are shown this long.
SHOWN_SECONDS = 60.0
#: Between two looks at why work waits, where no client asks.
NOTE_SECONDS = 1.0
#: Attempts of one worker in a view.
HELD_SHOWN = 64


class LiveBackend:
    """`boss.api.backend.Backend` over the loop."""

    def __init__(
        self,
        inbox: Inbox,
        reads: DatabaseReads,
        lookups: DatabaseLookups,
        spool: Path,
        followers: Followers,
        *,
        datastore_host: str = "",
        warnings: Callable[[], list[BossWarning]] = list,
        limits: Callable[[], Mapping[str, Limits]] = dict,
    ) -> None:
        """`datastore_host`: where the datastore's program runs; empty: beside the boss. `warnings`: what the boss's
        parts warn of. `limits`: pool -> how many more its provider would make, as far as it knows.
        """
        self._inbox = inbox
        self.reads = reads
        self.lookups = lookups
        self.spool = spool
        self._followers = followers
        self._warnings = warnings
        self._limits = limits
        self._replies = itertools.count(1)
        self._waiting: dict[int, tuple[threading.Event, list[Answer]]] = {}
        self._lock = threading.Lock()
        self._view = View(live=True)
        self._view_at = 0.0
        # The rest is touched in the loop's thread only.
        #: Batch -> how many of the tasks to which its push is attached are out of memory, and their counts.
        self._attached: dict[int, tuple[int, list[int]]] = {}
        #: Batch -> the numbers of the tasks to which its push is attached, as ranges.
        self._spans: dict[int, list[range]] = {}
        self._rates: dict[int, Rate] = {}
        self._reasons = StatusReasons(datastore_host)
        self._noted_at = 0.0

    # --- the Backend protocol ----------------------------------------------------------------------

    def ask(self, event: Request) -> Answer:
        """The loop's answer to the event, after the commit; blocks until then, however long that takes.

        Raises BackendUnavailableError: the database is away, or has been for 5 s while it waited; the boss is stopping.
        """
        inbox = self._inbox
        if inbox.database_error:
            raise BackendUnavailableError(f"{inbox.database_error}; the boss retries every second")
        self._followers.use()
        reply = next(self._replies)
        done = threading.Event()
        box: list[Answer] = []
        self._waiting[reply] = (done, box)
        event.reply = reply
        if isinstance(event, Submitted):
            self._followers.pushed()
        inbox.put(event)
        if isinstance(event, DropTasksAsked):
            inbox.put(self._forget_attached)
        away_since = None
        while not done.wait(0.5):
            if inbox.ended:
                self._waiting.pop(reply, None)
                raise BackendUnavailableError("the boss is stopping; ask again when one runs")
            error = inbox.database_error
            if not error:
                away_since = None
            elif away_since is None:
                away_since = time.monotonic()
            elif time.monotonic() - away_since > AWAY_SECONDS and self._waiting.pop(reply, None) is not None:
                event.reply = WITHDRAWN
                raise BackendUnavailableError(
                    f"{error}; ask again when it is back: what the boss has accepted already is not done twice"
                )
        if isinstance(event, Submitted) and box[0].rejections:
            self._followers.expect_no_follower()
        return box[0]

    def answer(self, answer: Answer) -> None:
        """Called by the loop after the commit."""
        waiting = self._waiting.pop(answer.reply, None)
        if waiting is not None:
            waiting[1].append(answer)
            waiting[0].set()

    def view(self) -> View:
        """A view not older than 0.05 s, made by the loop; blocks up to 1 s for it, then gives the last one.

        With a reason in front while the database is away.
        """
        with self._lock:
            if time.monotonic() - self._view_at > FRESH_SECONDS and not self._inbox.ended:
                made = threading.Event()
                self._inbox.put(lambda state: self._make(state, made))
                made.wait(VIEW_SECONDS)
            if error := self._inbox.database_error:
                return replace(self._view, reasons=(database_reason(error), *self._view.reasons))
            return self._view

    def follow(self, batch: int) -> AbstractContextManager[None]:
        """Counts a follower of the batch while the context lasts."""
        return self._followers.follow(batch)

    def detach(self, batch: int) -> None:
        """The boss is to work on this batch to its end, whoever follows."""
        self._followers.detach(batch)

    def carry_on(self) -> str:
        """Empty: this boss does it."""
        return ""

    def place_of(self, worker: str) -> Place | None:
        """Where this worker is, by its pinned keys; None: there is no such worker.

        Blocks up to 5 s for the loop. Raises BackendUnavailableError: the loop did not come to it.
        """
        asked = threading.Event()
        found: list[Place | None] = []

        def look(state: State) -> None:
            known = state.workers.get(worker)
            found.append(known.place if known is not None else None)
            asked.set()

        self._inbox.put(look)
        if not asked.wait(AWAY_SECONDS):
            raise BackendUnavailableError(f"{self._inbox.database_error or 'the boss is busy'}; ask again")
        return found[0]

    def note(self, state: State) -> None:
        """Called by the loop after a turn: since when things are as they are, once a second."""
        if state.now - self._noted_at >= NOTE_SECONDS:
            self._noted_at = state.now
            self._reasons.note(state)

    # --- views, in the loop's thread -----------------------------------------------------------------

    def _make(self, state: State, made: threading.Event) -> None:
        batches = {
            batch.number: self._batch_view(state, batch)
            for batch in state.batches.values()
            if batch.unfinished() or state.wall - batch.row.finished_at < SHOWN_SECONDS
        }
        rows = [instance.row for instance in state.instances.values()]
        workers = [worker for worker in state.workers.values() if worker.state is not WorkerState.GONE]
        self._rates = {number: rate for number, rate in self._rates.items() if number in batches}
        self._spans = {number: spans for number, spans in self._spans.items() if number in batches}
        self._view = View(
            turn=self._view.turn + 1,
            deployment=state.deployment,
            epoch=state.epoch,
            live=True,
            batches=batches,
            workers=tuple(map(_worker_answer, workers)),
            places={worker.id: worker.place for worker in workers if worker.place is not None},
            pools=pool_views(state.policy.pools, state.pools, rows, state.now, state.wall, self._limits()),
            instances=tuple(map(instance_answer, rows)),
            broker_connected=state.leases_from is not None,
            datastore_connected=state.datastore.connected,
            datastore_free=state.datastore.disk_free,
            reasons=self._reasons.observe(state, self._warnings()),
            rejected_reports={
                reason.value: count for reason, count in [*state.rejected.items(), *dict(self._inbox.rejected).items()]
            },
            stopping=state.stopping,
        )
        self._view_at = time.monotonic()
        made.set()

    def _batch_view(self, state: State, batch: Batch) -> BatchAnswer:
        counts = counts_of(self._with_attached(state, batch))
        rate = self._rates.setdefault(batch.number, Rate()).of(state.now, counts.ended - counts.blocked)
        row = batch.row
        return BatchAnswer(
            number=batch.number,
            project=row.project,
            name=row.name,
            counts=counts,
            total=counts.total,
            finished=not counts.unfinished,
            paused=row.paused,
            paused_kind=row.paused_kind,
            rate=rate,
            eta_seconds=eta_seconds(counts.unfinished, rate),
            created_at=row.created_at,
            finished_at=0.0 if batch.unfinished() else row.finished_at,
            detached=self._followers.is_detached(batch.number),
            warnings=list(row.warnings),
            files_waiting=batch.files_waiting,
        )

    def _with_attached(self, state: State, batch: Batch) -> list[int]:
        """The batch's counts, and those of the older tasks to which its push is attached."""
        counts = list(batch.counts)
        if not batch.row.attached:
            return counts
        spans = self._spans.get(batch.number)
        if spans is None:
            spans = self._spans[batch.number] = runs(sorted(array("q", batch.row.attached)))
        absent: list[int] = []
        for span in spans:
            absent += _count_span(state, span, counts)
        if absent:
            # Their batches are finished and out of memory: their states do not change on their own.
            many, known = self._attached.get(batch.number, (0, []))
            if many != len(absent):
                states = self.lookups.states(absent)
                known = [0] * len(counts)
                for one in states.values():
                    known[one] += 1
                self._attached[batch.number] = len(absent), known
            counts = [a + b for a, b in zip(counts, known, strict=True)]
        else:
            self._attached.pop(batch.number, None)
        return counts

    def _forget_attached(self, state: State) -> None:
        """Of the tasks that are not in memory some were dropped."""
        self._attached.clear()


def _count_span(state: State, span: range, counts: list[int]) -> list[int]:
    """Add these tasks to the counts, a batch at a time; answers those that are not in memory."""
    absent: list[int] = []
    at = span.start
    while at < span.stop:
        found = state.find(at)
        if found is None:
            end = min([span.stop, *(batch.first for batch in state.batches.values() if batch.first > at)])
            absent.extend(range(at, end))
        else:
            batch, index = found
            end = min(span.stop, batch.first + batch.count)
            part = batch.count_states(index, index + end - at)
            counts[:] = [a + b for a, b in zip(counts, part, strict=True)]
        at = end
    return absent


def _worker_answer(worker: Worker) -> WorkerAnswer:
    held = itertools.islice(sorted(worker.attempts.values(), key=lambda attempt: not attempt.started()), HELD_SHOWN)
    return WorkerAnswer(
        id=worker.id,
        state=worker.state.value,
        pool=worker.kind.pool,
        slots=worker.slots,
        address=worker.row.address,
        connected=worker.connected,
        quarantined=worker.row.quarantined,
        quarantined_kind=worker.row.quarantined_kind,
        keep_alive=worker.row.keep_alive,
        labels=dict(worker.kind.labels),
        holding=[
            HeldAnswer(
                task=one.task,
                project="",
                id="",
                attempt=one.attempt,
                phase=one.phase.value,
                progress=worker.progress.get(one.task),
            )
            for one in held
        ],
        program=worker.row.program,
    )
