"""From reports to messages: numbered, with the confirmations, cut to the size of a payload. Pure.

The agent says things one by one; a turn's worth goes out in one message. What was said while there was no
connection is dropped, because a hello follows and the boss asks again.
"""

from __future__ import annotations

import msgspec

from datastore.agent.effects import Confirm, Report
from wire.codec import MAX_BYTES, MessageTooLargeError, encode
from wire.messages import REASON_KEPT, VERSION, DatastoreReport, DatastoreReports, shortened


class Outgoing:
    def __init__(self, deployment: str, incarnation: str, limit: int = MAX_BYTES) -> None:
        self._deployment = deployment
        self._incarnation = incarnation
        self._limit = limit
        self._number = 0
        self._epoch = 0
        self._confirms: list[int] = []
        self._reports: list[DatastoreReport] = []
        #: Reports too large for any message; there should be none.
        self.too_large: list[DatastoreReport] = []

    def add(self, effect: Report | Confirm) -> None:
        if isinstance(effect, Report):
            self._reports.append(_shortened(effect.report))
            return
        if effect.epoch != self._epoch:
            self._epoch = effect.epoch
            self._confirms = []
        self._confirms.append(effect.number)

    def clear(self) -> None:
        self._confirms = []
        self._reports = []

    def messages(self) -> list[DatastoreReports]:
        """All that waits, as messages in order; nothing waits afterwards."""
        if not self._reports and not self._confirms:
            return []
        reports, confirms = self._reports, self._confirms
        self.clear()
        return self._cut(reports, confirms)

    def _cut(self, reports: list[DatastoreReport], confirms: list[int]) -> list[DatastoreReports]:
        message = DatastoreReports(
            version=VERSION,
            deployment=self._deployment,
            incarnation=self._incarnation,
            number=self._number + 1,
            epoch=self._epoch,
            confirms=confirms,
            reports=reports,
        )
        try:
            encode(message, self._limit)
        except MessageTooLargeError:
            if len(reports) < 2:
                self.too_large += reports
                return self._cut([], confirms) if confirms and reports else []
            half = len(reports) // 2
            return self._cut(reports[:half], confirms) + self._cut(reports[half:], [])
        self._number += 1
        return [message]


def _shortened(report: DatastoreReport) -> DatastoreReport:
    """With its reason as long as a message may hold."""
    for field in ("reason", "warning"):
        if len(getattr(report, field, "")) > REASON_KEPT:
            return msgspec.structs.replace(report, **{field: shortened(getattr(report, field))})
    return report
