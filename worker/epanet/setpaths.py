"""The names of scenario columns: what a column sets, on which elements, and how a cell is read. Pure.

A set-path is `demand.multiplier`, a time (`duration`, `hydraulic_step`, `report_step`) or
`kind[selector].attribute`; with `*` or `*=` at its end the cell is a factor on the network's own value.
Which elements a network has is not known here (see `worker.epanet.changes`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from worker.epanet.errors import SpecificationError, did_you_mean

#: Attributes by kind of element; `leak` is another word for a junction's emitter.
ATTRIBUTES = {
    ("junction", "base_demand"): "base_demand",
    ("junction", "emitter"): "emitter",
    ("leak", "coeff"): "emitter",
    ("pipe", "roughness"): "roughness",
    ("pipe", "status"): "status",
    ("pump", "status"): "status",
}
TIMES = ("duration", "hydraulic_step", "report_step")
DEMAND_MULTIPLIER = "demand.multiplier"

#: Columns that are no set-paths: the row's number, and what is only carried along to `runs.parquet`.
SCENARIO_COLUMN = "scenario"
CARRIED = ("seed",)
CARRIED_PREFIX = "_"

_EXAMPLES = (
    DEMAND_MULTIPLIER,
    *TIMES,
    "junction[*].base_demand*",
    "junction[ID].base_demand",
    "junction[ID].emitter",
    "leak[ID].coeff",
    "pipe[*].roughness*",
    "pipe[ID].roughness",
    "pipe[ID].status",
    "pump[ID].status",
)
_ELEMENT_PATH = re.compile(r"(?P<kind>\w+)\[(?P<selector>.+)\]\.(?P<attribute>\w+)")
_STATUS = {"open": 1.0, "opened": 1.0, "1": 1.0, "closed": 0.0, "close": 0.0, "0": 0.0}
_TIME_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_TIME_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(d|h|min|m|s)")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
_LONGEST_SECONDS = 2**31 - 1


@dataclass(frozen=True)
class SetPath:
    """One column of a scenario table."""

    #: As it was written.
    name: str
    #: base_demand, emitter, roughness, status, demand.multiplier, or a time.
    attribute: str
    #: True: the cell is a factor on the network's own value.
    factor: bool = False
    #: junction, pipe, pump; empty for what belongs to the whole network.
    kind: str = ""
    #: An id, or a pattern with `*` and `?`.
    selector: str = ""


def is_carried(column: str) -> bool:
    return column in CARRIED or column.startswith(CARRIED_PREFIX)


def parse_set_path(name: str) -> SetPath:
    """Raises SpecificationError with the nearest known name."""
    text = name.strip()
    factor = text.endswith(("*", "*="))
    path = text.removesuffix("=").removesuffix("*") if factor else text.removesuffix("=")
    if path == DEMAND_MULTIPLIER:
        return SetPath(name, DEMAND_MULTIPLIER, factor)
    if path in TIMES:
        if factor:
            raise SpecificationError(f"column {name!r}: a time is set, not multiplied; write {path!r}")
        return SetPath(name, path)
    return _element_path(name, path, factor)


def _element_path(name: str, path: str, factor: bool) -> SetPath:
    match = _ELEMENT_PATH.fullmatch(path)
    attribute = ATTRIBUTES.get((match["kind"], match["attribute"])) if match else None
    if match is None or attribute is None:
        raise SpecificationError(f"column {name!r} is nothing that can be set{_nearest_path(path)}")
    if factor and attribute == "status":
        raise SpecificationError(f"column {name!r}: a status is open or closed and cannot be multiplied")
    kind = "junction" if match["kind"] == "leak" else match["kind"]
    return SetPath(name, attribute, factor, kind, match["selector"])


def _nearest_path(path: str) -> str:
    """The user's selector is put into each example, so that only the words around it are compared."""
    match = _ELEMENT_PATH.search(path)
    selector = match["selector"] if match else "ID"
    candidates = [re.sub(r"\[.*\]", lambda _: f"[{selector}]", example) for example in _EXAMPLES]
    return did_you_mean(path, candidates, count=1) or f"; known are {', '.join(_EXAMPLES)}"


def parse_cell(path: SetPath, cell: object, where: str) -> float | None:
    """The number a cell stands for; None (an empty cell, null) leaves the network's own value."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if path.attribute == "status":
        return _status(cell, where)
    if path.attribute in TIMES:
        return float(parse_seconds(cell, where, zero=path.attribute == "duration"))
    return _number(cell, where)


def _status(cell: object, where: str) -> float:
    word = str(int(cell)) if isinstance(cell, bool | float) and cell in (0, 1) else str(cell).strip().lower()
    if word not in _STATUS:
        raise SpecificationError(f"{where}: {cell!r} is no status; write open or closed")
    return _STATUS[word]


def _number(cell: object, where: str) -> float:
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        raise SpecificationError(f"{where}: {cell!r} is no number")
    if isinstance(cell, str) and not _NUMBER.fullmatch(
        cell.strip()
    ):  # float() takes 1_1 for 11, and other scripts' digits
        raise SpecificationError(f"{where}: {cell!r} is no number")
    try:
        value = float(cell)
    except (ValueError, OverflowError):
        raise SpecificationError(f"{where}: {cell!r} is no number") from None
    if not math.isfinite(value):
        raise SpecificationError(f"{where}: {cell!r} is not finite; EPANET would compute with it without a word")
    return value


def parse_seconds(cell: object, where: str, zero: bool = False) -> int:
    """Seconds as a number, or "24h", "5m", "1h 30m", "24:00", "1:30:00"."""
    seconds = _clock(cell) if isinstance(cell, str) else None
    if seconds is None:
        seconds = _number(cell, where)
    if seconds != int(seconds) or not (0 if zero else 1) <= seconds <= _LONGEST_SECONDS:
        raise SpecificationError(f"{where}: {cell!r} is no time in whole seconds{'' if zero else ' above 0'}")
    return int(seconds)


def _clock(text: str) -> float | None:
    text = text.strip().lower()
    if re.fullmatch(r"[0-9]+:[0-5][0-9](:[0-5][0-9])?", text):
        parts = [int(part) for part in text.split(":")]
        return sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if re.fullmatch(rf"({_TIME_PART.pattern}\s*)+", text):
        return sum(float(amount) * _TIME_UNITS[unit] for amount, unit in _TIME_PART.findall(text))
    return None
