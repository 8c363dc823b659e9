"""Why something does not go on: kinds as enumerations, each with a sentence beside it.

Whoever decides looks at the kind. The sentence is for people and for nobody else: it may be worded anew at any time.
Both stand beside one another in the rows. Values only; who makes them stands at each enumeration.
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
DISTRUSTED = frozenset({QuarantineKind.OTHER_HOST_KEY, QuarantineKind.NO_HOST_KEY, QuarantineKind.UNTRUSTED})
#: Only a user releases these: no probe, and no weaker reason in their place.
LASTING = DISTRUSTED | {QuarantineKind.OPERATOR}


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
