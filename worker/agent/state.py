"""All that a worker's agent knows: attempts, slots, what to report, whom it heard. Data, and questions about it.

Only the functions of this package change it, and only while `Agent.handle` runs. No clock: times
are the `now` of the events, in seconds of any clock that never goes back.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, get_args

import msgspec

from wire.messages import AttemptKey, Digest, HeldAttempt, Input, Outcome, Place, Run, WorkerReport
from worker.agent.effects import Effect

#: `new` is the moment before an attempt has a phase; `gone` the one after it was forgotten.
Phase = Literal["new", "staging", "staged", "executing", "ended", "returned", "gone"]
PHASES: tuple[Phase, ...] = get_args(Phase)

#: Exit codes that its keeper acts upon: another version is to be started; the machine is to be halted.
REPLACED, ORPHANED = 4, 5

#: For so long nothing begins on a disk that has become full.
DISK_WAIT_SECONDS = 15.0
#: So many moves are remembered, for the stories in errors.
STORY_MOVES = 2_000


class IgnoredOrder(StrEnum):
    """Why orders are not acted upon."""

    OTHER_DEPLOYMENT = "other_deployment"
    OTHER_INCARNATION = "other_incarnation"
    #: The broker delivered it twice or late, or it is of a boss that was superseded.
    NOT_NEWER = "not_newer"
    #: A Run that came before the boss answered the hello after a gap.
    BEFORE_RESYNC = "before_resync"
    #: A Run of an attempt below the highest one of its task that is here.
    LOWER_ATTEMPT = "lower_attempt"


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """Who this worker is; does not change while it lives."""

    worker: str
    incarnation: str
    slots: int
    place: Place
    #: Empty: unknown; the first boss that is seen decides.
    deployment: str = ""
    pool: str = ""
    #: Bytes of memory for attempts; 0 is unknown: then memory is not counted.
    memory: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    address: str = ""
    pid: int = 0
    program: str = ""
    #: `<Python>-<machine>=<digest>` of what it runs from; a digest that did not serve here.
    bundle: str = ""
    given_up: str = ""
    #: What one attempt may write, beyond its inputs; 0: as much as the disk holds.
    attempt_disk_bytes: int = 0
    #: Without a boss for too long, its machine is to end with it.
    halt_when_orphaned: bool = False
    heartbeat_seconds: float = 5.0
    orphan_after_seconds: float = 600.0
    #: Reports are split into messages that stay below this.
    message_bytes: int = 4 * 1024 * 1024


@dataclass(slots=True)
class Held:
    """One attempt that the worker knows."""

    task: int
    attempt: int
    #: Order of arrival: what came first begins first.
    arrival: int
    #: None where only an answer is held: the boss asked for an attempt that never arrived.
    run: Run | None = None
    phase: Phase = "new"
    #: Inits that have not yet succeeded here.
    waits_for: set[int] = field(default_factory=set)
    placing: bool = False
    #: There is or may be a directory to remove.
    directory: bool = False
    #: Acknowledged or superseded while it ran: its end is not reported.
    unwanted: bool = False
    #: It is being killed because the worker itself must stop, or its disk is full.
    stopping: bool = False
    #: It is being killed because it has written more than an attempt may.
    exceeded: bool = False
    #: When its commands began.
    began_at: float = 0.0
    #: How many attempts began before it although they came later, because they fitted and it did not.
    passed_over: int = 0
    outcome: Outcome | None = None
    #: The outcome is written down at home.
    kept: bool = False
    #: The last pause before telling its end again, and when that is.
    resend_pause: float = 0.0
    resend_at: float = 0.0

    @property
    def key(self) -> AttemptKey:
        return (self.task, self.attempt)


class PhaseMove(msgspec.Struct, frozen=True, gc=False):
    """An attempt went from one phase to another, at this time."""

    at: float
    task: int
    attempt: int
    before: Phase
    after: Phase


@dataclass(slots=True)
class WorkerAgentState:
    """Everything that one agent knows."""

    options: AgentOptions
    deployment: str
    heartbeat_seconds: float
    orphan_after_seconds: float
    #: Until the boss says it.
    lease_seconds: float = field(default=30.0, kw_only=True)
    #: Of the event that is handled.
    now: float
    #: What is to be done for it, in this order; empty between two events.
    effects: list[Effect] = field(default_factory=list)

    # attempts
    held: dict[AttemptKey, Held] = field(default_factory=dict)
    #: The highest attempt held of each task.
    highest: dict[int, int] = field(default_factory=dict)
    #: How many attempts are in each phase.
    counts: dict[Phase, int] = field(default_factory=lambda: dict.fromkeys(PHASES, 0))
    arrivals: int = 0
    #: The last moves of attempts.
    story: deque[PhaseMove] = field(default_factory=lambda: deque(maxlen=STORY_MOVES))
    #: Heap of (0 for an init else 1, arrival, key); entries of attempts that left `staged` are skipped.
    ready: list[tuple[int, int, AttemptKey]] = field(default_factory=list)
    #: init number -> attempts that wait for it.
    waiting: dict[int, dict[AttemptKey, None]] = field(default_factory=dict)
    initialized: dict[int, None] = field(default_factory=dict)
    #: Attempts that died with an agent before this one.
    died: list[AttemptKey] = field(default_factory=list)
    #: Inputs known before their Run arrived (messages may overtake one another).
    early: dict[AttemptKey, list[Input]] = field(default_factory=dict)
    used_slots: int = 0
    used_memory: int = 0

    # what the worker is to do with itself
    draining: bool = False
    #: `drain`: end when nothing is held. `now`: end as soon as what runs is killed.
    stop: Literal["", "drain", "now"] = ""
    stop_reason: str = ""
    exit_code: int = 0
    #: TERM came and Leaving was or is to be reported.
    leaving: bool = False
    #: Digest of the bundle that is being fetched.
    replacing: str = ""
    #: After the last execution: how long acknowledgements are waited for before the end.
    linger_until: float | None = None
    exited: bool = False

    # orders
    #: (epoch, number) of the highest orders message taken.
    last_order: tuple[int, int] = (0, 0)
    confirms: list[int] = field(default_factory=list)
    #: What was not acted upon, by reason, since the start.
    ignored: Counter[IgnoredOrder] = field(default_factory=Counter)

    # link and boss
    connected: bool = False
    #: The boss has answered our hello since this connection was made.
    welcomed: bool = False
    boss_epoch: int = 0
    heard_at: float = 0.0
    asked_at: float = 0.0

    #: It stood still for longer than a lease. Until the boss has answered a hello that it said since, nothing that
    #: was sent to it begins: its attempts may be with others by now.
    resyncing: bool = False
    #: Number of the first message that counts as said since then.
    resync_from: int = 0

    # reports
    message_number: int = 0
    #: Of the last message with a hello.
    hello_number: int = 0
    #: The latest report of each attempt that has not gone out.
    outbox: dict[AttemptKey, WorkerReport] = field(default_factory=dict)
    #: When what waits goes out at the latest; None while nothing waits.
    flush_at: float | None = None
    sent_at: float = 0.0
    heartbeat_sent_at: float = 0.0
    hello_at: float | None = None
    hello_delay: float = 1.0
    #: Heap of (time, message number, keys): ends to be reported again unless acknowledged by then.
    resends: list[tuple[float, int, list[AttemptKey]]] = field(default_factory=list)
    progress: dict[AttemptKey, float] = field(default_factory=dict)
    #: Digests in the cache, least recently used first.
    cached: dict[Digest, None] = field(default_factory=dict)
    cache_added: dict[Digest, None] = field(default_factory=dict)
    cache_dropped: dict[Digest, None] = field(default_factory=dict)
    disk_free: int = 0
    #: The disk is all but full, since when (of the last time that it was), and when that was last seen.
    disk_low: bool = False
    disk_low_since: float = 0.0
    disk_low_at: float = float("-inf")
    #: Of what executed when it was last seen, the attempt that had written most.
    largest_writer: AttemptKey | None = None


def held_attempts(state: WorkerAgentState) -> list[HeldAttempt]:
    """What a hello states: every attempt but those whose end is not needed."""
    return [
        HeldAttempt(task=held.task, attempt=held.attempt, phase=held.phase)
        for held in state.held.values()
        if not held.unwanted and held.phase != "new" and held.phase != "gone"
    ]


def slots_of(state: WorkerAgentState, run: Run) -> int:
    """The slots that it holds: a demand above what there is means the whole worker."""
    return max(1, min(run.execution.slots, state.options.slots))


def memory_of(state: WorkerAgentState, run: Run) -> int:
    """The memory that it holds; nothing where the worker does not know its own."""
    return min(run.execution.memory or 0, state.options.memory) if state.options.memory else 0


def fits(state: WorkerAgentState, run: Run) -> bool:
    """Whether it could begin now."""
    return state.used_slots + slots_of(state, run) <= state.options.slots and state.used_memory + memory_of(
        state, run
    ) <= max(state.options.memory, 0)


def waits_for_disk(state: WorkerAgentState) -> bool:
    """Nothing begins while what fills the disk is being stopped; if it stays full, what begins says so by failing."""
    return state.disk_low and state.now < state.disk_low_since + DISK_WAIT_SECONDS


def is_nothing_to_do(run: Run) -> bool:
    """No command, no EPANET run, no result: it succeeds without a process or a directory."""
    return not run.execution.commands and run.execution.epanet is None and not run.execution.results
