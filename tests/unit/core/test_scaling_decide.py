"""How many workers a pool should have: every decision with its reason."""

from __future__ import annotations

import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from boss.core.reasons import NotFewerKind, NotMoreKind
from boss.core.scaling.decide import Decision, Pool, Supply, decide
from boss.core.scaling.forecast import Wave

POOL = Pool(slots=4, max_workers=20, boot=60.0, idle=0.0, cost_weight=0.25)


def pool(**changes: object) -> Pool:
    return msgspec.structs.replace(POOL, **changes)


def idle(*names: str, since: float = 100.0) -> list[tuple[str, float]]:
    return [(name, since) for name in names]


def not_more(plan: Decision) -> tuple[NotMoreKind, str]:
    assert plan.why_not_more is not None
    return plan.why_not_more.kind, plan.why_not_more.text


def not_fewer(plan: Decision) -> tuple[NotFewerKind, str]:
    assert plan.why_not_fewer is not None
    return plan.why_not_fewer.kind, plan.why_not_fewer.text


def test_growing_says_why_it_is_not_less_and_that_more_would_not_pay_or_not_be_wanted() -> None:
    plan = decide([Wave(0.0, 40, 30.0)], pool(cost_weight=0.9), Supply())
    assert 0 < plan.start < 10, plan
    assert not_more(plan) == (NotMoreKind.NOT_WORTH_IT, "one more would save less than its 60 s of boot cost")
    assert not_fewer(plan) == (NotFewerKind.WORTH_IT, "each of them is worth its 60 s of boot")
    kind, text = not_more(decide([Wave(0.0, 4, 1000.0)], POOL, Supply(busy=1)))
    assert kind is NotMoreKind.ENOUGH and "4 slots will be required, and those are there" in text


def test_without_work_nothing_is_started_and_the_reason_says_so() -> None:
    plan = decide([], POOL, Supply())
    assert (plan.start, plan.stop) == (0, [])
    assert not_more(plan) == (NotMoreKind.NO_WORK, "in one boot time (60 s) there will be no work")


def test_a_wide_ensemble_gets_all_that_the_limit_allows() -> None:
    plan = decide([Wave(0.0, 10_000, 30.0)], POOL, Supply())
    assert plan.start == 20
    assert not_more(plan) == (NotMoreKind.LIMIT, "the pool has its limit of 20")


def test_no_more_are_started_than_tasks_can_fill() -> None:
    plan = decide([Wave(0.0, 7, 3600.0)], pool(cost_weight=0.0), Supply())
    assert plan.start == 2


def test_the_dearer_the_worker_the_fewer_are_started() -> None:
    waves = [Wave(0.0, 2000, 10.0)]
    counts = [decide(waves, pool(cost_weight=weight), Supply()).start for weight in (0.0, 0.5, 0.7, 0.8, 0.9, 1.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 20
    assert counts[-1] == 1


def test_a_flat_ensemble_follows_the_square_root() -> None:
    """k = sqrt(price W / (s boot)), within one."""
    wide, weight = pool(max_workers=400, cost_weight=0.8), 0.8
    work = 4000 * 10.0
    price = 400 * ((1 - weight) / weight) ** 2
    expected = math.sqrt(price * work / (4 * 60.0))
    plan = decide([Wave(0.0, 4000, 10.0)], wide, Supply())
    assert abs(plan.start - expected) <= 0.06 * expected + 1


def test_what_boots_already_counts() -> None:
    plan = decide([Wave(0.0, 10_000, 30.0)], POOL, Supply(booting=[30.0] * 20))
    assert plan.start == 0


def test_work_that_those_there_will_have_done_by_then_starts_none() -> None:
    plan = decide([Wave(0.0, 8, 10.0)], POOL, Supply(busy=1))
    assert plan.start == 0


def test_a_stage_is_started_for_one_boot_time_ahead_and_not_sooner() -> None:
    supply = Supply(busy=1)
    far = decide([Wave(0.0, 1, 500.0), Wave(500.0, 400, 30.0)], POOL, supply)
    near = decide([Wave(0.0, 1, 60.0), Wave(60.0, 400, 30.0)], POOL, supply)
    assert far.start == 0
    assert near.start == 19


def test_an_idle_worker_goes_when_no_work_is_left() -> None:
    plan = decide([Wave(0.0, 1, 100.0)], POOL, Supply(busy=1, idle=idle("a", "b")))
    assert plan.stop == ["a", "b"]


def test_an_idle_worker_stays_when_the_next_stage_opens_before_it_could_boot_again() -> None:
    waves = [Wave(0.0, 1, 50.0), Wave(50.0, 12, 30.0)]
    plan = decide(waves, POOL, Supply(busy=1, idle=idle("a", "b")))
    assert plan.stop == []
    kind, text = not_fewer(plan)
    assert kind is NotFewerKind.WANTED_SOON and "required within" in text


def test_the_ones_that_were_idle_for_longest_go_first_and_the_least_number_stays() -> None:
    plan = decide([], pool(min_workers=2), Supply(idle=[("old", 300.0), ("young", 5.0), ("younger", 1.0)]))
    assert plan.stop == ["old"]


def test_the_least_number_is_started_without_work() -> None:
    assert decide([], pool(min_workers=3), Supply()).start == 3


def test_spares_are_kept_beyond_what_is_needed() -> None:
    plan = decide([], pool(spare=1), Supply(idle=idle("a", "b")))
    assert plan.stop == ["a"]


def test_a_full_provider_is_reported_and_not_asked() -> None:
    plan = decide([Wave(0.0, 1000, 30.0)], pool(full="no address is left in network 'private'"), Supply())
    assert plan.start == 0
    kind, text = not_more(plan)
    assert kind is NotMoreKind.CANNOT_GROW and "no address is left" in text


def test_a_budget_limits_what_is_started() -> None:
    plan = decide([Wave(0.0, 1000, 30.0)], pool(budget=180.0), Supply())
    assert plan.start == 3
    assert not_more(plan) == (NotMoreKind.BUDGET, "the budget leaves 0.05 worker-hours")


def test_the_idle_time_is_waited_for_where_work_may_come_again() -> None:
    waiting = pool(idle=300.0)
    plan = decide([Wave(0.0, 1, 1000.0)], waiting, Supply(busy=1, idle=[("a", 10.0)]))
    assert plan.stop == []
    plan = decide([Wave(0.0, 1, 1000.0)], waiting, Supply(busy=1, idle=[("a", 301.0)]))
    assert plan.stop == ["a"]


def test_the_idle_time_is_waited_for_where_no_work_is_known_too() -> None:
    """A user may push the next study."""
    plan = decide([], pool(idle=60.0), Supply(idle=[("a", 61.0), ("b", 10.0)]))
    kind, text = not_fewer(plan)
    assert plan.stop == ["a"] and kind is NotFewerKind.JUST_IDLE and "less than 60 s" in text


def test_why_there_are_not_fewer_is_given_for_those_that_stay() -> None:
    resting = Supply(idle=[("a", 61.0), ("b", 61.0)])
    assert decide([], pool(idle=60.0), resting).why_not_fewer is None, "none stays"
    assert decide([], POOL, Supply()).why_not_fewer is None, "none is there"
    plan = decide([], pool(idle=60.0, min_workers=1), resting)
    assert not_fewer(plan) == (NotFewerKind.MINIMUM, "the pool keeps 1")
    busy = Supply(busy=3, idle=[("a", 500.0)])
    plan = decide([Wave(0.0, 8, 10.0), Wave(10.0, 1, 1000.0)], pool(idle=0.0), busy)
    assert plan.stop == ["a"] and not_fewer(plan) == (NotFewerKind.BUSY, "the others work")


def test_a_small_graph_is_judged_by_its_schedule_where_the_fluid_is_wrong() -> None:
    """13 tasks on 12 slots take two rounds: the fluid sees one and a twelfth."""
    waves, supply = [Wave(0.0, 13, 600.0)], Supply()
    cheap = pool(cost_weight=0.82)
    by_fluid = decide(waves, cheap, supply)
    rounds = {0: math.inf, 1: 2400.0, 2: 1200.0, 3: 1200.0, 4: 600.0}
    by_schedule = decide(waves, cheap, supply, lambda more: 60.0 + rounds[more])
    assert by_fluid.start == 3
    assert by_schedule.start == 4


def test_few_numbers_are_played_and_none_that_the_fluid_finds_too_dear() -> None:
    played: list[int] = []

    def ends(more: int) -> float:
        played.append(more)
        return 1e6 / max(more, 1)

    decide([Wave(0.0, 10_000, 30.0)], pool(max_workers=400, cost_weight=0.5), Supply(), ends)
    assert 1 <= len(played) <= 4


def test_where_no_schedule_ends_the_fluid_decides() -> None:
    waves = [Wave(0.0, 40, 60.0)]
    assert decide(waves, POOL, Supply(), lambda more: math.inf) == decide(waves, POOL, Supply())


_waves = st.lists(
    st.builds(Wave, st.floats(0.0, 5000.0), st.integers(1, 5000), st.floats(0.001, 5000.0)), max_size=12
).map(sorted)
_supplies = st.builds(
    Supply,
    busy=st.integers(0, 10),
    idle=st.lists(st.tuples(st.uuids().map(str), st.floats(0.0, 1e4)), max_size=10),
    booting=st.lists(st.floats(0.0, 200.0), max_size=10),
)
_pools = st.builds(
    Pool,
    slots=st.integers(1, 64),
    min_workers=st.integers(0, 3),
    max_workers=st.integers(3, 40),
    spare=st.integers(0, 2),
    boot=st.floats(0.1, 600.0),
    idle=st.floats(0.0, 600.0),
    cost_weight=st.floats(0.0, 1.0),
    budget=st.none() | st.floats(0.0, 1e5),
)


@given(_waves, _pools, _supplies)
def test_whatever_comes_limits_hold_and_only_idle_ones_are_stopped(
    waves: list[Wave], limits: Pool, supply: Supply
) -> None:
    plan = decide(waves, limits, supply)
    assert isinstance(plan, Decision)
    assert plan.reason
    assert 0 <= plan.start <= max(0, limits.max_workers - supply.size)
    assert not (plan.start and plan.stop)
    assert set(plan.stop) <= {name for name, _ in supply.idle}
    assert supply.size - len(plan.stop) >= min(limits.min_workers, supply.size)


@given(_waves, _pools)
def test_where_there_is_work_and_no_worker_one_is_started(waves: list[Wave], limits: Pool) -> None:
    if waves and waves[0].at == 0.0 and limits.budget is None:
        assert decide(waves, limits, Supply()).start > 0
