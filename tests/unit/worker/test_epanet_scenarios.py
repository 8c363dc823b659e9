"""Scenario tables: rows in the task, CSV and Parquet files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from worker.epanet.errors import SpecificationError
from worker.epanet.scenarios import UNCHANGED, read_table


def test_no_scenarios_at_all_mean_the_network_as_it_is(tmp_path: Path) -> None:
    assert read_table([], None, tmp_path) is UNCHANGED


def test_rows_may_leave_cells_out(tmp_path: Path) -> None:
    table = read_table([{"demand.multiplier": 1.5}, {"scenario": 9, "leak[1].coeff": 2, "_note": "x"}], None, tmp_path)
    assert [path.name for path in table.paths] == ["demand.multiplier", "leak[1].coeff"]
    assert [scenario.values for scenario in table.scenarios] == [(1.5, None), (None, 2.0)]


def test_the_three_kinds_of_table_say_the_same(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"scenario": 10 + number, "seed": number, "demand.multiplier": 1 + number / 7, "duration": 3600 * (number + 1)}
        for number in range(6)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    (tmp_path / "t.csv").write_text("\ufeff" + "\r\n".join(lines) + "\r\n")
    direct = read_table(rows, (1, 4), tmp_path)
    assert [scenario.number for scenario in direct.scenarios] == [11, 12, 13]
    assert direct.carried == ("seed",)
    assert read_table("t.parquet", (1, 4), tmp_path) == direct
    from_csv = read_table("t.csv", (1, 4), tmp_path)
    assert [scenario.values for scenario in from_csv.scenarios] == [scenario.values for scenario in direct.scenarios]


def test_without_a_scenario_column_the_number_is_the_row_of_the_whole_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("demand.multiplier\n1\n2\n3\n")
    assert [scenario.number for scenario in read_table("t.csv", (1, 3), tmp_path).scenarios] == [1, 2]


@pytest.mark.parametrize(
    ("text", "rows", "message"),
    [
        ("demand.multiplier\n", None, "t.csv has no rows"),
        ("", None, "t.csv has no rows"),
        ("demand.multiplier\n1\n2\n", (1, 3), "ends before row 3"),
        ("demand.multiplier\n1\n", (5, 6), "fewer than 6"),
        ("demand.multiplier\n1\n", (1, 1), "no range"),
        ("demand.multiplier\n1\n", (-1, 1), "no range"),
        ("demand.multiplier\n1,2\n", None, "row 0: 2 cells under 1 columns"),
        ("demand.multiplier,demand.multiplier\n1,2\n", None, "two columns are named"),
        ("demand.multiplier,\n1,2\n", None, "a column has no name"),
        ("demand.multplier\n1\n", None, "t.csv: column 'demand.multplier'"),
        ("demand.multiplier\n1\nnan\n", None, "t.csv, row 1, column 'demand.multiplier': 'nan' is not finite"),
        ("scenario,duration\nx,1\n", None, "row 0, column 'scenario'"),
        ("scenario,duration\n-1,1\n", None, "row 0, column 'scenario'"),
        ("scenario,duration\n3,1\n3,2\n", None, "two rows are scenario 3"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    tmp_path: Path, text: str, rows: tuple[int, int] | None, message: str
) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SpecificationError) as caught:
        read_table("t.csv", rows, tmp_path)
    assert message in str(caught.value)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"nonsense")
    (tmp_path / "latin.csv").write_bytes(b"demand.multiplier\n\xe9\n")
    (tmp_path / "t.xlsx").write_bytes(b"")
    for name, message in (
        ("t.parquet", "cannot be read"),
        ("latin.csv", "cannot be read"),
        ("t.xlsx", "is a .csv or a .parquet"),
        ("none.csv", "is not in the working directory"),
    ):
        with pytest.raises(SpecificationError, match=message):
            read_table(name, None, tmp_path)


@pytest.mark.parametrize(("cell", "number"), [("0", 0), ("0.0", 0), ("7.", 7), ("12.00", 12), (0.0, 0), (" 3 ", 3)])
def test_a_scenarios_number_may_be_written_as_spreadsheets_do(tmp_path: Path, cell: object, number: int) -> None:
    (scenario,) = read_table([{"scenario": cell, "demand.multiplier": 1}], None, tmp_path).scenarios
    assert scenario.number == number


@pytest.mark.parametrize("cell", ["1_1", "１", "0.5", "-1", "", "1e3", 0.5, -1.0, True, "4294967296", float("nan")])
def test_what_is_no_number_of_a_scenario_is_refused(tmp_path: Path, cell: object) -> None:
    with pytest.raises(SpecificationError, match="column 'scenario'"):
        read_table([{"scenario": cell, "demand.multiplier": 1}], None, tmp_path)
