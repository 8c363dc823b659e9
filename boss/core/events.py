"""Events: what happened in the world, as the scheduler takes it. Past tense, values only.

`reply` is a number that the loop gave a waiting HTTP request; the scheduler answers it by an Answer
effect with the same number, after the commit as every effect. 0: no request waits.
"""

from __future__ import annotations

import msgspec

from boss.core.model import Submission
from boss.core.policy import Grant
from boss.core.rows import Known, LoadedBatch
from wire.messages import DatastoreReports, Input, Presence, WorkerReports
from wire.other_version import OtherReports


class _Event(msgspec.Struct):
    """What all have in common."""


class _Asked(_Event, kw_only=True):
    """A client may wait for its answer."""

    reply: int = 0


class _OfInstance(_Event, kw_only=True):
    instance: int


# --- from the broker -------------------------------------------------------------------------------


class WorkerReported(_Event, kw_only=True):
    """`worker` is the owner of the topic on which it came; the payload must agree."""

    worker: str
    message: WorkerReports


class DatastoreReported(_Event, kw_only=True):
    message: DatastoreReports


class OtherVersionReported(_Event, kw_only=True):
    """An agent that uses another version of the protocol; `agent` is the owner of the topic: a worker's id, or
    `datastore`."""

    agent: str
    message: OtherReports


class PresenceSeen(_Event, kw_only=True):
    """A worker's or the datastore's presence; a hint."""

    message: Presence


class LinkConnected(_Event, kw_only=True):
    """The boss is connected to its broker and all its subscriptions are granted."""


class LinkDisconnected(_Event, kw_only=True):
    """No broker: leases stand still."""


# --- from users, by HTTP ---------------------------------------------------------------------------


class Submitted(_Asked, kw_only=True):
    """A whole push, with what the database knows of its ids and names."""

    submission: Submission
    known: Known
    #: Ids of tasks that have succeeded and whose results are not on the datastore, as it was seen before.
    gone: list[str] = msgspec.field(default_factory=list)


class Selection(_Event, kw_only=True):
    """Which tasks a user means: all numbers given, and all tasks of the batches given."""

    tasks: list[int] = msgspec.field(default_factory=list)
    batches: list[int] = msgspec.field(default_factory=list)


class TasksAsked(_Asked, kw_only=True):
    """Something is asked of tasks that a user selects, in whatever batches: those have to be in memory."""

    selection: Selection


class CancelAsked(TasksAsked, kw_only=True):
    """Every unfinished or blocked task of the selection is to end as cancelled."""


class RetryAsked(TasksAsked, kw_only=True):
    """Every failed task of the selection (cancelled ones too if named one by one) runs again.

    Blocked ones follow automatically when what blocks them is tried again.
    """


class RedoAsked(TasksAsked, kw_only=True):
    """Every ended task of the selection runs again, succeeded ones too; dependants are untouched."""


class DropTasksAsked(TasksAsked, kw_only=True):
    """Every task of the selection is to be forgotten; what has work left is cancelled for it."""

    #: Those only that are in one of these TaskStates; empty: whatever they are.
    states: list[int] = msgspec.field(default_factory=list)


class PauseAsked(_Asked, kw_only=True):
    batch: int
    #: Empty: go on.
    reason: str


class WorkerDrainAsked(_Asked, kw_only=True):
    worker: str
    drain: bool = True


class QuarantineAsked(_Asked, kw_only=True):
    worker: str
    #: Empty: release it.
    reason: str


class InstancesAsked(_Asked, kw_only=True):
    """An operator asks for more workers, whatever the demand."""

    #: Empty: the pool that is used first.
    pool: str
    count: int
    #: Scaling in spares them.
    keep_alive: bool = False


class TerminateAsked(_Asked, kw_only=True):
    """An operator terminates workers, and what they run in."""

    #: Those of these ids and those of these pools; both empty: all that the boss started elsewhere.
    workers: list[str] = msgspec.field(default_factory=list)
    pools: list[str] = msgspec.field(default_factory=list)
    #: True: what they execute is lost, and runs elsewhere. False: they finish it first.
    now: bool = False


class DropWorkersAsked(_Asked, kw_only=True):
    """An operator drops workers; whatever they run in lives on. Both empty: those that are lost."""

    workers: list[str] = msgspec.field(default_factory=list)
    all: bool = False


class SendAsked(_Asked, kw_only=True):
    """A client asks for content that a datastore elsewhere has; answered when the boss has it, or cannot get it."""

    #: Path inside the datastore's tree.
    name: str
    digest: str
    size: int


class ResultsAsked(_Asked, kw_only=True):
    """A push asks whether results are still on a datastore elsewhere; answered with `found`: their names -> sizes."""

    #: Of one of the tasks that left them, which labels the question.
    task: int
    #: Paths inside the datastore's tree.
    names: list[str]


# --- from providers --------------------------------------------------------------------------------


class InstanceStarted(_OfInstance, kw_only=True):
    """The provider made it and calls it `reference`."""

    reference: str
    #: Of the machine, as far as the provider knows; empty: it does not.
    address: str = ""
    #: No host has taken it yet: InstancePlaced follows when one has.
    waiting: bool = False


class InstancePlaced(_OfInstance, kw_only=True):
    """A host has taken the machine that waited for one: it boots."""


class InstanceStartFailed(_OfInstance, kw_only=True):
    """It does not exist and will not. `full`: the pool cannot grow at present (quota, no address left)."""

    reason: str
    full: bool = False


class InstanceEnded(_OfInstance, kw_only=True):
    """The provider does not list it any more (ended, crashed, stopped)."""

    reason: str
    #: It ended while no boss observed it: no sign that the next one would crash as well.
    unseen: bool = False


class NetworkAttached(_OfInstance, kw_only=True):
    """Its machine has the further network interface (NIC) that was requested."""

    #: What the provider calls it.
    nic: str


class NetworkAttachFailed(_OfInstance, kw_only=True):
    reason: str


class NetworkDetached(_OfInstance, kw_only=True):
    """The NIC is gone, or its machine is."""

    nic: str


# --- from the loop itself --------------------------------------------------------------------------


class BatchesLoaded(_Event, kw_only=True):
    """Batches that were not in memory and that a later event of this turn requires."""

    batches: list[LoadedBatch]
    outside: dict[int, int]
    crossing: list[tuple[int, int]]


class InputsCached(_Event, kw_only=True):
    """All inputs of an attempt that was to be staged are bound, and in its worker's cache: nothing is to be moved."""

    task: int
    attempt: int
    inputs: list[Input]


class InputsCompared(_Event, kw_only=True):
    """Whether a task that was to run again has the inputs with which it had succeeded."""

    task: int
    same: bool


class ResultsUndeclared(_Event, kw_only=True):
    """An attempt's results were not asked for: its worker named one that the task does not declare."""

    task: int
    attempt: int
    #: In the datastore's tree.
    name: str


class OrdersLeftOut(_Event, kw_only=True):
    """Of the orders in a message to the datastore none was left to be sent: it will not be confirmed."""

    number: int


class BundlesKnown(_Event, kw_only=True):
    """What workers on machines of their own are to run from: Python and machine -> digest."""

    bundles: dict[str, str]


class StartTokenRefused(_Event, kw_only=True):
    """A start token that was used already was presented again."""

    worker: str
    reason: str


class LoginGranted(_Event, kw_only=True):
    """What a worker that an operator starts may say it is; None: its login is removed. It is on disk already."""

    worker: str
    grant: Grant | None


class TimePassed(_Event, kw_only=True):
    """A turn begins, or is due because a deadline may have come."""

    #: The wall clock, in seconds since the epoch, for rows and for users; 0.0: as it was.
    wall: float = 0.0


class StopAsked(_Event, kw_only=True):
    """The boss is to stop. `workers`: stop the instances of local pools too (the embedded case)."""

    workers: bool = True


Event = (
    WorkerReported
    | DatastoreReported
    | OtherVersionReported
    | PresenceSeen
    | LinkConnected
    | LinkDisconnected
    | Submitted
    | TasksAsked
    | PauseAsked
    | WorkerDrainAsked
    | QuarantineAsked
    | InstancesAsked
    | TerminateAsked
    | DropWorkersAsked
    | SendAsked
    | ResultsAsked
    | InstanceStarted
    | InstancePlaced
    | InstanceStartFailed
    | InstanceEnded
    | NetworkAttached
    | NetworkAttachFailed
    | NetworkDetached
    | BatchesLoaded
    | InputsCached
    | InputsCompared
    | OrdersLeftOut
    | ResultsUndeclared
    | BundlesKnown
    | StartTokenRefused
    | LoginGranted
    | TimePassed
    | StopAsked
)
