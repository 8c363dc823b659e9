"""The dependencies of one push as a graph: cycles, and rows of dependencies in compact arrays.

Positions only; it knows no ids and no tasks. Rows are compressed sparse rows: what task i depends on is
`targets[starts[i]:starts[i + 1]]`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

#: So many cycles are reported; who has more has one mistake that makes many.
CYCLES_SHOWN = 10


def build_rows(
    starts: array[int], targets: array[int], more: Iterable[tuple[int, int]]
) -> tuple[array[int], array[int]]:
    """The rows without doubles, with further (task, target) pairs merged in. Negative targets are left out."""
    extra: dict[int, list[int]] = {}
    for index, target in more:
        extra.setdefault(index, []).append(target)
    new_starts, new_targets = array("I", [0]), array("I")
    for index in range(len(starts) - 1):
        row = [target for target in targets[starts[index] : starts[index + 1]] if target >= 0]
        row.extend(extra.get(index, ()))
        new_targets.extend(dict.fromkeys(row))
        new_starts.append(len(new_targets))
    return new_starts, new_targets


def find_cycles(starts: array[int], targets: array[int], limit: int = CYCLES_SHOWN) -> list[list[int]]:
    """Cycles, each as the tasks in the order of `depends on`; empty when there is none, and only then."""
    if _in_order(starts, targets):
        return []
    return _Walk(starts, targets, limit).cycles()


def _in_order(starts: array[int], targets: array[int]) -> bool:
    """True when every task stands after all that it depends on: such a file has no cycle, and most are so."""
    first = 0
    for index, last in enumerate(starts[1:]):
        if last > first and max(targets[first:last]) >= index:
            return False
        first = last
    return True


class _Walk:
    """Depth first through all tasks, without recursion. A task met again while it is on the path closes a cycle."""

    def __init__(self, starts: array[int], targets: array[int], limit: int) -> None:
        self._starts, self._targets, self._limit = starts, targets, limit
        self._next = array("I", starts[:-1])
        self._on_path = bytearray(len(starts) - 1)
        self._done = bytearray(len(starts) - 1)
        self._path: list[int] = []
        self._found: list[list[int]] = []

    def cycles(self) -> list[list[int]]:
        for root in range(len(self._done)):
            if not self._done[root]:
                self._follow(root)
                if len(self._found) >= self._limit:
                    break
        return self._found[: self._limit]

    def _follow(self, root: int) -> None:
        path, done, on_path, following = self._path, self._done, self._on_path, self._next
        starts, targets = self._starts, self._targets
        path.append(root)
        on_path[root] = 1
        while path:
            node = path[-1]
            at = following[node]
            if at == starts[node + 1]:
                path.pop()
                on_path[node] = 0
                done[node] = 1
                continue
            following[node] = at + 1
            target = targets[at]
            if on_path[target]:
                self._found.append(path[path.index(target) :])
                if len(self._found) >= self._limit:
                    return
            elif not done[target]:
                path.append(target)
                on_path[target] = 1
