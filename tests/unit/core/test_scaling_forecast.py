"""The schedule played forward: what becomes runnable, when, and that its cost is bounded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from boss.core.scaling.forecast import Graph, Ready, Wave, forecast

FOR_EVER = 1e9


def graph(needs: Mapping[int, Iterable[int]], seconds: float = 10.0, pending: int | None = None) -> Graph:
    """`needs`: task -> the tasks that it depends on, all of them unfinished."""
    dependants: dict[int, list[int]] = {}
    for task, of in needs.items():
        for each in of:
            dependants.setdefault(each, []).append(task)
    count = len(needs) if pending is None else pending
    return Graph(
        dependants=lambda task: dependants.get(task, ()),
        unmet=lambda task: len(list(needs[task])),
        cost=lambda _task: (1, seconds),
        pending=count,
        pending_seconds=count * seconds,
    )


def ready(*tasks: int, seconds: float = 10.0) -> Ready:
    return Ready(tasks, len(tasks), seconds)


def test_ready_and_running_tasks_are_there_at_once() -> None:
    seen = forecast(graph({}), [ready(1, 2, 3)], [(4, 2.5)], (2, 2), FOR_EVER)
    assert seen.waves == [Wave(0.0, 1, 2.5), Wave(0.0, 3, 10.0)]


def test_a_task_opens_when_the_last_of_its_dependencies_ends() -> None:
    seen = forecast(graph({3: (1, 2)}), [ready(1)], [(2, 25.0)], (4, 4), FOR_EVER)
    assert seen.waves[-1] == Wave(25.0, 1, 10.0)


def test_what_waits_for_a_slot_opens_its_dependants_later() -> None:
    seen = forecast(graph({3: (2,)}), [ready(1, 2)], [], (1, 1), FOR_EVER)
    assert seen.waves[-1].at == 20.0


def test_slots_that_come_with_a_boot_are_used_from_then_on() -> None:
    seen = forecast(graph({5: (1,), 6: (2,)}), [ready(1, 2)], [], (0, 2), 60.0)
    assert seen.waves == [Wave(0.0, 2, 10.0), Wave(70.0, 2, 10.0)]


def test_without_a_slot_for_ever_nothing_opens() -> None:
    seen = forecast(graph({2: (1,)}), [ready(1)], [], (0, 0), 60.0)
    assert seen.waves == [Wave(0.0, 1, 10.0)]


def test_a_graph_that_is_too_large_is_cut_and_its_rest_is_one_wave() -> None:
    chain = {task: (task - 1,) for task in range(1, 1001)}
    seen = forecast(graph(chain), [ready(0)], [], (4, 4), FOR_EVER, max_tasks=10)
    assert sum(wave.tasks for wave in seen.waves) == 1001
    assert seen.waves[-1] == Wave(100.0, 991, 10.0)


def test_ready_tasks_of_one_duration_are_taken_in_their_order_over_several_turns() -> None:
    seen = forecast(graph({10: (0,), 11: (1,), 12: (2,)}), [ready(0, 1, 2)], [], (2, 2), FOR_EVER)
    assert [(wave.at, wave.tasks) for wave in seen.waves] == [(0.0, 3), (10.0, 2), (20.0, 1)]


def weighed(weights: Mapping[int, int], needs: Mapping[int, Iterable[int]]) -> Graph:
    return graph(needs)._replace(cost=lambda task: (weights.get(task, 1), 10.0))


def test_a_task_that_takes_two_slots_counts_twice_and_holds_both() -> None:
    wide = weighed({3: 2}, {3: (1,), 4: (2,)})
    seen = forecast(wide, [ready(1, 2)], [], (2, 2), FOR_EVER)
    assert seen.waves == [Wave(0.0, 2, 10.0), Wave(10.0, 3, 10.0)]
    later = forecast(weighed({}, {3: (2,)}), [Ready((1, 2), 2, 10.0, weight=2)], [], (2, 2), FOR_EVER)
    assert later.waves == [Wave(0.0, 4, 10.0), Wave(20.0, 1, 10.0)]


def test_a_task_of_another_pool_takes_its_time_and_no_slot_and_makes_no_wave() -> None:
    elsewhere = weighed({1: 0, 2: 0, 3: 0}, {3: (1,), 4: (3,)})
    seen = forecast(elsewhere, [Ready((1,), 1, 10.0, weight=0)], [(2, 5.0)], (1, 1), FOR_EVER)
    assert seen.waves == [Wave(20.0, 1, 10.0)]


def test_one_that_requires_more_slots_than_there_are_runs_alone_and_blocks_no_other_for_ever() -> None:
    huge = weighed({1: 9}, {2: (1,)})
    seen = forecast(huge, [Ready((1,), 1, 10.0, weight=9)], [], (4, 4), FOR_EVER)
    assert seen.waves == [Wave(0.0, 9, 10.0), Wave(10.0, 1, 10.0)]


def test_many_small_waves_become_few_with_the_same_work() -> None:
    running = [(task, 0.37 * task) for task in range(1, 5001)]
    seen = forecast(graph({}), [], running, (5000, 5000), 60.0)
    assert len(seen.waves) <= 260
    assert sum(wave.tasks for wave in seen.waves) == 5000
    chain = {task: (task - 1,) for task in range(1, 5001)}
    seen = forecast(graph(chain)._replace(cost=lambda task: (1, 1.0 + task % 7)), [ready(0)], [], (4, 4), 60.0)
    assert len(seen.waves) <= 260
    assert sum(wave.tasks for wave in seen.waves) == 5001
    work = sum(wave.tasks * wave.seconds for wave in seen.waves)
    assert abs(work - 10.0 - sum(1.0 + task % 7 for task in range(1, 5001))) < 1e-3
    assert [wave.at for wave in seen.waves] == sorted(wave.at for wave in seen.waves)


def test_the_end_of_all_is_given_unless_it_has_none_or_was_not_reached() -> None:
    chain = {task: (task - 1,) for task in range(1, 11)}
    assert forecast(graph(chain), [ready(0)], [(99, 3.0)], (1, 1), FOR_EVER).end == 113.0
    assert forecast(graph(chain), [ready(0)], [], (0, 0), 60.0).end == math.inf
    assert forecast(graph(chain), [ready(0)], [], (1, 1), FOR_EVER, max_tasks=5).end == math.inf
    assert forecast(graph({}), [], [], (1, 1), FOR_EVER).end == 0.0
