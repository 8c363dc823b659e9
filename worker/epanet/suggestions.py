"""The known word that a mistyped one is probably meant to be, as the end of a sentence about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6, count: int = 3) -> str:
    """`; did you mean 'x' or 'y'?`; empty where nothing is alike."""
    near = difflib.get_close_matches(name, list(known), count, cutoff)
    return f"; did you mean {' or '.join(repr(word) for word in near)}?" if near else ""


def suggestion(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """What was meant; where nothing is alike, all that is known, if it is not much."""
    known = list(known)
    return did_you_mean(name, known, cutoff) or (f"; known are {', '.join(known)}" if 0 < len(known) <= 12 else "")
