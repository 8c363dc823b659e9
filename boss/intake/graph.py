"""The dependencies of one push as a graph: its rows in compact arrays, an order that respects them, and its cycles.

Positions only; it knows no ids and no tasks. Rows are compressed sparse rows: what task i depends on is
`targets[starts[i]:starts[i + 1]]`.

Counting (Kahn's algorithm) takes away each task that no other one needs, over and over: in arrays, so that a million
tasks cost no memory to speak of. networkx gets what counting leaves over, the tasks on cycles and between two cycles:
nothing in a push that can run. It is imported only then.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from boss.core.graph import reverse_edges

if TYPE_CHECKING:
    import networkx

#: So many cycles are reported; who has more has one mistake that makes many.
CYCLES_SHOWN = 10
#: networkx takes about a kilobyte for a task, and ten microseconds for each cycle that is reported: it is given no more
#: tasks than this.
_LARGEST = 20_000


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


def dependencies_first(starts: array[int], targets: array[int]) -> Sequence[int]:
    """All tasks, each after all that it depends on. Tasks on cycles, and what those depend on, are missing."""
    count = len(starts) - 1
    return range(count) if _in_order(starts, targets) else _peel(starts, targets, bytearray(b"\1") * count)[::-1]


def find_cycles(starts: array[int], targets: array[int], limit: int = CYCLES_SHOWN) -> list[list[int]]:
    """At most `limit` cycles, each as the tasks in the order of `depends on`, the lowest first. Empty: there is none.

    Each is the shortest one through its lowest task, if not too many tasks are on cycles; of several with a mistake in
    common one is reported.
    """
    if _in_order(starts, targets):
        return []
    left = bytearray(b"\1") * (len(starts) - 1)
    _peel(starts, targets, left)
    if not any(left):
        return []
    _peel(*reverse_edges(len(left), starts, targets), left)
    if sum(left) > _LARGEST:
        _keep_one_cycle(starts, targets, left)
    if sum(left) > _LARGEST:
        return [_walk(starts, targets, left)]
    return _cycles_of(_graph_of(starts, targets, left), limit)


# --- counting ----------------------------------------------------------------------------------------


def _in_order(starts: array[int], targets: array[int]) -> bool:
    """True when every task stands after all that it depends on: such a file has no cycle, and most are so."""
    first = 0
    for index, last in enumerate(starts[1:]):
        if last > first and max(targets[first:last]) >= index:
            return False
        first = last
    return True


def _peel(starts: array[int], targets: array[int], left: bytearray) -> array[int]:
    """Take out of `left` each task that no row of one that is left names, over and over; in which order that went."""
    named = array("I", bytes(4 * len(left)))
    for index, is_left in enumerate(left):
        if is_left:
            for target in targets[starts[index] : starts[index + 1]]:
                named[target] += 1
    order = array("I", (index for index, count in enumerate(named) if not count and left[index]))
    for index in order:  # which grows meanwhile
        left[index] = 0
        for target in targets[starts[index] : starts[index + 1]]:
            named[target] -= 1
            if not named[target] and left[target]:
                order.append(target)
    return order


def _keep_one_cycle(starts: array[int], targets: array[int], left: bytearray) -> None:
    cycle = _walk(starts, targets, left)
    left[:] = bytes(len(left))
    for index in cycle:
        left[index] = 1


def _walk(starts: array[int], targets: array[int], left: bytearray) -> list[int]:
    """Some cycle: each of those that are left depends on another one, so a walk comes back to itself."""
    step_of: dict[int, int] = {}
    index = left.index(1)
    while index not in step_of:
        step_of[index] = len(step_of)
        index = next(target for target in targets[starts[index] : starts[index + 1]] if left[target])
    cycle = list(step_of)[step_of[index] :]
    lowest = cycle.index(min(cycle))
    return cycle[lowest:] + cycle[:lowest]


# --- cycles ------------------------------------------------------------------------------------------


def _graph_of(starts: array[int], targets: array[int], left: bytearray) -> networkx.DiGraph:
    """Of the tasks that are left, with edges from each to what it depends on."""
    import networkx

    graph = networkx.DiGraph()
    for index, is_left in enumerate(left):
        if is_left:
            row = targets[starts[index] : starts[index + 1]]
            graph.add_edges_from((index, target) for target in row if left[target])
    return graph


def _cycles_of(graph: networkx.DiGraph, limit: int) -> list[list[int]]:
    """One of each knot, then of what is left of the knots without the likeliest mistake of each cycle found so far."""
    found: list[list[int]] = []
    while len(found) < limit and (knots := sorted(map(min, _knots(graph)))):
        for lowest in knots[: limit - len(found)]:
            cycle = _shortest_cycle(graph, lowest)
            found.append(cycle)
            # In a file that is in order but for a mistake, the mistake is what depends on a task further down.
            graph.remove_edge(*max(zip(cycle, [*cycle[1:], lowest], strict=True), key=lambda edge: edge[1] - edge[0]))
    return found


def _knots(graph: networkx.DiGraph) -> Iterator[set[int]]:
    """Tasks that all depend on one another."""
    import networkx

    for tasks in networkx.strongly_connected_components(graph):
        if len(tasks) > 1 or graph.has_edge(min(tasks), min(tasks)):
            yield tasks


def _shortest_cycle(graph: networkx.DiGraph, task: int) -> list[int]:
    """Through this task, which is on one."""
    import networkx

    if graph.has_edge(task, task):
        return [task]
    parents: dict[int, int] = {}
    last = task
    for last, parent in networkx.bfs_predecessors(graph, task):
        parents[last] = parent
        if graph.has_edge(last, task):
            break
    path = [last]
    while path[-1] != task:
        path.append(parents[path[-1]])
    return path[::-1]
