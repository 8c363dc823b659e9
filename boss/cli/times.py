"""A moment in the past as people write it: `10m`, `2h`, `2026-11-21 04:00`. Pure; now is an argument."""

from __future__ import annotations

import re
from datetime import datetime

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")


def moment_of(words: str, now: float) -> float:
    """Seconds since 1970. A date without a zone is of this machine's own. Raises ValueError with a sentence."""
    words = words.strip()
    ago = _AGO.fullmatch(words)
    if ago:
        return now - float(ago[1]) * _UNITS[ago[2]]
    try:
        return datetime.fromisoformat(words).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"{words!r} is no time: write how long ago (90s, 10m, 2h, 3d) or when (2026-11-21 04:00)"
        ) from None
