"""Why something does not go on: kinds as enumerations, each with a sentence beside it.

Code decides by the kind. The sentence is for users only: it may be worded otherwise at any time.
Both stand beside one another in the rows. Values only; each enumeration names what makes them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

K = TypeVar("K", bound=StrEnum)


class Reason(msgspec.Struct, Generic[K], frozen=True):
    """One reason of one sort."""

    kind: K
    text: str


class QuarantineKind(StrEnum):
    """Why a worker gets nothing new (`boss.core.quarantine`)."""

    #: A user asked for it.
    OPERATOR = "operator"
    #: It said hello with another host key than the pinned one; with none; its host sent what no honest one sends.
    OTHER_HOST_KEY = "other_host_key"
    NO_HOST_KEY = "no_host_key"
    UNTRUSTED = "untrusted"
    #: Attempts of several tasks failed in a row by its own fault; an init task failed there again and again; the
    #: results of an attempt were not what it had reported.
    FAILURES = "failures"
    INIT_TASK = "init_task"
    RESULTS = "results"


#: Its host is not trusted: what it reports is not believed.
UNTRUSTED_HOST = frozenset({QuarantineKind.OTHER_HOST_KEY, QuarantineKind.NO_HOST_KEY, QuarantineKind.UNTRUSTED})
#: Only a user releases these: no probe, and no weaker reason in their place.
LASTING = UNTRUSTED_HOST | {QuarantineKind.OPERATOR}


class Quarantine(Reason[QuarantineKind], frozen=True):
    """Why one worker gets nothing new."""


class PauseKind(StrEnum):
    """Why the queued tasks of a batch wait until a user resumes it (`boss.core.pausing`)."""

    #: A user asked for it.
    OPERATOR = "operator"
    #: It has used up the worker-hours that its pool gives a batch.
    BUDGET = "budget"
    #: One of its init tasks can run nowhere.
    INIT_TASK = "init_task"


class Pause(Reason[PauseKind], frozen=True):
    """Why the queued tasks of one batch wait."""


class NotMoreKind(StrEnum):
    """Why a pool is not given more workers (`boss.core.scaling`)."""

    #: There are as many as the settings allow.
    LIMIT = "limit"
    #: The pool cannot grow at present: a quota, no address left, no host free.
    CANNOT_GROW = "cannot_grow"
    #: The month's budget leaves no more.
    BUDGET = "budget"
    #: Starts have failed: none until a pause is over; one, to see whether the next works.
    FAILURES = "failures"
    ONE_TRY = "one_try"
    #: As many are requested at a time as the settings allow.
    STARTS_AT_ONCE = "starts_at_once"
    #: One more would save less than it costs; all that will be demanded is there; nothing will be demanded.
    NOT_WORTH_IT = "not_worth_it"
    ENOUGH = "enough"
    NO_WORK = "no_work"
    #: There is work since the last decision; the next one follows within seconds.
    UNDECIDED = "undecided"


class NotMore(Reason[NotMoreKind], frozen=True):
    """Why one pool is not given more workers."""


class NotFewerKind(StrEnum):
    """Why a pool keeps the workers that it has (`boss.core.scaling`)."""

    #: It grows: each new one is worth its boot.
    WORTH_IT = "worth_it"
    #: They will be required within the time that stopping and booting them again takes.
    WANTED_SOON = "wanted_soon"
    #: There are as few as the settings allow.
    MINIMUM = "minimum"
    #: They have not been idle for long enough; they work.
    JUST_IDLE = "just_idle"
    BUSY = "busy"


class NotFewer(Reason[NotFewerKind], frozen=True):
    """Why one pool keeps its workers."""


class RejectionKind(StrEnum):
    """Why a push or a command was rejected, and nothing changed."""

    #: No boss takes it at present: it is about to stop, or another one has its database. Try again.
    UNAVAILABLE = "unavailable"
    #: Of a push: an id that another batch of the project has; a result that another task of it declares; a
    #: dependency that is nowhere; a task that would wait for itself; tasks that run now and would begin again.
    ID_CLASH = "id_clash"
    UNCONFIRMED = "unconfirmed"
    RESULT_CLASH = "result_clash"
    UNKNOWN_DEPENDENCY = "unknown_dependency"
    CYCLE = "cycle"
    #: Of a command: there is no such worker, or pool; the worker's machine is about to stop.
    UNKNOWN_WORKER = "unknown_worker"
    UNKNOWN_POOL = "unknown_pool"
    WORKER_ENDS = "worker_ends"
    #: Of a file that is requested from the datastore: it is not connected; it cannot send the file.
    NO_DATASTORE = "no_datastore"
    NOT_SENT = "not_sent"
    #: The database refuses what is to be recorded of it.
    NOT_RECORDED = "not_recorded"


class Rejection(Reason[RejectionKind], frozen=True):
    """One thing that was wrong with a push or a command."""


class MessageRejection(StrEnum):
    """Why a message was dropped before anything of it was read."""

    #: More bytes than a message may have.
    TOO_LARGE = "too_large"
    #: It fits no schema: no JSON, another shape, a number or text out of its bounds.
    MALFORMED = "malformed"
    #: On a topic of no worker; a presence in the name of another agent.
    MISPLACED = "misplaced"
    #: More of its sender waits already than the boss keeps for one.
    TOO_MANY = "too_many"


class ReportRejection(StrEnum):
    """Why a report of a worker or of the datastore was dropped whole."""

    #: It names another worker than the topic on which it came.
    OTHER_WORKER = "other_worker"
    #: It is for another deployment.
    OTHER_DEPLOYMENT = "other_deployment"
    DATASTORE_OF_OTHER_DEPLOYMENT = "datastore_of_other_deployment"
    #: A former incarnation sent it, or one whose instance has ended meanwhile.
    FORMER_INCARNATION = "former_incarnation"
    #: The agent uses another version of the protocol (`boss.core.other_version`).
    OTHER_VERSION = "other_version"
    #: Its agent was started too often in a short time: it is heard again a little later.
    STARTED_TOO_OFTEN = "started_too_often"
    #: It comes from a host with another key than the pinned one.
    OTHER_HOST_KEY = "other_host_key"
