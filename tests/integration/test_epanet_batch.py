"""Batches of scenarios with the real engine: values set, results kept, errors reported."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.worlds.epanet import ANYTOWN, BROKEN, LINE, NET1, NET3, rows_of, run, values_of
from worker.epanet.errors import NetworkError, SpecificationError, StrictError, TooManyFailedError
from worker.epanet.warm import OpenNetworks

DAY = {"duration": "24h"}


def test_a_plain_run_gives_pressures_of_all_nodes_and_a_row(tmp_path: Path) -> None:
    summary = run(tmp_path, NET3, options=DAY)
    assert summary.lines == ["1 scenario: 1 ok"]
    table = pq.read_table(tmp_path / "pressure.parquet")
    assert table.num_rows == 25 and table.num_columns == 2 + 97
    assert [str(field.type) for field in table.schema][:3] == ["int32", "int32", "float"]
    assert table["time"].to_pylist() == [3600 * hour for hour in range(25)]
    metadata = table.schema.metadata
    assert metadata[b"units"] == b"psi" and metadata[b"engine"] == b"EPANET 2.3.5"
    assert metadata[b"inp_sha256"].decode() == hashlib.sha256(NET3.read_bytes()).hexdigest()
    [row] = rows_of(tmp_path)
    assert (row["status"], row["code"], row["periods"], row["expected_periods"]) == ("ok", 0, 25, 25)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pressure.parquet", "runs.parquet"]


def test_scenarios_on_one_open_network_give_the_bits_of_fresh_ones(tmp_path: Path) -> None:
    """Emitters, closed pipes and other times must not be felt by the scenario after them."""
    scenarios: list[dict[str, object]] = [
        {"demand.multiplier": 1.3, "pipe[*].roughness*": 0.8},
        {"leak[101].coeff": 20},
        {},
        {"pipe[20].status": "closed", "junction[1*].base_demand*": 2},
        {"duration": "6h", "report_step": "30m", "hydraulic_step": "10m"},
        {"pump[335].status": "closed"},
        {},
    ]
    output = {
        "nodes": {"variables": ["pressure", "demand", "emitter_flow"]},
        "links": {"variables": ["flow", "status"]},
    }
    (tmp_path / "shared").mkdir()
    run(tmp_path / "shared", NET3, scenarios=scenarios, options=DAY, output=output)
    assert rows_of(tmp_path / "shared")[4]["periods"] == 13
    for number, scenario in enumerate(scenarios):
        alone = tmp_path / str(number)
        alone.mkdir()
        run(alone, NET3, scenarios=[{"scenario": number, **scenario}], options=DAY, output=output)
        for variable in ("pressure", "demand", "emitter_flow", "flow", "status"):
            assert values_of(alone, variable, number) == values_of(tmp_path / "shared", variable, number), scenario


def test_an_open_network_is_used_again_by_the_next_batch_and_gives_the_same(tmp_path: Path) -> None:
    networks = OpenNetworks()
    scenarios = [{"demand.multiplier": 1.1}, {"demand.multiplier": 0.9}]
    run(tmp_path, NET1, networks, scenarios=scenarios)
    [kept] = networks.idle.values()
    first = values_of(tmp_path)
    run(tmp_path, NET1, networks, scenarios=scenarios)
    assert next(iter(networks.idle.values())) is kept
    assert values_of(tmp_path) == first
    run(tmp_path, NET1, networks, scenarios=scenarios, options={"duration": "2h"})
    assert len(networks.idle) == 2
    networks.close()


def test_only_the_networks_used_last_stay_open(tmp_path: Path) -> None:
    networks = OpenNetworks(capacity=2)
    for hours in range(1, 5):
        run(tmp_path, NET1, networks, scenarios=[{}, {"demand.multiplier": 2}], options={"duration": hours * 3600})
    assert [key[1].duration for key in networks.idle] == [3 * 3600, 4 * 3600]
    networks.close()


def test_a_network_that_was_left_changed_is_noticed_and_solved_apart(tmp_path: Path) -> None:
    networks = OpenNetworks()
    scenarios = [{"demand.multiplier": 1.1}, {"demand.multiplier": 0.9}]
    run(tmp_path, NET1, networks, scenarios=scenarios)
    right = values_of(tmp_path)
    [(key, stained)] = networks.idle.items()
    stained.project.set_link_value(0, 2, 55.0)
    run(tmp_path, NET1, networks, scenarios=scenarios)
    assert values_of(tmp_path) == right
    assert key not in networks.idle


def test_all_demand_categories_are_set(tmp_path: Path) -> None:
    scenarios = [{}, {"junction[J2].base_demand*": 2}, {"junction[J2].base_demand": 20}, {"demand.multiplier": 3}]
    output = {"nodes": {"elements": ["J2"], "variables": ["demand"]}}
    run(tmp_path, LINE, scenarios=scenarios, output=output)
    demands = [values_of(tmp_path, "demand", number)[0]["J2"] for number in range(4)]
    assert demands == pytest.approx([40, 80, 20, 120], rel=1e-6)


def test_values_change_what_they_should(tmp_path: Path) -> None:
    scenarios = [
        {},
        {"pipe[P1].roughness": 50},
        {"pipe[P?].roughness*": 0.5},
        {"leak[J1].coeff": 10},
        {"pipe[P2].status": "closed"},
    ]
    output = {
        "nodes": {"elements": ["J1"], "variables": ["pressure", "emitter_flow"]},
        "links": {"variables": ["flow"]},
    }
    run(tmp_path, LINE, scenarios=scenarios, output=output)
    pressures = [values_of(tmp_path, scenario=number)[0]["J1"] for number in range(5)]
    assert pressures[2] < pressures[0] and pressures[1] < pressures[0] and pressures[3] < pressures[0]
    assert pressures[1] != pressures[2]
    assert values_of(tmp_path, "emitter_flow", 3)[0]["J1"] == pytest.approx(10 * pressures[3] ** 0.5, rel=1e-2)
    assert values_of(tmp_path, "flow", 4)[0]["P2"] == 0


def test_the_rows_say_what_was_set(tmp_path: Path) -> None:
    scenarios: list[dict[str, object]] = [
        {"seed": 5, "_from": "me", "pipe[P1].status": "closed", "duration": "1h"},
        {"demand.multiplier": 0.5},
    ]
    run(tmp_path, LINE, scenarios=scenarios)
    first, second = rows_of(tmp_path)
    names = ("seed", "_from", "pipe[P1].status", "duration", "demand.multiplier")
    assert [first[name] for name in names] == [5, "me", "closed", 3600, None]
    assert [second[name] for name in names] == [None, None, None, None, 0.5]


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        ({"pipe[P11].roughness": 1}, "no pipe 'P11'; did you mean 'P1'"),
        ({"junction[J].emitter": 1}, "no junction 'J'"),
        ({"junction[T1].emitter": 1}, "'T1' is a tank in this network, not a junction"),
        ({"pipe[X*].roughness*": 1}, "no pipe 'X*'"),
        ({"pipe[P3].status": "closed"}, "'P3' is a check valve"),
        ({"pipe[*].roughness": 1, "pipe[P1].roughness": 2}, "both set roughness of 'P1'"),
        ({"leak[J1].coeff": 1, "junction[J1].emitter": 2}, "both set emitter of 'J1'"),
        ({"demand.multiplier": 1, "demand.multiplier*": 2}, "both set demand.multiplier"),
        ({"hydraulic_step": "2h"}, "longer than the report step"),
    ],
)
def test_what_does_not_fit_the_network_is_refused_before_any_run(
    tmp_path: Path, scenario: dict[str, object], message: str
) -> None:
    with pytest.raises(SpecificationError) as caught:
        run(tmp_path, LINE, scenarios=[{}, scenario])
    assert message in str(caught.value)
    assert os.listdir(tmp_path) == ["net.inp"]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"nodes": {"elements": ["J3"], "variables": ["pressure"]}}, "did you mean"),
        ({"links": {"elements": ["J1"], "variables": ["flow"]}}, "no element 'J1'"),
        ({"nodes": {"variables": ["quality"]}}, "options.quality"),
    ],
)
def test_what_cannot_be_kept_is_refused(tmp_path: Path, output: dict[str, object], message: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        run(tmp_path, LINE, output=output)
    assert message in str(caught.value)


def test_factors_on_one_element_multiply(tmp_path: Path) -> None:
    run(
        tmp_path,
        LINE,
        scenarios=[
            {"pipe[*].roughness*": 0.5, "pipe[P1].roughness*": 0.5},
            {"pipe[P1].roughness": 25, "pipe[P2].roughness": 50, "pipe[P3].roughness": 50},
        ],
    )
    together, direct = values_of(tmp_path, scenario=0)[0]["J1"], values_of(tmp_path, scenario=1)[0]["J1"]
    assert together == pytest.approx(direct, rel=1e-6)


def test_a_value_that_epanet_refuses_fails_its_scenario_only(tmp_path: Path) -> None:
    summary = run(tmp_path, LINE, scenarios=[{}, {"pipe[P1].roughness": -5}, {}])
    assert [row["status"] for row in rows_of(tmp_path)] == ["ok", "error", "ok"]
    assert rows_of(tmp_path)[1]["code"] == 211
    assert "set roughness of link P1 to -5" in str(rows_of(tmp_path)[1]["text"])
    assert values_of(tmp_path, scenario=0) == values_of(tmp_path, scenario=2)
    assert values_of(tmp_path, scenario=1) == []
    assert summary.figures["failed"] == 1


def test_anytown_is_flagged_as_absurd(tmp_path: Path) -> None:
    run(tmp_path, ANYTOWN)
    [row] = rows_of(tmp_path)
    assert row["status"] == "absurd" and row["code"] == 6 and row["warned_steps"] == 1441
    assert "absurd" in str(row["text"])


def test_negative_pressures_are_a_warning_with_code_time_and_node(tmp_path: Path) -> None:
    summary = run(tmp_path, NET3, scenarios=[{"demand.multiplier": 3}], options=DAY)
    [row] = rows_of(tmp_path)
    assert row["status"] == "warned"
    assert set(str(row["warning_codes"]).split(",")) == {"4", "6"}
    assert "WARNING" in str(row["text"])
    assert row["first_warning_time"] is not None and row["min_pressure_node"]
    assert isinstance(row["min_pressure"], float) and row["min_pressure"] < -100
    assert "min pressure" in summary.lines[1]


def test_nodes_cut_off_from_every_source_are_absurd(tmp_path: Path) -> None:
    run(tmp_path, LINE, scenarios=[{"pipe[P1].status": "closed"}])
    assert rows_of(tmp_path)[0]["status"] == "absurd"


def test_a_halted_run_is_reported_by_its_missing_periods(tmp_path: Path) -> None:
    text = re.sub(r"Unbalanced\s+Continue 10", "Unbalanced STOP", NET3.read_text())
    text = re.sub(r"Trials\s+40", "Trials 2", text)
    summary = run(tmp_path, text, scenarios=[{}, {"demand.multiplier": 1.1}], options=DAY)
    for row in rows_of(tmp_path):
        assert row["status"] == "halted" and row["code"] == 1
        assert isinstance(row["periods"], int) and row["periods"] < 25
    assert summary.figures["halted"] == 2
    assert len(values_of(tmp_path)) == rows_of(tmp_path)[0]["periods"]


def test_results_that_are_not_numbers_are_flagged(tmp_path: Path) -> None:
    """Finite values whose product is not: the demand overflows inside EPANET, which says nothing."""
    run(tmp_path, LINE, scenarios=[{"junction[J1].base_demand": 1e300, "demand.multiplier": 1e300}, {}])
    statuses = [row["status"] for row in rows_of(tmp_path)]
    assert statuses == ["nan", "ok"]


def test_a_broken_file_is_refused_with_epanets_words_and_the_line(tmp_path: Path) -> None:
    with pytest.raises(NetworkError) as caught:
        run(tmp_path, BROKEN)
    message = str(caught.value)
    assert "Error 200: one or more errors in input file" in message
    assert "line 10: Error 203: undefined node J9 in [PIPES] section: P2 J1 J9" in message
    assert "line 11: Error 202: illegal numeric value abc" in message


@pytest.mark.parametrize("content", [b"", b"\0\xff\x01garbage\n" * 50, b"[JUNCTIONS]\n J1 0 0\n", b"\x89PNG\r\n"])
def test_a_file_that_is_no_network_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.inp").write_bytes(content)
    with pytest.raises(NetworkError, match=r"x\.inp: Error 2"):
        run(tmp_path, tmp_path / "x.inp")


def test_a_network_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match="not in the working directory"):
        run(tmp_path, tmp_path / "none.inp")


def test_refused_files_leave_no_open_file_behind(tmp_path: Path) -> None:
    (tmp_path / "bad.inp").write_text(BROKEN)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        with pytest.raises(NetworkError):
            run(tmp_path, tmp_path / "bad.inp")
    assert len(os.listdir("/proc/self/fd")) == before


def test_strict_and_max_failed_fail_the_task_and_leave_the_files(tmp_path: Path) -> None:
    with pytest.raises(StrictError):
        run(tmp_path, NET3, scenarios=[{"demand.multiplier": 3}], options={**DAY, "strict": True})
    with pytest.raises(TooManyFailedError):
        run(tmp_path, ANYTOWN, options={"max_failed": 0})
    assert rows_of(tmp_path)[0]["status"] == "absurd"


def test_quality_is_computed_when_asked(tmp_path: Path) -> None:
    output = {"nodes": {"variables": ["quality"]}}
    run(tmp_path, NET1, output=output, options={"quality": "inp"})
    last = values_of(tmp_path, "quality")[-1]
    assert 0.1 < last["22"] < 1.0
    with pytest.raises(SpecificationError, match="quality none"):
        run(tmp_path, LINE, output=output, options={"quality": "inp"})


def test_many_scenarios_are_written_in_groups_and_in_order(tmp_path: Path) -> None:
    run(tmp_path, LINE, scenarios=[{"demand.multiplier": 1 + number / 1000} for number in range(450)])
    file = pq.ParquetFile(tmp_path / "pressure.parquet")
    assert file.metadata.num_row_groups == 3
    assert file.read()["scenario"].to_pylist() == [number for number in range(450) for _ in range(5)]


def test_a_deep_working_directory_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EPANET keeps 259 bytes of a path."""
    deep = tmp_path.joinpath(*["d" * 60] * 6)
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    run(deep, LINE)
    assert rows_of(deep)[0]["status"] == "ok"
