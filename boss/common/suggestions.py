"""The known word that a mistyped one is probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The known word that is most alike, by `difflib`'s ratio of at least `cutoff`; empty: none is."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)), "")


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`; did you mean 'x'?`, the end of a sentence about an unknown word; empty where nothing is alike."""
    near = nearest(word, known, cutoff)
    return f"; did you mean {near!r}?" if near else ""
