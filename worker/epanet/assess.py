"""Whether a scenario's results can be believed: its row in `runs.parquet`, and a sentence for users; and what they
sum up to, with which a task is content or not.

Pure judgement over solutions. EPANET itself calls all of these a success: a halted run, results that are
not numbers, pressures of a million metres where nodes are cut off from every source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.epanet.errors import StrictError, TooManyFailedError
from worker.epanet.library import text_of
from worker.epanet.solve import PRESSURE, Solution
from worker.epanet.specification import BatchOptions

#: In the order of severity. Only `ok` and `warned` have results to compute with.
STATUSES = ("ok", "warned", "absurd", "nan", "halted", "error")
USABLE = ("ok", "warned")

#: No real network has such a pressure, in any unit.
ABSURD_PRESSURE = 1e6
#: Scenarios that are not ok and get a sentence of their own.
_SENTENCES = 20


@dataclass
class RunRow:
    """One scenario in `runs.parquet`, without the values that were set."""

    scenario: int
    status: str = "error"
    #: EPANET's error code, else that of the first warning, else 0.
    code: int = 0
    text: str = ""
    #: All warning codes, such as "4,6", and at how many steps there was one.
    warning_codes: str = ""
    warned_steps: int = 0
    first_warning_time: int | None = None
    periods: int = 0
    expected_periods: int = 0
    min_pressure: float | None = None
    min_pressure_node: str | None = None
    min_pressure_time: int | None = None
    wall_ms: float = 0.0


def assess(scenario: int, solution: Solution, junctions: list[int], ids: list[str]) -> RunRow:
    row = RunRow(scenario, periods=len(solution.times), expected_periods=solution.expected)
    row.status = _status(solution)
    row.code = solution.error or (solution.warnings[0][1] if solution.warnings else 0)
    row.text = _text(row.status, solution)
    if solution.warnings:
        row.warning_codes = ",".join(str(code) for code in sorted({code for _, code in solution.warnings}))
        row.warned_steps = len(solution.warnings)
        row.first_warning_time = solution.warnings[0][0]
    _find_lowest(row, solution, junctions, ids)
    return row


def _status(solution: Solution) -> str:
    pressure = solution.values[PRESSURE]
    if solution.error:
        return "error"
    if len(solution.times) != solution.expected:
        return "halted"
    if not all(np.isfinite(values).all() for values in solution.values.values()):
        return "nan"
    if pressure.size and max(pressure.max(), -pressure.min()) >= ABSURD_PRESSURE:
        return "absurd"
    return "warned" if solution.warnings else "ok"


def _text(status: str, solution: Solution) -> str:
    codes = dict.fromkeys(code for _, code in solution.warnings)
    parts = [solution.error_text] if solution.error else []
    if status == "halted":
        parts.append(f"halted at {clock(solution.reached)}, {len(solution.times)} of {solution.expected} report times")
    if status == "nan":
        parts.append("results are not numbers")
    if status == "absurd":
        pressure = solution.values[PRESSURE]
        worst = pressure.flat[np.abs(pressure).argmax()]
        parts.append(f"pressure {worst:.3g} is absurd (nodes without a source?)")
    return "; ".join(parts + [text_of(code) for code in codes])


def _find_lowest(row: RunRow, solution: Solution, junctions: list[int], ids: list[str]) -> None:
    """Of junctions only: a reservoir's pressure is always 0."""
    pressure = solution.values[PRESSURE]
    if len(junctions) < len(ids):
        pressure = pressure[:, junctions]
    if not pressure.size or row.status == "nan":
        return
    period, column = divmod(int(pressure.argmin()), pressure.shape[1])
    row.min_pressure = float(pressure[period, column])
    row.min_pressure_node = ids[junctions[column]]
    row.min_pressure_time = solution.times[period]


def sentence(row: RunRow, unit: str) -> str:
    """What to tell about a scenario that is not ok."""
    parts = [f"scenario {row.scenario} {row.status}: {row.text}"]
    if row.first_warning_time is not None:
        parts.append(f"first at {clock(row.first_warning_time)}, {row.warned_steps} steps")
    if row.min_pressure is not None:
        at = clock(row.min_pressure_time or 0)
        parts.append(f"min pressure {row.min_pressure:.4g} {unit} at node {row.min_pressure_node}, {at}")
    return "; ".join(parts)


def clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}" + (f":{seconds % 60:02d}" if seconds % 60 else "")


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
