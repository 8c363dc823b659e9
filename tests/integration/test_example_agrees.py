"""The Net3 study, its tasks run one after another as a worker would, against an independent computation.

No boss, no datastore: each task of tasks.json gets a directory with its requirements and nothing else, and
must leave its declared results. The same check serves a run through the boss: `compare` takes a folder.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from boss.intake.epanet import result_names
from examples.net3_study import make_tasks
from tests.worlds.net3_study import STUDY, compare, computed_directly
from tests.worlds.waiting import scaled
from wire.messages import EpanetRun
from worker.epanet.batch import run_batch
from worker.epanet.warm import OpenNetworks


def commands(work: Path, lines: list[str]) -> None:
    """`python3` is this Python, as with a worker."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    for line in lines:
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=work,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=scaled(100),
        )
        assert done.returncode == 0, done.stderr


def perform(task: dict[str, object], tree: Path, work: Path, networks: OpenNetworks) -> None:
    requirements, results = task["requirements"], task["results"]
    assert isinstance(requirements, list) and isinstance(results, list)
    for name in requirements:
        source = tree / name if (tree / name).exists() else STUDY / name
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, work / name)
    if "epanet" in task:
        run = EpanetRun(**task["epanet"])  # type: ignore[arg-type]
        assert sorted(results) == sorted(result_names(run))
        run_batch(run, work, networks)
    else:
        commands(work, task["commands"])  # type: ignore[arg-type]
    for name in results:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(work / name, tree / name)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the study's results."""
    tree, networks = tmp_path_factory.mktemp("tree"), OpenNetworks()
    for task in json.loads((STUDY / "tasks.json").read_text())["tasks"]:
        perform(task, tree, tmp_path_factory.mktemp(task["id"]), networks)
    networks.close()
    return tree / make_tasks.HOME


@pytest.fixture(scope="module")
def direct(results: Path) -> tuple[list[str], np.ndarray]:
    """Nodes, and pressures (scenario, time, node), from owa-epanet's own module."""
    if sys.version_info >= (3, 13):
        pytest.skip("owa-epanet has no wheel for Python 3.13 and later, and nothing else computes independently here")
    return computed_directly(results / "scenarios.csv", results / "direct.npz")


def test_the_aggregate_agrees_with_a_direct_loop(results: Path, direct: tuple[list[str], np.ndarray]) -> None:
    nodes, pressures = direct
    assert pressures.shape == (make_tasks.SCENARIOS, 25, 97)
    compare(results, nodes, pressures)


def test_every_pressure_agrees_with_a_direct_loop(results: Path, direct: tuple[list[str], np.ndarray]) -> None:
    nodes, pressures = direct
    size = make_tasks.SCENARIOS // make_tasks.BATCHES
    for batch in range(make_tasks.BATCHES):
        table = pq.read_table(results / "runs" / f"{batch:02d}" / "pressure.parquet")
        assert table.column_names[2:] == nodes
        found = np.column_stack([table[node].to_numpy() for node in nodes]).reshape(size, 25, len(nodes))
        np.testing.assert_allclose(found, pressures[batch * size : (batch + 1) * size], rtol=1e-6, atol=1e-9)


def test_the_summary_and_the_picture_are_there(results: Path) -> None:
    summary = json.loads((results / "summary.json").read_text())
    assert summary["scenarios"] == sum(summary["statuses"].values()) == make_tasks.SCENARIOS
    assert len(summary["worst_nodes"]) == 4 and summary["excluded"] == []
    assert (summary["pressure_units"], summary["engine"]) == ("psi", "EPANET 2.3.5")
    picture = (results / "net3_study.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 50_000


def test_failed_scenarios_are_left_out_of_the_aggregate(results: Path, tmp_path: Path) -> None:
    """One batch in which two scenarios fail, aggregated: as if they were not there."""
    networks = OpenNetworks()
    scenarios: list[dict[str, object]] = [
        {"scenario": number, "demand.multiplier": 0.8 + number / 20} for number in range(8)
    ]
    faulty: list[dict[str, object]] = [
        {"scenario": 100, "pipe[20].roughness": -1},
        {"scenario": 101, "junction[101].base_demand": 1e300, "demand.multiplier": 1e300},
    ]
    for name, rows in (("clean", scenarios), ("faulty", scenarios[:4] + faulty + scenarios[4:])):
        output: dict[str, object] = {"directory": f"{name}/runs/00"}
        shutil.copy(STUDY / "Net3.inp", tmp_path)
        run_batch(
            EpanetRun(inp="Net3.inp", scenarios=rows, output=output, options={"duration": "24h"}), tmp_path, networks
        )
        commands(tmp_path, [f"python3 {STUDY}/aggregate.py --inp Net3.inp --runs {name}/runs --out {name}"])
    networks.close()
    clean, dirty = (pq.read_table(tmp_path / name / "bands.parquet") for name in ("clean", "faulty"))
    assert clean.equals(dirty)
    assert json.loads((tmp_path / "faulty" / "summary.json").read_text())["excluded"] == [100, 101]


def test_the_task_file_is_what_its_maker_makes() -> None:
    assert json.loads((STUDY / "tasks.json").read_text()) == make_tasks.study()


def test_a_longer_table_begins_with_the_same_scenarios(results: Path, tmp_path: Path) -> None:
    commands(tmp_path, [f"python3 {STUDY}/sample.py --scenarios {make_tasks.SCENARIOS + 5} --out longer.csv"])
    with (results / "scenarios.csv").open() as short, (tmp_path / "longer.csv").open() as longer:
        before, after = list(csv.reader(short)), list(csv.reader(longer))
    assert after[: len(before)] == before and len(after) == len(before) + 5
