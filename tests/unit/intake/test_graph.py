"""The graph of a push: an order, cycles, levels and the critical path, against what networkx says of small graphs."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sequence

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boss.intake import graph
from boss.intake.graph import dependencies_first, find_cycles
from boss.intake.shape import Shape, TaskGraph, shape_of

#: What each task depends on; some graphs have cycles, some tasks depend on themselves.
GRAPHS = st.lists(st.lists(st.integers(0, 11), max_size=3), min_size=1, max_size=12)
SECONDS = st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=12, max_size=12)


def rows_of(depends: Sequence[Sequence[int]]) -> tuple[array[int], array[int]]:
    starts, targets = array("I", [0]), array("I")
    for row in depends:
        targets.extend(dict.fromkeys(row))
        starts.append(len(targets))
    return starts, targets


def within(depends: list[list[int]]) -> list[list[int]]:
    return [[target for target in row if target < len(depends)] for row in depends]


def as_networkx(depends: list[list[int]]) -> networkx.DiGraph:
    """With edges from what is needed to what needs it."""
    made = networkx.DiGraph()
    made.add_nodes_from(range(len(depends)))
    made.add_edges_from((target, index) for index, row in enumerate(depends) for target in row)
    return made


def is_cycle(depends: list[list[int]], cycle: list[int]) -> bool:
    return all(target in depends[task] for task, target in zip(cycle, [*cycle[1:], cycle[0]], strict=True))


@settings(max_examples=300, deadline=None)
@given(GRAPHS, st.integers(1, 10), st.sampled_from([0, 3, 20_000]))
def test_cycles_are_found_exactly_when_there_are_any(depends: list[list[int]], limit: int, largest: int) -> None:
    depends = within(depends)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "_LARGEST", largest)
        cycles = find_cycles(*rows_of(depends), limit)
    is_acyclic = networkx.is_directed_acyclic_graph(as_networkx(depends))
    assert bool(cycles) != is_acyclic and len(cycles) <= limit
    for cycle in cycles:
        assert is_cycle(depends, cycle) and cycle[0] == min(cycle) and len(set(cycle)) == len(cycle)


@settings(max_examples=300, deadline=None)
@given(GRAPHS)
def test_every_mistake_that_makes_cycles_is_among_those_reported(depends: list[list[int]]) -> None:
    """Without one dependency of each, the likeliest mistake, no cycle is left."""
    depends = within(depends)
    left = as_networkx(depends)
    cycles = find_cycles(*rows_of(depends), limit=100)
    for cycle in cycles:
        steps = zip(cycle, [*cycle[1:], cycle[0]], strict=True)
        needing, needed = max(steps, key=lambda step: step[1] - step[0])
        assert left.has_edge(needed, needing), "no mistake is reported twice"
        left.remove_edge(needed, needing)
    assert networkx.is_directed_acyclic_graph(left)


@settings(max_examples=300, deadline=None)
@given(GRAPHS, SECONDS)
def test_order_levels_and_critical_path_are_as_networkx_has_them(
    depends: list[list[int]], seconds: list[float]
) -> None:
    """The tasks are given another place in the file by their number of dependencies, so that most are out of order."""
    depends = [[target for target in row if target < index] for index, row in enumerate(depends)]
    place = sorted(range(len(depends)), key=lambda index: (len(depends[index]), -index))
    depends = [[place.index(target) for target in depends[old]] for old in place]
    rows, known = rows_of(depends), as_networkx(depends)
    order = list(dependencies_first(*rows))
    assert sorted(order) == list(range(len(depends)))
    assert all(order.index(target) < order.index(index) for index, row in enumerate(depends) for target in row)
    levels = [len(level) for level in networkx.topological_generations(known)]
    ids = [str(index) for index in range(len(depends))]
    shape = shape_of(TaskGraph(ids=ids, starts=rows[0], targets=rows[1], seconds=seconds))
    assert (shape.levels, shape.widest) == (len(levels), max(levels))
    path = shape.critical_path
    assert all(before in depends[after] for before, after in itertools.pairwise(path))
    known.add_edges_from((index, "end") for index in range(len(depends)))
    for start, _, data in known.edges(data=True):
        data["weight"] = seconds[start]
    assert sum(seconds[index] for index in path) == shape.seconds
    assert shape.seconds == pytest.approx(networkx.dag_longest_path_length(known))
    if not any(seconds[: len(depends)]):
        assert len(path) == len(levels)


def test_a_graph_without_tasks_has_no_shape() -> None:
    starts, targets = rows_of([])
    assert shape_of(TaskGraph(ids=[], starts=starts, targets=targets, seconds=[])) == Shape()


def test_a_push_out_of_order_that_can_run_is_not_given_to_networkx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(graph, "_graph_of")
    backwards = [[index + 1] for index in range(999)] + [[]]
    assert find_cycles(*rows_of(backwards)) == []


def test_of_many_tasks_on_cycles_networkx_is_given_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing of one that has too many itself."""
    given: list[int] = []
    real = graph._graph_of

    def watched(starts: array[int], targets: array[int], left: bytearray) -> networkx.DiGraph:
        given.append(sum(left))
        return real(starts, targets, left)

    monkeypatch.setattr(graph, "_graph_of", watched)
    layers = [
        [99 * 10 + index] if layer == 0 else [10 * (layer - 1) + index] for layer in range(100) for index in range(10)
    ]
    monkeypatch.setattr(graph, "_LARGEST", 100)
    (cycle,) = find_cycles(*rows_of(layers))
    assert given == [100] and is_cycle(layers, cycle)
    monkeypatch.setattr(graph, "_LARGEST", 99)
    (cycle,) = find_cycles(*rows_of(layers))
    assert given == [100] and is_cycle(layers, cycle)


def test_a_cycle_among_many_tasks_is_shown_as_short_as_it_is() -> None:
    """Whoever depends on the last of a chain by mistake is on cycles of many lengths."""
    chain = [[2], *([index - 1, max(index - 2, 0)] for index in range(1, 3))]
    assert find_cycles(*rows_of(chain)) == [[0, 2]]
