"""The shape of a push's graph, for who wrote it: its levels, and the critical path, which more workers cannot shorten.

Linear in tasks and dependencies, in arrays: what networkx has for it takes twenty times as long for a million tasks,
and a gigabyte.
"""

from __future__ import annotations

from array import array
from collections import Counter

import msgspec

from boss.core.model import Submission
from boss.intake.graph import dependencies_first


class TaskGraph(msgspec.Struct, frozen=True, kw_only=True):
    """The graph of a checked push: no cycles, rows as in `boss.intake.graph`."""

    ids: list[str]
    starts: array[int]
    targets: array[int]
    #: How long each task is expected to take; 0: not known.
    seconds: list[float]


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    levels: int = 0
    #: Tasks on the level that has most.
    widest: int = 0
    #: Tasks each of which depends on the one before: those that take longest together, of equals the most.
    critical_path: list[int] = []
    #: How long those take together.
    seconds: float = 0.0


def graph_of(submission: Submission) -> TaskGraph:
    starts, targets = array("I", submission.dependency_starts), array("I", submission.dependency_targets)
    expected = [profile.expect for profile in submission.profiles]
    seconds = [expected[number] for number in array("I", submission.profile_of)]
    return TaskGraph(ids=submission.ids, starts=starts, targets=targets, seconds=seconds)


def shape_of(graph: TaskGraph) -> Shape:
    if not graph.ids:
        return Shape()
    levels = levels_of(graph)
    path, seconds = _critical_path(graph, levels)
    return Shape(levels=max(levels), widest=max(Counter(levels).values()), critical_path=path, seconds=seconds)


def levels_of(graph: TaskGraph) -> array[int]:
    """Of each task: how many tasks are on the longest way to it, itself included."""
    starts, targets = graph.starts, graph.targets
    levels = array("I", bytes(4 * len(graph.ids)))
    for index in dependencies_first(starts, targets):
        row = targets[starts[index] : starts[index + 1]]
        levels[index] = 1 + max(map(levels.__getitem__, row), default=0)
    return levels


def _critical_path(graph: TaskGraph, levels: array[int]) -> tuple[list[int], float]:
    """Its tasks, and how long they take together."""
    starts, targets, count = graph.starts, graph.targets, len(graph.ids)
    #: When each would end if nothing waited for a worker, and which of its dependencies ends last.
    ends, last = array("d", bytes(8 * count)), array("q", [-1]) * count
    for index in dependencies_first(starts, targets):
        row = targets[starts[index] : starts[index + 1]]
        if row:
            last[index] = max(row, key=lambda target: (ends[target], levels[target]))
            ends[index] = ends[last[index]]
        ends[index] += graph.seconds[index]
    end = max(range(count), key=lambda index: (ends[index], levels[index]))
    path = [end]
    while last[path[-1]] >= 0:
        path.append(last[path[-1]])
    return path[::-1], ends[end]
