"""Where boss and datastore are, and the settings in effect, as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from boss.api.schema import ContextAnswer
from boss.cli.target import ShownSetting
from boss.cli.terminal import harmless


def context_lines(answer: ContextAnswer) -> Iterator[str]:
    yield f"boss_address: {harmless(answer.boss_address)}"
    yield f"datastore_address: {harmless(answer.datastore_address)}"
    yield from (f"Note: {harmless(note)}." for note in answer.notes)


def setting_lines(shown: Sequence[ShownSetting]) -> Iterator[str]:
    """Name, value and where that came from, in columns."""
    width = max(len(each.name) for each in shown)
    return (f"{each.name:{width}}  {harmless(each.value)}  ({harmless(each.origin)})" for each in shown)
