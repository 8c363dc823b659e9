"""What a finished batch tells, and whether its task is content with it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from worker.epanet.assess import STATUSES, USABLE, RunRow, sentence
from worker.epanet.errors import StrictError, TooManyFailedError
from worker.epanet.specification import BatchOptions

#: Scenarios that are not ok and get a sentence of their own.
_SENTENCES = 20


@dataclass(frozen=True)
class BatchSummary:
    #: For the task's outcome: scenarios, ok, warned, halted, failed, seconds.
    figures: dict[str, float]
    #: "998 ok, 2 warned", and a sentence for each of the first that are not ok.
    lines: list[str]


def sum_up(rows: Sequence[RunRow], unit: str, seconds: float) -> BatchSummary:
    counts = Counter(row.status for row in rows)
    figures = {
        "scenarios": len(rows),
        "ok": counts["ok"],
        "warned": counts["warned"],
        "halted": counts["halted"],
        "failed": counts["error"] + counts["nan"] + counts["absurd"],
        "seconds": seconds,
    }
    parts = [f"{counts[status]} {status}" for status in STATUSES if counts[status]]
    lines = [f"{len(rows)} scenario{'s' if len(rows) != 1 else ''}: {', '.join(parts)}"]
    noteworthy = [row for row in rows if row.status != "ok"]
    lines += [sentence(row, unit) for row in noteworthy[:_SENTENCES]]
    if len(noteworthy) > _SENTENCES:
        lines.append(f"and {len(noteworthy) - _SENTENCES} more, see runs.parquet")
    return BatchSummary({name: float(value) for name, value in figures.items()}, lines)


def refuse_failures(options: BatchOptions, rows: Sequence[RunRow], figures: dict[str, float]) -> None:
    """Raises StrictError or TooManyFailedError; the files are complete all the same."""
    failed = sum(row.status not in USABLE for row in rows)
    not_ok = sum(row.status != "ok" for row in rows)
    if options.strict == "warn" and not_ok:
        raise StrictError(f"{not_ok} of {len(rows)} scenarios are not ok, and options.strict asks for all", figures)
    if options.strict == "error" and failed:
        raise StrictError(f"{failed} of {len(rows)} scenarios failed, and options.strict allows none", figures)
    if options.max_failed is not None and failed > options.max_failed:
        reason = f"{failed} of {len(rows)} scenarios failed; options.max_failed is {options.max_failed}"
        raise TooManyFailedError(reason, figures)
