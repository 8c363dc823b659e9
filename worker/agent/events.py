"""What happens to a worker's agent: the only way in. Values only; nothing here knows who tells them."""

from __future__ import annotations

from typing import Literal

import msgspec

from wire.messages import Digest, Outcome, Presence, WorkerOrders
from worker.agent.effects import OfAttempt


class OrdersArrived(msgspec.Struct, frozen=True):
    """A message came in on the worker's orders topic."""

    message: WorkerOrders


class BossSeen(msgspec.Struct, frozen=True):
    """The boss's presence was read. `retained`: it stood there before this connection was made."""

    presence: Presence
    retained: bool = False


class LinkConnected(msgspec.Struct, frozen=True):
    """The broker is there and all subscriptions are granted."""


class LinkDisconnected(msgspec.Struct, frozen=True):
    """The broker is gone; what was on its way may be lost."""


class InputsPlaced(OfAttempt, frozen=True):
    """All inputs lie in the attempt's working directory."""


class InputsNotPlaced(OfAttempt, frozen=True):
    """Some input is not in the cache or was damaged there (`missing`), or could not be written (`reason`)."""

    missing: list[Digest] = msgspec.field(default_factory=list)
    reason: str = ""
    fault: Literal["task", "worker"] = "worker"


class ExecutionEnded(msgspec.Struct, frozen=True):
    """All processes of the attempt are gone and its results, if it succeeded, are listed."""

    outcome: Outcome
    #: True: the attempt's directory is still there.
    leftovers: bool = False


class ProgressReported(OfAttempt, frozen=True):
    """A running attempt said which fraction of its work is done."""

    fraction: float


class CacheChanged(msgspec.Struct, frozen=True):
    """Digests that were used in or entered the input cache, and those that left it."""

    cached: list[Digest] = []
    dropped: list[Digest] = []


class DiskMeasured(msgspec.Struct, frozen=True):
    """Free bytes below the worker's home. Before the failure of an attempt is reported as well."""

    free: int
    #: The disk is all but full.
    low: bool = False


class SizesMeasured(msgspec.Struct, frozen=True):
    """What attempts that execute have written: (task, attempt, bytes beyond their inputs)."""

    grown: list[tuple[int, int, int]]
    free: int
    #: The disk is all but full.
    low: bool


class BundleFetched(msgspec.Struct, frozen=True):
    """The boss's version of this program is here and will be started when this one ends with REPLACED."""

    digest: str


class BundleNotFetched(msgspec.Struct, frozen=True):
    """It could not be had, for a while."""

    digest: str


class TermReceived(msgspec.Struct, frozen=True):
    """The program was asked to stop: the first time politely, the second time at once."""


class OtherAgentSeen(msgspec.Struct, frozen=True):
    """Another agent with this worker's id came online later than this one."""

    incarnation: str


class Suspended(msgspec.Struct, frozen=True):
    """The machine was suspended for so long, which its clock does not count."""

    seconds: float


class TimePassed(msgspec.Struct, frozen=True):
    """The deadline that the agent asked for has come (or some time has passed: it is always harmless)."""


Event = (
    OrdersArrived
    | BossSeen
    | LinkConnected
    | LinkDisconnected
    | InputsPlaced
    | InputsNotPlaced
    | ExecutionEnded
    | ProgressReported
    | CacheChanged
    | DiskMeasured
    | SizesMeasured
    | BundleFetched
    | BundleNotFetched
    | TermReceived
    | OtherAgentSeen
    | Suspended
    | TimePassed
)
