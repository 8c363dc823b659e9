"""The Net3 study of the examples: its results against an independent computation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tests.worlds.epanet import TOP
from tests.worlds.waiting import scaled

STUDY = TOP / "examples" / "net3_study"
PERCENTILES = (5, 25, 50, 75, 95)


def computed_directly(scenarios: Path, out: Path) -> tuple[list[str], np.ndarray]:
    """Nodes, and pressures (scenario, time, node), from owa-epanet's own module; `out`: where it writes them."""
    program = Path(__file__).with_name("epanet_direct.py")
    # -P: this folder has a module `epanet`, too.
    line = [sys.executable, "-P", str(program), str(STUDY / "Net3.inp"), str(scenarios), str(out)]
    subprocess.run(line, check=True, timeout=scaled(200), capture_output=True)
    loaded = np.load(out)
    return loaded["nodes"].tolist(), loaded["pressures"]


def compare(results: Path, nodes: list[str], pressures: np.ndarray) -> None:
    """The study's bands and minima against those of the pressures given."""
    table = pq.read_table(results / "bands.parquet").to_pylist()
    bands = {(row["node"], row["time"]): row for row in table}
    assert len(bands) == len(nodes) * pressures.shape[1]
    minima = pq.read_table(results / "minima.parquet").to_pylist()
    lowest = {row["node"]: row["p5_of_minimum"] for row in minima}
    for column, node in enumerate(nodes):
        for hour in range(pressures.shape[1]):
            ordered = sorted(pressures[:, hour, column].tolist())
            for percent in PERCENTILES:
                right = percentile(ordered, percent)
                assert close(bands[node, hour * 3600][f"p{percent}"], right), (node, hour, percent)
        assert close(lowest[node], percentile(sorted(pressures[:, :, column].min(axis=1).tolist()), 5)), node


def percentile(ordered: list[float], percent: float) -> float:
    """Linear between the two nearest ranks; written out, so that it is not the function that the study uses."""
    rank = percent / 100 * (len(ordered) - 1)
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (rank - below) * (ordered[above] - ordered[below])


def close(found: float, right: float) -> bool:
    return abs(found - right) <= 1e-6 * max(abs(right), 1e-3)
