"""Units of time and memory, and how much each is. What may be written where is judged by who reads it."""

from __future__ import annotations

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

#: Seconds in each unit of time.
SECONDS = {"s": 1.0, "m": MINUTE, "h": HOUR, "d": DAY}
#: Bytes in each multiple: kB, MB, GB, TB ...
DECIMAL: dict[str, int] = {letter: 1000**power for power, letter in enumerate("kmgt", 1)}
#: ... and KiB, MiB, GiB, TiB.
BINARY: dict[str, int] = {letter: 1024**power for power, letter in enumerate("kmgt", 1)}
