"""Times and amounts of memory as users write them: `90`, `"5m"`, `"1h30m"`, `"2GB"`, `"512 MiB"`.

It knows units and nothing of tasks. Values that are not understood give None; ranges are judged in `rules`.
"""

from __future__ import annotations

import re

from boss.common.units import BINARY, DECIMAL, SECONDS

#: The JSON Schema has the same two patterns; a test compares them.
_NUMBER = r"[0-9]{1,12}(\.[0-9]{1,9})?"
DURATION = rf"^(?=.)({_NUMBER}d)?({_NUMBER}h)?({_NUMBER}m)?({_NUMBER}s)?$"
MEMORY = rf"^{_NUMBER} ?(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB|K|M|G|T)$"

_DURATION = re.compile(DURATION)
_MEMORY = re.compile(MEMORY)
_PARTS = re.compile(r"(\d+(?:\.\d+)?)([dhms])")


def seconds_of(text: str) -> float | None:
    """Seconds in `"5m"`, `"1h30m"`, `"2.5s"`, `"1d"`; None when it is no such text."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * SECONDS[unit] for number, unit in _PARTS.findall(text))


def bytes_of(text: str) -> int | None:
    """Bytes in `"2GB"` (1000s), `"2GiB"` or `"2G"` (1024s, as `ulimit` and Slurm count)."""
    if not _MEMORY.fullmatch(text):
        return None
    number = re.match(r"[\d.]+", text)
    assert number is not None
    unit = text[number.end() :].strip()
    return round(float(number.group()) * _factor(unit))


def _factor(unit: str) -> int:
    if unit == "B":
        return 1
    decimal = unit.endswith("B") and "i" not in unit
    return (DECIMAL if decimal else BINARY)[unit[0].lower()]
