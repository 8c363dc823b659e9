"""All that the datastore's agent knows. Data, and the few moves that keep its parts in step; deciding is elsewhere."""

from __future__ import annotations

from collections import Counter, deque
from enum import StrEnum

import msgspec

from datastore.agent.effects import Effect, Report
from datastore.agent.lanes import Lane, Lanes
from datastore.agent.records import Record
from wire.messages import (
    Abandoned,
    AttemptKey,
    Collect,
    DatastoreHello,
    DatastoreOrders,
    DatastoreReport,
    LookUp,
    Send,
    Stage,
    Store,
)

#: Attempts that ended without publication and are remembered for repeated orders; the oldest go first.
REMEMBERED_ENDS = 100_000
#: So many moves are remembered, for the stories in errors.
STORY_MOVES = 2_000


class IgnoredEvent(StrEnum):
    """Why orders, or events of this program, are not acted upon."""

    #: Orders that came before this start had completed what the former one left.
    BEFORE_HELLO = "before_hello"
    OTHER_DEPLOYMENT = "other_deployment"
    OTHER_INCARNATION = "other_incarnation"
    SUPERSEDED_BOSS = "superseded_boss"
    #: The broker delivered them twice or late.
    NOT_NEWER = "not_newer"
    #: The end of something that is not under way (any more).
    NO_SUCH_TRANSFER = "no_such_transfer"
    NO_SUCH_FETCH = "no_such_fetch"
    NO_SUCH_STAGING = "no_such_staging"
    NO_SUCH_STEP = "no_such_step"
    NO_SUCH_LOOK_UP = "no_such_look_up"
    NO_SUCH_SENDING = "no_such_sending"


class DatastorePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How the agent keeps time and measure. Times in seconds."""

    #: Transfers under way at once, over all workers.
    transfers_at_once: int = 16
    heartbeat_seconds: float = 5.0
    #: After a failed transfer of results: until the next try of that attempt, and how many tries there are.
    retry_seconds: float = 2.0
    tries: int = 3
    #: After the disk was found full, or a step of publishing failed.
    disk_retry_seconds: float = 10.0


class Step(StrEnum):
    """Where a collection is. `NEW` is the moment before it is ordered, the last two the moment after it has gone."""

    NEW = "new"
    WAITING = "waiting"
    FETCHING = "fetching"
    FETCHED = "fetched"
    PUBLISHING = "publishing"
    DISCARDING = "discarding"
    PUBLISHED = "published"
    ABANDONED = "abandoned"


class PublishStep(StrEnum):
    """Where the batch is that is published. `NEW` is the moment before it begins, `OVER` the one after its end."""

    NEW = "new"
    SYNC = "sync"
    RECORD = "record"
    PLACE = "place"
    OVER = "over"


#: Instead of an attempt's key: the moves of the batches that are published.
BATCH: AttemptKey = (0, 0)


class StepMove(msgspec.Struct, frozen=True, gc=False):
    """The collection of an attempt, or the batch, went from one step to another, at this time."""

    at: float
    task: int
    attempt: int
    before: Step | PublishStep
    after: Step | PublishStep


class Collection(msgspec.Struct):
    order: Collect
    step: Step = Step.NEW
    #: Transfers that failed.
    tries: int = 0
    #: How it ends once its files are gone; None: it is to be published.
    ending: Abandoned | None = None

    @property
    def key(self) -> AttemptKey:
        return (self.order.task, self.order.attempt)

    @property
    def lane(self) -> Lane:
        return Lane(self.order.worker, "collect")


class StagingOrder(msgspec.Struct):
    order: Stage
    running: bool = False

    @property
    def lane(self) -> Lane:
        return Lane(self.order.worker, "stage")


class Publishing(msgspec.Struct):
    """The batch under way: many attempts share its syncs."""

    records: list[Record]
    step: PublishStep = PublishStep.NEW
    #: When a failed step is to be tried again; None: it is under way.
    due: float | None = None
    #: True: an earlier try to write the records may have written them.
    unclear: bool = False
    #: True: completes what a former incarnation recorded.
    recovering: bool = False


class DatastoreAgentState:
    def __init__(self, deployment: str, incarnation: str, policy: DatastorePolicy, hello: DatastoreHello) -> None:
        self.deployment = deployment
        self.incarnation = incarnation
        self.policy = policy
        #: What a hello says, but for the free space.
        self.hello = hello
        self.now = 0.0
        self.effects: list[Effect] = []

        #: What a former incarnation left is completed and swept: orders may come.
        self.ready = False
        self.linked = False
        self.boss = ""
        self.disk_free = 0
        self.heartbeat_due: float | None = None

        #: Highest epoch, on disk; highest number in it, for this incarnation only (see docs/decisions/0040).
        self.epoch = 0
        self.number = 0
        #: Epoch that is being written, with the messages that wait for it.
        self.keeping = 0
        self.held: list[DatastoreOrders] = []

        self.lanes = Lanes(policy.transfers_at_once)
        self.stagings: dict[AttemptKey, StagingOrder] = {}
        #: Stagings whose input is just getting its name.
        self.held_stagings: dict[AttemptKey, None] = {}

        self.collections: dict[AttemptKey, Collection] = {}
        #: The last moves of collections and batches.
        self.story: deque[StepMove] = deque(maxlen=STORY_MOVES)
        #: Waiting collections that are not in their lane, with the time when they will be.
        self.retries: dict[AttemptKey, float] = {}
        #: No results are fetched before this time: the disk was full.
        self.fetch_after = 0.0
        #: Collections whose last try found no room.
        self.without_room: dict[AttemptKey, None] = {}
        self.fetched: dict[AttemptKey, None] = {}
        self.publishing: Publishing | None = None
        self.publish_after = 0.0
        #: Publish records on disk, until Forget; and the highest attempt published of each of their tasks.
        self.records: dict[AttemptKey, Record] = {}
        self.fences: dict[int, int] = {}
        #: Records of a former incarnation, until Forget: the boss may have confirmed an order to forget one of them
        #: to an incarnation that died of it, so each hello is followed by what they say.
        self.recovered: dict[AttemptKey, None] = {}
        #: Keys of records of other deployments, by deployment: completed at the start, then dropped.
        self.foreign: dict[str, list[AttemptKey]] = {}
        #: How attempts ended that were not published.
        self.ended: dict[AttemptKey, Abandoned] = {}

        #: Sent files that wait for their name, by (name, digest), and those of the StoreFiles under way.
        self.stores: dict[tuple[str, str], Store] = {}
        self.storing: dict[tuple[str, str], Store] = {}
        self.store_after = 0.0
        self.looking: dict[int, LookUp] = {}
        #: What is on its way to the boss, by digest.
        self.sending: dict[str, Send] = {}

        #: What keeps results from being published, by where it was found.
        self.warnings: dict[str, str] = {}
        #: Orders and events that were not acted upon, by reason, since the start.
        self.ignored: Counter[IgnoredEvent] = Counter()

    # -- what is said -------------------------------------------------------------------------------

    def report(self, report: DatastoreReport) -> None:
        self.effects.append(Report(report))

    def ignore(self, reason: IgnoredEvent) -> None:
        self.ignored[reason] += 1

    # -- moves ---------------------------------------------------------------------------------------

    def remember_end(self, key: AttemptKey, end: Abandoned) -> None:
        self.ended[key] = end
        if len(self.ended) > REMEMBERED_ENDS:
            del self.ended[next(iter(self.ended))]

    def remember_record(self, record: Record) -> None:
        self.records[record.key] = record
        self.fences[record.task] = max(record.attempt, self.fences.get(record.task, 0))

    def forget_record(self, key: AttemptKey) -> bool:
        task, attempt = key
        self.recovered.pop(key, None)
        if self.records.pop(key, None) is None:
            return False
        if self.fences.get(task) == attempt:
            del self.fences[task]
        return True
