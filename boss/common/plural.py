"""Counts in sentences."""

from __future__ import annotations


def plural(count: int, word: str, words: str = "") -> str:
    """`1 task`, `2,000 tasks`. `words`: where the plural has more than an s at its end."""
    return f"1 {word}" if count == 1 else f"{count:,} {words or f'{word}s'}"
