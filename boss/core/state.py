"""All that the scheduler knows, in one object, and the look-ups on it.

Nothing here decides: handlers (the other modules of this package) change it, and only through
`boss.core.scheduler`. What a turn leaves behind for the database and for the world gathers in `changes`
and `effects`. Collections that are walked are dicts, never sets, so that a replay walks in the same order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush

import msgspec

from boss.core.cached_inputs import Cached
from boss.core.durations import Durations
from boss.core.effects import Effect, ToDatastore, ToWorker
from boss.core.graph import Batch
from boss.core.model import InstanceState, Phase, WorkerState
from boss.core.policy import Policy
from boss.core.pools import PoolState
from boss.core.ready import Kind, ReadyQueue
from boss.core.reasons import Quarantine, QuarantineKind, ReportRejection
from boss.core.rows import AttemptRow, Changes, FileRow, InstanceRow, Move, WorkerRow
from boss.core.waits import VersionAnswer
from wire.messages import AttemptKey, LookUp, Outcome, Place, Send

#: Calling an enumeration costs more than all else of an attempt.
_PHASES = {phase.value: phase for phase in Phase}


class Attempt:
    """One live attempt (of a task, or of an init task on one worker)."""

    __slots__ = (
        "abandoning",
        "asked_at",
        "asked_back",
        "attempt",
        "batch",
        "began",
        "began_at",
        "cancelling",
        "index",
        "init",
        "missed",
        "outcome",
        "phase",
        "row",
        "slots",
        "staging",
        "task",
        "worker",
    )

    def __init__(self, batch: Batch, index: int, row: AttemptRow, *, init: bool) -> None:
        self.batch = batch
        #: Of the task in its batch; of the init task in `batch.inits` if `init`.
        self.index = index
        self.task = row.task
        self.attempt = row.attempt
        self.worker = row.worker
        self.row = row
        self.init = init
        #: It has requirements.
        self.staging = batch.requires_inputs(index, init=init)
        self.phase = _PHASES[row.phase]
        self.slots = 1
        #: Kill was ordered.
        self.cancelling = False
        #: TakeBack was asked.
        self.asked_back = False
        #: How it ends if the datastore abandons its collection; empty: not asked to.
        self.abandoning = row.abandoning
        self.began_at = row.began_at
        #: The same, monotonic; of an attempt that began under a boss before this one, long ago.
        self.began = float("-inf")
        #: When the datastore was last asked something for it (monotonic).
        self.asked_at = 0.0
        #: Its worker missed inputs that were reported to be in its cache.
        self.missed = False
        #: What the worker reported of its end, while results are collected.
        self.outcome: Outcome | None = None

    @property
    def key(self) -> AttemptKey:
        return (self.task, self.attempt)

    def started(self) -> bool:
        return self.phase in (Phase.EXECUTING, Phase.COLLECTING)


class TaskFaults:
    """Attempts of one task that their machines failed, in a row (`boss.core.machine_faults`)."""

    __slots__ = ("counted", "since", "total", "workers")

    def __init__(self, since: float) -> None:
        #: Of the first (monotonic).
        self.since = since
        self.total = 0
        #: Those on another worker than before, or where something else had ended as it should since.
        self.counted = 0
        #: Worker id -> when last; in that order.
        self.workers: dict[str, float] = {}


class RefusedHost(msgspec.Struct, frozen=True):
    """The host with another key that said hello in a worker's name: the newest one."""

    incarnation: str
    #: Of the message.
    number: int
    place: Place
    #: No hello in that name was accepted since.
    newest: bool = True


class Claim(msgspec.Struct, frozen=True):
    """What a worker stated beyond its bounds: nothing of it counts. Empty, or 0: it stated no more than it may."""

    pool: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    slots: int = 0
    #: Its instance's pool sets the bounds, and the operator who may widen them edits the settings.
    of_instance: bool = False

    def __bool__(self) -> bool:
        return bool(self.pool or self.labels or self.slots)


@dataclass(slots=True, eq=False)
class OtherVersionAgent:
    """A worker, or the datastore, that uses another version of the protocol (`boss.core.other_version`)."""

    name: str
    incarnation: str
    version: int
    #: Monotonic.
    heard: float = 0.0
    #: Of its last hello.
    said_hello: bool = False
    bundle: str = ""
    executes: bool = False
    answer: VersionAnswer | None = None
    #: The last order to it, and when it was sent (monotonic).
    ordered: type | None = None
    ordered_at: float = 0.0

    def is_recent(self, state: State) -> bool:
        """It has reported within a lease."""
        return state.now - self.heard <= state.policy.lease


class Worker:
    """One worker, with what it has and what was sent to it."""

    __slots__ = (
        "attempts",
        "blamed",
        "bundle",
        "cached",
        "claim",
        "connected",
        "draining",
        "ended_at",
        "faulted",
        "former",
        "heard",
        "inputs_error",
        "id",
        "incarnation",
        "init_failures",
        "inputs",
        "initialized",
        "kind",
        "lease_planned",
        "leaving",
        "load",
        "number",
        "outbox",
        "place",
        "probe_at",
        "probe_due",
        "probes",
        "probing",
        "progress",
        "quarantine",
        "report_number",
        "resend_planned",
        "row",
        "seconds",
        "starts",
        "state",
        "refused_host",
        "strikes",
        "struck",
        "unconfirmed",
        "worked",
    )

    def __init__(self, row: WorkerRow, place: Place | None, now: float) -> None:
        self.id = row.id
        self.row = row
        self.incarnation = row.incarnation
        #: Incarnations before this one, the last few.
        self.former: list[str] = []
        self.state = WorkerState(row.state)
        #: What it runs from, as its hello stated.
        self.bundle = ""
        self.kind = Kind(row.pool, tuple(sorted(row.labels.items())), row.slots, row.memory)
        #: When its last starts said hello (monotonic).
        self.starts: list[float] = []
        #: What it stated beyond its bounds (`boss.core.claims`); None: nothing.
        self.claim: Claim | None = None
        #: Its host keys are the pinned ones.
        self.place = place
        self.refused_host: RefusedHost | None = None
        #: Why it gets nothing new; None: it does.
        self.quarantine = (
            Quarantine(QuarantineKind(row.quarantined_kind), row.quarantined) if row.quarantined_kind else None
        )
        self.draining = row.draining
        #: It drains because it stops itself, to come back perhaps; its machine is not to stop.
        self.leaving = False
        #: Live attempts that it has (also those sent ahead).
        self.attempts: dict[AttemptKey, Attempt] = {}
        #: Slots of attempts that are sent or executing (collecting holds none).
        self.load = 0
        #: When it was last heard (monotonic).
        self.heard = now
        #: Number of the last order to it, and of its last report.
        self.number = 0
        self.report_number = 0
        #: Hint from presence.
        self.connected = True
        #: Orders of this turn.
        self.outbox: list[ToWorker] = []
        #: Order number -> (when sent, its orders), until confirmed.
        self.unconfirmed: dict[int, tuple[float, list[ToWorker]]] = {}
        self.resend_planned = False
        self.lease_planned = False
        #: What is known of its input cache.
        self.cached = Cached()
        #: Number of the set of shared inputs of what it was sent last; 0: of none.
        self.inputs = 0
        self.initialized: dict[int, None] = {}
        self.init_failures: dict[int, int] = {}
        #: Failures in a row by its own fault, and how many of which tasks.
        self.strikes = 0
        self.struck: dict[int, int] = {}
        #: Tasks that its machine failed -> when last; without those before the time at which something began that ended
        #: as it should (monotonic).
        self.faulted: dict[int, float] = {}
        self.worked = float("-inf")
        #: The task for whose results it is quarantined; 0: none.
        self.blamed = 0
        #: When it may prove itself, whether it may now, with which attempt it does, and how often it failed to.
        self.probe_at: float | None = None
        self.probe_due = False
        self.probing: AttemptKey | None = None
        self.probes = 0
        #: Moving mean of its attempts' durations; None until one ended.
        self.seconds: float | None = None
        #: Why inputs could not be brought to it, the last time that it was tried; empty: they could.
        self.inputs_error = ""
        #: When an attempt last ended on it (monotonic).
        self.ended_at = now
        self.progress: dict[int, float] = {}

    @property
    def slots(self) -> int:
        return self.kind.slots

    @property
    def quarantined(self) -> bool:
        return self.quarantine is not None

    def busy_for(self, now: float) -> float:
        """Seconds, by its own measure, until what it was sent ahead has had its turn."""
        if self.seconds is None:
            return float("inf")
        return (self.load - self.slots) * max(self.seconds, now - self.ended_at) / self.slots

    def serves(self) -> bool:
        """True: it may be sent something new."""
        trusted = not self.quarantined or self.probe_due
        return self.state is WorkerState.ONLINE and trusted and not (self.draining or self.refused())

    def refused(self) -> bool:
        """True: the host that is pinned now has not said hello, and nothing at all is sent."""
        return not self.incarnation or (
            self.refused_host is not None and self.refused_host.incarnation == self.incarnation
        )


class Instance:
    """One VM or process that was requested."""

    __slots__ = ("hello_from", "row", "seen_at", "state", "waiting")

    def __init__(self, row: InstanceRow, now: float) -> None:
        self.row = row
        self.state = InstanceState(row.state)
        #: Since when this boss knows it (monotonic).
        self.seen_at = now
        #: It exists, and no host has taken it yet.
        self.waiting = False
        #: Since when its worker's hello is waited for.
        self.hello_from = now


@dataclass(slots=True, eq=False)
class Datastore:
    """What was sent to the one datastore."""

    #: Empty: it has not said hello to this boss yet; nothing is sent before.
    incarnation: str = ""
    number: int = 0
    report_number: int = 0
    connected: bool = False
    outbox: list[ToDatastore] = field(default_factory=list)
    unconfirmed: dict[int, tuple[float, list[ToDatastore]]] = field(default_factory=dict)
    resend_planned: bool = False
    #: Why nothing new is collected at present, in its own words.
    warning: str = ""
    #: Bytes, as it reported last; 0: it has not reported yet.
    disk_free: int = 0


@dataclass(slots=True, eq=False)
class ContentRequest:
    """One content that is asked of the datastore, and the requests that wait for it."""

    order: Send
    replies: list[int] = field(default_factory=list)
    asked_at: float = 0.0


@dataclass(slots=True, eq=False)
class ResultsRequest:
    """Names of which the datastore is to report which it has, and the requests that wait for that."""

    order: LookUp
    replies: list[int] = field(default_factory=list)
    asked_at: float = 0.0


class State:
    """Everything. `now` is monotonic and rules decisions; `wall` is for users and rows."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.now = 0.0
        self.wall = 0.0
        self.deployment = ""
        self.epoch = 0
        self.next_task = 1
        self.next_batch = 1
        self.next_instance = 1

        self.batches: dict[int, Batch] = {}
        #: First numbers of the batches in memory, sorted, and their batch numbers beside them.
        self._firsts: list[int] = []
        self._first_of: list[int] = []
        #: Edges between batches: dependency -> dependants.
        self.crossing: dict[int, list[int]] = {}
        #: Finished batches still in memory.
        self.idle_batches: dict[int, None] = {}
        self.ready = ReadyQueue()
        #: Queued tasks that wait for a time (number -> monotonic time) ...
        self.delayed: dict[int, float] = {}
        #: ... or for the datastore to report whether their results exist (number -> when asked).
        self.looking_up: dict[int, float] = {}
        #: ... or for the database to tell whether their inputs came out the same (`boss.core.cutoff`).
        self.comparing: dict[int, None] = {}
        #: What was requested of the datastore for clients that wait, by digest.
        self.sending: dict[str, ContentRequest] = {}
        #: ... and by the task that labels the question: which results are there.
        self.checking: dict[int, ResultsRequest] = {}
        self.attempts: dict[AttemptKey, Attempt] = {}
        #: Queued tasks whose newest attempt was taken for lost: task -> (attempt, worker). Until a successor
        #: is sent, that attempt is taken up again if its worker returns with it.
        self.lost: dict[int, tuple[int, str]] = {}
        #: Tasks with a live batch whose attempt died with its worker, not known to have started or not: task ->
        #: (attempt, worker). The next agent there may know it, and then it counts towards poison.
        self.unclear_deaths: dict[int, tuple[int, str]] = {}

        #: Queued and running tasks whose last attempts were failed by their machines.
        self.machine_faults: dict[int, TaskFaults] = {}

        self.workers: dict[str, Worker] = {}
        #: What operators granted to the workers that they start themselves.
        self.grants = dict(policy.grants)
        #: Last order number to the unknown incarnation of a worker id, which has not said hello yet.
        self.unknown_incarnations: dict[str, int] = {}
        #: Kind -> ids of workers that take more: those below their window's refill mark.
        self.with_free_slots: dict[Kind, dict[str, None]] = {}
        #: Workers whose load or readiness changed in this turn.
        self.changed_workers: dict[str, None] = {}
        #: Workers on which an init execution ended without success: tasks there may wait for another one.
        self.uninitialized: dict[str, None] = {}
        #: Workers on which an init execution began or ended in this turn: their instances' NICs are checked.
        self.nics_due: dict[str, None] = {}
        #: Batches that have used up what they may cost: (pool, its budget).
        self.spent: dict[int, tuple[str, float]] = {}
        #: Workers that have more than their slots hold.
        self.overloaded: dict[str, None] = {}
        #: Workers with a non-empty outbox.
        self.outboxes: dict[str, None] = {}
        self.datastore = Datastore()
        #: Attempts in staging or collecting: of which an answer of the datastore is pending.
        self.at_datastore: dict[AttemptKey, None] = {}
        #: Sent files without their name: (name, digest) -> row, batches that wait for it, when asked.
        self.files: dict[tuple[str, str], FileRow] = {}
        self.files_for: dict[tuple[str, str], dict[int, None]] = {}
        self.files_asked: dict[tuple[str, str], float] = {}
        #: Why some of them could not be stored, as the datastore reported last.
        self.files_failed: dict[tuple[str, str], str] = {}
        #: Ended attempts whose publish record the datastore still keeps -> when asked to forget.
        self.records: dict[AttemptKey, float] = {}
        self.instances: dict[int, Instance] = {}
        #: The same, by pool; what is learned of each pool.
        self.by_pool: dict[str, dict[int, Instance]] = {}
        #: Agents that use another version of the protocol, by worker id, or `datastore`.
        self.other_versions: dict[str, OtherVersionAgent] = {}
        #: Worker id -> the newest instance that was started for it and is not over.
        self.instance_for: dict[str, int] = {}
        self.pools: dict[str, PoolState] = {pool.name: PoolState() for pool in policy.pools}
        #: Something about instances changed (or may be started now): compare demand and supply.
        self.scale_due = True
        #: Pool -> its place in the order in which pools are used.
        self.ranks = {pool.name: (-float(pool.priority), pool.cost) for pool in policy.pools}
        #: There are pools that grow and shrink with the work.
        self.elastic = any(pool.grows() for pool in policy.pools)
        #: No decision about how many there are to be is made before; one is planned for then.
        self.scale_from = 0.0
        self.scale_planned = False
        #: `ready.puts` when it was last checked whether to decide.
        self.scale_puts = 0
        self.durations = Durations()
        #: When workers were last seen to die, for telling poison from a failing site.
        self.deaths: deque[tuple[float, str]] = deque(maxlen=16)

        #: Leases count only from here: set again at connection and after gaps. None: not connected.
        self.leases_from: float | None = None
        self.deadlines: list[tuple[float, int, str, object]] = []
        self._deadline_order = 0
        self.stopping = False
        self.ended = False

        self.changes = Changes()
        self.effects: list[Effect] = []
        #: Tasks whose rows are to be written, and the reason given in this turn.
        self.dirty: dict[int, str] = {}
        self.dirty_batches: dict[int, None] = {}
        #: The last moves, for stories in errors.
        self.story: deque[Move] = deque(maxlen=20_000)
        #: Reports that were dropped whole, by reason, since the start.
        self.rejected: Counter[ReportRejection] = Counter()
        #: Of workers on machines of their own: Python and machine -> digest of what they are to run from.
        self.bundles: dict[str, str] = {}

    # --- look-ups ----------------------------------------------------------------------------------

    def add_batch(self, batch: Batch) -> None:
        self.batches[batch.number] = batch
        position = bisect_right(self._firsts, batch.first)
        self._firsts.insert(position, batch.first)
        self._first_of.insert(position, batch.number)

    def add_instance(self, instance: Instance) -> None:
        self.instances[instance.row.number] = instance
        self.by_pool.setdefault(instance.row.pool, {})[instance.row.number] = instance
        self.instance_for[instance.row.worker] = instance.row.number

    def remove_instance(self, instance: Instance) -> None:
        del self.instances[instance.row.number]
        del self.by_pool[instance.row.pool][instance.row.number]
        if self.instance_for.get(instance.row.worker) == instance.row.number:
            del self.instance_for[instance.row.worker]

    def remove_batch(self, batch: Batch) -> None:
        del self.batches[batch.number]
        position = self._first_of.index(batch.number)
        del self._firsts[position]
        del self._first_of[position]
        self.ready.forget(batch)

    def find(self, task: int) -> tuple[Batch, int] | None:
        """The batch in memory that owns this task number, and the task's index in it."""
        position = bisect_right(self._firsts, task) - 1
        while position >= 0 and self._firsts[position] <= task:
            batch = self.batches[self._first_of[position]]
            if task < batch.first + batch.count:
                return batch, task - batch.first
            if batch.count:
                return None
            position -= 1  # a batch without tasks of its own shares its first number with the next one
        return None

    def live(self, batch: Batch, index: int) -> Attempt | None:
        """The live attempt of a task."""
        return self.attempts.get((batch.first + index, batch.attempts[index]))

    def load(self, worker: Worker, slots: int) -> None:
        """Its load changes by so many slots; whether it takes more is seen at the end of the turn."""
        worker.load += slots
        self.changed_workers[worker.id] = None
        if worker.load > worker.slots:
            self.overloaded[worker.id] = None
        else:
            self.overloaded.pop(worker.id, None)

    def orphan_after(self, pool: str) -> float:
        """After how long without a boss a worker of this pool stops."""
        return self.policy.pool(pool).orphan_after if pool in self.pools else self.policy.orphan_after

    # --- deadlines ---------------------------------------------------------------------------------

    def at(self, time: float, kind: str, key: object) -> None:
        """Remember to check `key` at `time`. Nothing is ever taken back: the check finds what still holds."""
        self._deadline_order += 1
        heappush(self.deadlines, (time, self._deadline_order, kind, key))

    def next_deadline(self) -> float | None:
        return self.deadlines[0][0] if self.deadlines else None

    def due(self) -> tuple[str, object] | None:
        if self.deadlines and self.deadlines[0][0] <= self.now:
            _, _, kind, key = heappop(self.deadlines)
            return kind, key
        return None

    # --- what a turn leaves behind -----------------------------------------------------------------

    def send(self, worker: Worker, order: ToWorker) -> None:
        worker.outbox.append(order)
        self.outboxes[worker.id] = None

    def ask(self, order: ToDatastore) -> None:
        """Nothing is kept for a datastore that is not there: after its hello all that is open is sent."""
        if self.datastore.incarnation:
            self.datastore.outbox.append(order)

    def journal(self, what: str, key: str, attempt: int, before: str, after: str, cause: str) -> None:
        """A move for the journal, which is recorded with the turn, and for stories."""
        self.changes.moves.append(self.remember(what, key, attempt, before, after, cause))

    def remember(self, what: str, key: str, attempt: int, before: str, after: str, cause: str) -> Move:
        """A move for stories only: those of an attempt's phases would make the journal twice as long."""
        move = Move(what, key, attempt, before, after, cause)
        self.story.append(move)
        return move

    def reject(self, reason: ReportRejection) -> None:
        """A report that cannot be meant for this boss came from outside: counted, dropped, logged by the loop."""
        self.rejected[reason] += 1


def runs(sorted_numbers: Iterable[int]) -> list[range]:
    """Numbers in rising order as ranges of such as follow one another."""
    found: list[range] = []
    start = end = -1
    for number in sorted_numbers:
        if number != end:
            if end > start:
                found.append(range(start, end))
            start = number
        end = number + 1
    if end > start:
        found.append(range(start, end))
    return found
