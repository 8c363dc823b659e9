"""Which results can be believed."""

from __future__ import annotations

import numpy as np
import pytest

from worker.epanet.assess import assess, clock, sentence
from worker.epanet.solve import PRESSURE, Solution

IDS = ["A", "B", "Lake"]
JUNCTIONS = [0, 1]


def solution(pressure: list[list[float]], expected: int = 2, **parts: object) -> Solution:
    values = {PRESSURE: np.array(pressure, float).reshape(len(pressure), 3)}
    times = [3600 * hour for hour in range(len(pressure))]
    return Solution(expected, values, times, **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (solution([[50, 40, 0], [45, 30, 0]]), "ok"),
        (solution([[50, 40, 0], [45, -3, 0]], warnings=[(3600, 6)]), "warned"),
        (solution([[50, 40, 0], [45, -1.1e8, 0]], warnings=[(3600, 3)]), "absurd"),
        (solution([[50, 40, 0], [45, 2e6, 0]]), "absurd"),
        (solution([[50, 40, 0], [float("nan"), 1, 0]]), "nan"),
        (solution([[50, 40, 0], [float("inf"), 1, 0]]), "nan"),
        (solution([[50, 40, 0]], warnings=[(0, 1)]), "halted"),
        (solution([], error=110, error_text="Error 110: cannot solve"), "error"),
    ],
)
def test_the_status_is_the_worst_that_is_true(found: Solution, status: str) -> None:
    assert assess(7, found, JUNCTIONS, IDS).status == status


def test_the_lowest_pressure_is_that_of_a_junction() -> None:
    row = assess(7, solution([[50, 40, 0], [45, 30, 0]]), JUNCTIONS, IDS)
    assert (row.min_pressure, row.min_pressure_node, row.min_pressure_time) == (30.0, "B", 3600)


def test_a_network_without_junctions_has_no_lowest_pressure() -> None:
    assert assess(7, solution([[0, 0, 0], [0, 0, 0]]), [], IDS).min_pressure is None


def test_warnings_are_kept_with_all_codes_and_the_first_time() -> None:
    row = assess(7, solution([[1, 1, 0], [1, 1, 0]], warnings=[(60, 4), (90, 6), (120, 4)]), JUNCTIONS, IDS)
    assert (row.code, row.warning_codes, row.warned_steps, row.first_warning_time) == (4, "4,6", 3, 60)
    assert sentence(row, "psi").startswith("scenario 7 warned: WARNING")
    assert "first at 00:01, 3 steps" in sentence(row, "psi")


def test_an_error_keeps_epanets_sentence() -> None:
    row = assess(7, solution([[1, 1, 0]], error=110, error_text="Error 110: cannot solve"), JUNCTIONS, IDS)
    assert (row.code, row.text, row.periods) == (110, "Error 110: cannot solve", 1)


def test_times_are_reported_as_hours_and_minutes() -> None:
    assert [clock(0), clock(6180), clock(90061)] == ["00:00", "01:43", "25:01:01"]
