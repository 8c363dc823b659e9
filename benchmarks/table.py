"""The rows of the report, and how they are printed. Values and text only."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from pathlib import Path


@dataclasses.dataclass(kw_only=True)
class Row:
    """One measured thing."""

    name: str
    #: Which parts took part.
    parts: str = ""
    count: int = 0
    seconds: float = 0.0
    #: Tasks a second; 0 where that is no sensible figure.
    rate: float = 0.0
    #: The rate as a share of the floor's in the same run.
    of_floor: float = 0.0
    #: The floor's CPU time a process as a share of this row's a task: what other load on the machine hardly changes.
    cpu_of_floor: float = 0.0
    #: Microseconds of CPU time a task, by part.
    cpu: dict[str, float] = dataclasses.field(default_factory=dict)
    #: What else there is to say.
    more: str = ""
    target: str = ""


def text(rows: list[Row]) -> str:
    """A table for users."""
    head = ("what", "parts", "tasks", "seconds", "tasks/s", "of floor", "by CPU", "CPU us/task", "target and remarks")
    lines = [head, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    left = (0, 1, 7, 8)
    shown = (
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
    return "\n".join(shown)


def markdown(rows: list[Row]) -> str:
    """The same for docs/performance.md."""
    head = ("what", "parts", "tasks", "seconds", "tasks/s", "of floor", "by CPU", "CPU µs/task", "target and remarks")
    lines = [head, ("---",) * len(head), *map(_cells, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def as_json(rows: list[Row]) -> str:
    return json.dumps({"machine": machine(), "rows": [dataclasses.asdict(row) for row in rows]}, indent=2)


def machine() -> str:
    """In one line: processors, system, Python, load."""
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    return f"{cores} x {_processor()}, Linux {platform.release()}, Python {platform.python_version()}, load {load:.1f}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        row.parts,
        f"{row.count:,}" if row.count else "",
        f"{row.seconds:.3g}" if row.seconds < 100 else f"{row.seconds:.0f}",
        f"{row.rate:,.0f}" if row.rate else "",
        f"{row.of_floor:.2f}" if row.of_floor else "",
        f"{row.cpu_of_floor:.2f}" if row.cpu_of_floor else "",
        " ".join(f"{name} {value:.0f}" for name, value in row.cpu.items() if value >= 0.5),
        "; ".join(filter(None, (row.target, row.more))),
    )
