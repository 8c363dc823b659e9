"""How long tasks take: what is learned of each kind of command in each pool, and what stands in for it before."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boss.core import durations
from boss.core.durations import UNKNOWN_SECONDS, Durations, remaining, template_of
from wire.messages import EpanetRun, Execution


def command(text: str) -> int:
    return template_of(Execution(commands=[text]))


def test_commands_that_differ_in_numbers_only_are_of_one_kind() -> None:
    assert command("python run.py --seed 17 > out-17.csv") == command("python run.py --seed 4 > out-4.csv")
    assert command("leak --size 0.25") == command("leak --size 1e-3")
    assert command("python run.py --seed 17") != command("python evaluate.py --seed 17")


def test_an_argument_list_has_a_kind_too_and_every_kind_is_above_zero() -> None:
    assert template_of(Execution(commands=[["run", "1"]])) == template_of(Execution(commands=[["run", "2"]]))
    assert template_of(Execution()) > 0


def test_an_epanet_run_is_of_its_network_s_kind_and_of_its_size() -> None:
    def kind(inp: str, rows: tuple[int, int]) -> int:
        return template_of(Execution(epanet=EpanetRun(inp=inp, scenarios="table.csv", rows=rows)))

    assert kind("L-TOWN.inp", (0, 100)) == kind("L-TOWN.inp", (100, 200))
    assert kind("L-TOWN.inp", (0, 100)) != kind("Net3.inp", (0, 100))
    assert kind("L-TOWN.inp", (0, 100)) != kind("L-TOWN.inp", (0, 1000))


def test_before_anything_has_ended_the_user_s_guess_serves_else_a_usual_time() -> None:
    learned = Durations()
    assert learned.seconds(1, "cloud", expect=40.0) == 40.0
    assert learned.seconds(1, "cloud") == UNKNOWN_SECONDS
    assert learned.remaining(1, "cloud", 10.0, 40.0) == 30.0


def test_what_was_measured_counts_more_than_the_guess() -> None:
    learned = Durations()
    learned.learn(1, "cloud", 400.0)
    assert learned.seconds(1, "cloud", expect=40.0) == 400.0


def test_each_pool_has_its_own_pace_and_borrows_another_s_before_it_has_one() -> None:
    learned = Durations()
    learned.learn(1, "fast", 10.0)
    assert learned.seconds(1, "slow", expect=40.0) == 10.0
    learned.learn(1, "slow", 30.0)
    assert (learned.seconds(1, "fast"), learned.seconds(1, "slow")) == (10.0, 30.0)


def test_mean_and_spread_are_those_of_what_ended() -> None:
    learned, draw = Durations(), random.Random(1)
    for _ in range(400):
        learned.learn(1, "cloud", draw.uniform(20.0, 40.0))
    assert 25.0 < learned.seconds(1, "cloud") < 35.0
    assert 2.0 < learned.remaining(1, "cloud", 40.0) < 9.0, "as long as they differ"


def test_a_mean_follows_what_changes() -> None:
    learned = Durations()
    for seconds in (10.0,) * 50 + (100.0,) * 30:
        learned.learn(1, "cloud", seconds)
    assert learned.seconds(1, "cloud") > 90.0


def test_what_runs_has_left_what_is_missing_to_the_mean() -> None:
    assert remaining(100.0, 5.0, 30.0) == 70.0


def test_what_runs_longer_than_the_mean_goes_on_as_long_as_such_tasks_differ() -> None:
    assert remaining(100.0, 12.0, 150.0) == 12.0
    assert remaining(100.0, 400.0, 150.0) == 75.0
    assert remaining(100.0, None, 150.0) == 75.0


def test_kinds_that_were_not_seen_for_longest_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durations, "MAX_KINDS", 3)
    learned = Durations()
    for kind in (1, 2, 3, 1, 4):
        learned.learn(kind, "cloud", float(kind))
    assert [learned.seconds(kind, "cloud", expect=9.0) for kind in (1, 2, 3, 4)] == [1.0, 9.0, 3.0, 4.0]


@given(st.lists(st.floats(0.0, 1e8), min_size=1, max_size=60), st.floats(0.0, 1e8))
def test_whatever_is_measured_what_is_left_is_a_time(measured: list[float], elapsed: float) -> None:
    learned = Durations()
    for seconds in measured:
        learned.learn(1, "cloud", seconds)
    left = learned.remaining(1, "cloud", elapsed)
    assert left >= 1.0 and math.isfinite(left)
    assert min(measured) * 0.999 <= learned.seconds(1, "cloud") <= max(measured) * 1.001
