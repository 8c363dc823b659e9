"""Whether what a worker names as its results is what its task declares. Pure text: names against results and patterns.

A worker that names another target would replace other tasks' results, a whole folder of them at once.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from wire.messages import Collect, ResultItem
from wire.patterns import Pattern, fixed_part, folders_above, is_pattern


class _Declared(msgspec.Struct):
    """The part of an Execution that is read."""

    results: list[ResultItem] = []


_decode = msgspec.json.Decoder(_Declared).decode


def undeclared(order: Collect, execution: bytes, prefix: str) -> str:
    """The first name of the order that the task does not declare, in the datastore's tree; empty: there is none.

    `execution`: its JSON. `prefix`: where the names of the task's project begin.
    """
    declared = _Names(_decode(execution).results)
    for names, covers in (
        ((file.target for file in order.files), declared.covers_file),
        ((folder.target for folder in order.folders), declared.covers),
    ):
        for name in names:
            if not (name.startswith(prefix) and covers(name[len(prefix) :])):
                return name
    return ""


class _Names:
    def __init__(self, results: Iterable[ResultItem]) -> None:
        self._single: set[str] = set()
        #: (pattern, its fixed part, the fixed part of its target)
        self._patterns: list[tuple[Pattern, str, str]] = []
        for item in results:
            self._single.add(item.target)
            if is_pattern(item.source):
                self._patterns.append((Pattern(item.source), fixed_part(item.source), fixed_part(item.target)))

    def covers_file(self, name: str) -> bool:
        """A result, or in a result that is a folder."""
        return self.covers(name) or any(self.covers(folder) for folder in folders_above(name))

    def covers(self, name: str) -> bool:
        return name in self._single or any(self._is_match(name, *each) for each in self._patterns)

    @staticmethod
    def _is_match(name: str, pattern: Pattern, source: str, target: str) -> bool:
        if target and not name.startswith(f"{target}/"):
            return False
        inner = name[len(target) + 1 :] if target else name
        return pattern.matches(f"{source}/{inner}" if source else inner)
