"""Names of scenario columns and what their cells mean."""

from __future__ import annotations

import pytest

from worker.epanet.errors import SpecificationError
from worker.epanet.setpaths import SetPath, parse_cell, parse_seconds, parse_set_path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("demand.multiplier", ("demand.multiplier", False, "", "")),
        ("demand.multiplier*", ("demand.multiplier", True, "", "")),
        ("duration", ("duration", False, "", "")),
        ("junction[*].base_demand*", ("base_demand", True, "junction", "*")),
        ("junction[*].base_demand*=", ("base_demand", True, "junction", "*")),
        ("junction[J 1].base_demand", ("base_demand", False, "junction", "J 1")),
        ("junction[10].emitter", ("emitter", False, "junction", "10")),
        ("leak[10].coeff", ("emitter", False, "junction", "10")),
        ("pipe[p[1]].roughness", ("roughness", False, "pipe", "p[1]")),
        ("pipe[20].status", ("status", False, "pipe", "20")),
        ("pump[335].status", ("status", False, "pump", "335")),
    ],
)
def test_a_column_name_says_what_it_sets(name: str, expected: tuple[str, bool, str, str]) -> None:
    assert parse_set_path(name) == SetPath(name, *expected)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("demand.multiplyer", "did you mean 'demand.multiplier'"),
        ("pipe[10].roughnes", "did you mean 'pipe[10].roughness'"),
        ("junction[*].basedemand", "did you mean 'junction[*].base_demand'"),
        ("hydraulic_stp", "did you mean 'hydraulic_step'"),
        ("whatever", "known are demand.multiplier"),
        ("pipe[10].status*", "cannot be multiplied"),
        ("duration*", "a time is set, not multiplied"),
        ("", "nothing that can be set"),
    ],
)
def test_an_unknown_column_is_refused_with_the_nearest_name(name: str, hint: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        parse_set_path(name)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        (3600, 3600),
        ("3600", 3600),
        ("24h", 86400),
        ("5m", 300),
        ("1h 30m", 5400),
        ("24:00", 86400),
        ("1d", 86400),
        (60.0, 60),
    ],
)
def test_a_time_is_seconds_or_a_word_with_units(cell: object, seconds: int) -> None:
    assert parse_seconds(cell, "here") == seconds


@pytest.mark.parametrize(
    "cell", [0, -1, "0", "1.5", "5x", "", "h", 1e30, float("nan"), True, None, [1], "1_0", "１２", "१:३०", "２h"]
)
def test_what_is_no_time_is_refused(cell: object) -> None:
    with pytest.raises(SpecificationError, match=r"^here: "):
        parse_seconds(cell, "here")


def test_a_duration_may_be_zero() -> None:
    assert parse_seconds("0", "here", zero=True) == 0


@pytest.mark.parametrize("cell", ["nan", "inf", float("nan"), float("-inf"), "1e999"])
def test_a_value_that_is_not_finite_is_refused(cell: object) -> None:
    with pytest.raises(SpecificationError, match=r"row 3.*not finite"):
        parse_cell(parse_set_path("demand.multiplier"), cell, "row 3")


@pytest.mark.parametrize("cell", ["abc", "1,5", True, [1], {}])
def test_a_value_that_is_no_number_is_refused(cell: object) -> None:
    with pytest.raises(SpecificationError, match="no number"):
        parse_cell(parse_set_path("demand.multiplier"), cell, "row 3")


@pytest.mark.parametrize("cell", [None, "", "  "])
def test_an_empty_cell_leaves_the_own_value(cell: object) -> None:
    assert parse_cell(parse_set_path("pipe[1].roughness"), cell, "row 3") is None


@pytest.mark.parametrize(("cell", "value"), [("open", 1), ("CLOSED", 0), (1, 1), (0.0, 0), (False, 0), ("0", 0)])
def test_a_status_is_open_or_closed(cell: object, value: float) -> None:
    assert parse_cell(parse_set_path("pipe[1].status"), cell, "row 3") == value


@pytest.mark.parametrize("cell", ["ajar", 2, "active", 0.5])
def test_any_other_status_is_refused(cell: object) -> None:
    with pytest.raises(SpecificationError, match="no status"):
        parse_cell(parse_set_path("pipe[1].status"), cell, "row 3")


@pytest.mark.parametrize("cell", ["1_1", "１２", "1e", "0x10", "1,5", "1 1", "--1", "."])
def test_a_cell_that_a_reader_would_not_take_for_a_number_is_refused(cell: str) -> None:
    with pytest.raises(SpecificationError, match="is no number"):
        parse_cell(parse_set_path("demand.multiplier"), cell, "here")


@pytest.mark.parametrize(
    ("cell", "number"), [("1.", 1.0), (".5", 0.5), ("+1.5E-3", 0.0015), (" 2 ", 2.0), ("-0", 0.0), ("1e300", 1e300)]
)
def test_numbers_as_programs_write_them_are_taken(cell: str, number: float) -> None:
    assert parse_cell(parse_set_path("demand.multiplier"), cell, "here") == number
