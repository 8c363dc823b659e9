"""Moments as users read and write them. Seconds since 1970 on our side; now is an argument."""

from __future__ import annotations

import re
import time
from datetime import datetime

from boss.common.units import SECONDS

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")


def format_moment(wall: float) -> str:
    """2026-11-21 04:00:00, in this machine's own zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall))


def format_utc(wall: float) -> str:
    """2026-11-21 04:00:00 UTC, for what is read in several zones, or on several machines."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(wall))


def format_clock(wall: float) -> str:
    """04:00:00, in this machine's own zone, for what happens within hours."""
    return time.strftime("%H:%M:%S", time.localtime(wall))


def parse_moment(words: str, now: float) -> float:
    """The moment of `10m` (ago), `2h`, `2026-11-21 04:00` (this machine's zone if it names none).

    Raises ValueError with a sentence.
    """
    words = words.strip()
    ago = _AGO.fullmatch(words)
    if ago:
        return now - float(ago[1]) * SECONDS[ago[2]]
    try:
        return datetime.fromisoformat(words).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"{words!r} is no time: write how long ago (90s, 10m, 2h, 3d) or when (2026-11-21 04:00)"
        ) from None
