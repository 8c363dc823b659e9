"""Effects: what is to be done after the commit. Imperative, values only; none returns anything.

What comes of an effect comes back as an event. None exists only as an effect: each can be derived again
from rows, so all may be lost with the boss at any moment.

Orders that require what only the database holds (a task's execution, its requirements) travel as the
`...Order` values below, with numbers only; `boss.dispatch` fills them in, in bulk, when they are performed.
"""

from __future__ import annotations

import msgspec

from boss.core.reasons import Rejection
from boss.core.rows import FileRow
from wire.messages import (
    VERSION,
    Abandon,
    Acknowledge,
    Collect,
    Drain,
    Forget,
    Kill,
    LookUp,
    Place,
    Replace,
    Resume,
    SayHello,
    Send,
    Staged,
    Stop,
    TakeBack,
    Welcome,
)


class _Effect(msgspec.Struct, frozen=True):
    """What all have in common."""


class RunOrder(_Effect, frozen=True, kw_only=True):
    """Becomes wire.messages.Run."""

    task: int
    attempt: int
    batch: int
    staging: bool
    inits: tuple[int, ...] = ()
    init: bool = False


class StageOrder(_Effect, frozen=True, kw_only=True):
    """Becomes wire.messages.Stage: its inputs are read from the task's requirements."""

    task: int
    attempt: int
    worker: str
    place: Place
    #: False: not all of them are in the worker's cache, whatever is known of it; it has reported so.
    cached: bool = True


class LookUpOrder(_Effect, frozen=True, kw_only=True):
    """Becomes wire.messages.LookUp of all the task's declared results."""

    task: int


class StoreOrder(_Effect, frozen=True, kw_only=True):
    """Becomes wire.messages.Store."""

    file: FileRow


ToWorker = SayHello | RunOrder | Staged | TakeBack | Kill | Acknowledge | Drain | Resume | Stop | Welcome | Replace
ToDatastore = SayHello | StageOrder | LookUpOrder | LookUp | StoreOrder | Collect | Abandon | Forget | Send


class SendToWorker(_Effect, frozen=True, kw_only=True):
    """One WorkerOrders message."""

    worker: str
    incarnation: str
    number: int
    orders: list[ToWorker]
    #: Of the protocol, as its receiver uses it.
    version: int = VERSION


class SendToDatastore(_Effect, frozen=True, kw_only=True):
    """One DatastoreOrders message."""

    incarnation: str
    number: int
    orders: list[ToDatastore]


class ClearPresence(_Effect, frozen=True, kw_only=True):
    """Take away the retained presence of a worker that is gone for good."""

    worker: str


class Answer(_Effect, frozen=True, kw_only=True):
    """Answer the request that waits. Exactly one of `rejections` and `value` counts."""

    reply: int
    #: All that was wrong; nothing was changed.
    rejections: list[Rejection] = msgspec.field(default_factory=list)
    value: dict[str, object] = msgspec.field(default_factory=dict)


class CompareInputs(_Effect, frozen=True, kw_only=True):
    """Are the inputs of this task those of its attempt? Answered InputsCompared."""

    task: int
    attempt: int
    #: Tasks on which it depends that were run again since: each must hand it results.
    parents: tuple[int, ...]


class OfInstance(_Effect, frozen=True, kw_only=True):
    """For the provider of its pool."""

    instance: int
    pool: str


class StartInstance(OfInstance, frozen=True, kw_only=True):
    """Make one; the intent is on disk. Answered InstanceStarted or InstanceStartFailed."""

    worker: str


class StopInstance(OfInstance, frozen=True, kw_only=True):
    """Stop one. Answered InstanceEnded."""

    worker: str
    reference: str


class AttachNetwork(OfInstance, frozen=True, kw_only=True):
    """A further NIC for its machine. Answered NetworkAttached or NetworkAttachFailed; asking again is no error."""

    reference: str
    network: str


class DetachNetwork(OfInstance, frozen=True, kw_only=True):
    """Remove that NIC. Answered NetworkDetached."""

    reference: str
    nic: str


class EndBoss(_Effect, frozen=True, kw_only=True):
    """All that had to be sent is sent: the program may stop."""


Effect = SendToWorker | SendToDatastore | CompareInputs | ClearPresence | Answer | OfInstance | EndBoss
