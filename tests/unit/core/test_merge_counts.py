"""Counting the tasks to which a push is attached: ranges of numbers, a batch at a time."""

from __future__ import annotations

from boss.api.live import _count_span
from boss.core.model import TaskState
from boss.core.state import runs
from tests.worlds.scheduler import World


def test_numbers_in_rising_order_become_ranges() -> None:
    assert runs([]) == []
    assert runs([1, 2, 3, 7, 9, 10]) == [range(1, 4), range(7, 8), range(9, 11)]


def test_a_span_is_counted_where_its_tasks_are_in_memory_and_named_where_not(world: World) -> None:
    world.push({"a": "", "b": "a"})
    world.push({"c": "", "d": "c", "e": "c"})
    world.ignore()
    counts = [0] * len(TaskState)
    assert _count_span(world.state, range(2, 9), counts) == [6, 7, 8]
    assert (counts[TaskState.PENDING], counts[TaskState.QUEUED], sum(counts)) == (3, 1, 4)
