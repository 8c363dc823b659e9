"""How fast a batch goes, and what is left."""

from __future__ import annotations

import pytest

from boss.api.rate import Rate, eta_seconds


def test_the_rate_is_taken_over_the_last_half_minute() -> None:
    rate = Rate()
    assert rate.of(0.0, 0) == 0.0
    for second in range(1, 101):
        assert rate.of(float(second), second * 10) == pytest.approx(10.0)
    for second in range(101, 140):
        rate.of(float(second), 1000)
    assert rate.of(140.0, 1000) == 0.0


def test_nothing_is_said_of_a_moment_or_of_tasks_that_run_again() -> None:
    rate = Rate()
    assert [rate.of(5.0, 100), rate.of(5.1, 200), rate.of(6.0, 90)] == [0.0, 0.0, 0.0]


def test_to_ask_often_changes_nothing() -> None:
    often, seldom = Rate(), Rate()
    for tenth in range(1000):
        often.of(tenth / 10, tenth)
        if tenth % 10 == 0:
            seldom.of(tenth / 10, tenth)
    assert often.of(100.0, 1000) == pytest.approx(seldom.of(100.0, 1000)) == pytest.approx(10.0)


def test_what_is_left_takes_so_long() -> None:
    assert (eta_seconds(50, 10.0), eta_seconds(50, 0.0)) == (5.0, None)
