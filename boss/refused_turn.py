"""What becomes of a turn that the database refuses because of a row in it. Values only.

One bad row is not to stop the boss, nor the next one, to which the same reports would come again. So the loop drops its
memory, reads it back from the database as a start does, and takes the events again: of an attempt whose row is known to
be refused the outcome comes as a failure without what made the row; else the events are taken again in halves until the
one is found.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import msgspec

from boss.core.effects import Answer
from boss.core.events import Event, WorkerReported
from boss.core.reasons import Rejection, RejectionKind
from wire.messages import Outcome, WorkerReport

#: Attempts that are remembered at a time: a worker reports an outcome until it is acknowledged.
MAX_REMEMBERED = 1_000


class RefusedOutcomes:
    """The attempts whose outcomes cannot be recorded as they are reported, and why."""

    def __init__(self) -> None:
        self._why: OrderedDict[tuple[int, int], str] = OrderedDict()

    def add(self, attempt: tuple[int, int], why: str) -> bool:
        """False: it is known, and what is left of its outcome is refused as well."""
        if attempt in self._why:
            return False
        self._why[attempt] = why
        if len(self._why) > MAX_REMEMBERED:
            self._why.popitem(last=False)
        return True

    def recordable(self, event: Event) -> Event:
        """The event as the scheduler is to have it."""
        if not self._why or not isinstance(event, WorkerReported):
            return event
        message = event.message
        if not any(key in self._why for key in outcomes(event)):
            return event
        return WorkerReported(
            worker=event.worker,
            message=msgspec.structs.replace(message, reports=list(map(self._recordable, message.reports))),
        )

    def _recordable(self, report: WorkerReport) -> WorkerReport:
        why = self._why.get((report.task, report.attempt)) if isinstance(report, Outcome) else None
        if why is None or not isinstance(report, Outcome):
            return report
        return Outcome(
            task=report.task,
            attempt=report.attempt,
            ended="failed",
            reason=f"its outcome cannot be recorded: {why}",
            seconds=report.seconds,
        )


def outcomes(event: Event) -> Iterator[tuple[int, int]]:
    """The attempts whose outcomes the event reports."""
    if isinstance(event, WorkerReported):
        for report in event.message.reports:
            if isinstance(report, Outcome):
                yield report.task, report.attempt


def refusal(event: Event, why: str) -> Answer | None:
    """For the client that waits for what the event asks; None: none does."""
    reply = getattr(event, "reply", 0)
    if reply <= 0:
        return None
    text = f"the boss's database refuses it, and nothing was changed: {why}"
    return Answer(reply=reply, rejections=[Rejection(RejectionKind.NOT_RECORDED, text)])
