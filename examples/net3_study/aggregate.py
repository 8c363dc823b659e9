"""Step 3 of the study: percentiles of pressure over all scenarios that can be believed.

Reads what the 20 simulation tasks left, leaves out failed scenarios (`status` in runs.parquet), and writes
`bands.parquet` (one row per node and time), `minima.parquet` (one row per node) and `summary.json`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from network import Network

PERCENTILES = (5, 25, 50, 75, 95)
USABLE = ("ok", "warned")
WORST_NODES = 4


def read_runs(folders: list[Path]) -> pa.Table:
    return pa.concat_tables([pq.read_table(folder / "runs.parquet") for folder in folders]).sort_by("scenario")


def read_pressures(folders: list[Path], usable: pa.Array) -> tuple[list[str], list[int], np.ndarray]:
    """Node ids, times, and pressures as (scenario, time, node)."""
    tables = [pq.read_table(folder / "pressure.parquet") for folder in folders]
    table = pa.concat_tables(tables)
    table = table.filter(pc.is_in(table["scenario"], usable)).sort_by(
        [("scenario", "ascending"), ("time", "ascending")]
    )
    nodes = table.column_names[2:]
    times = sorted(set(table["time"].to_pylist()))
    values = np.column_stack([table[node].to_numpy() for node in nodes]).astype(np.float64)
    return nodes, times, values.reshape(len(usable), len(times), len(nodes))


def write_bands(file: Path, nodes: list[str], times: list[int], bands: np.ndarray) -> None:
    """`bands` is (percentile, time, node)."""
    columns = {
        "node": np.repeat(nodes, len(times)).tolist(),
        "time": pa.array(np.tile(np.array(times, np.int32), len(nodes))),
        **{f"p{percentile}": bands[position].T.ravel() for position, percentile in enumerate(PERCENTILES)},
    }
    pq.write_table(pa.table(columns), file, compression="zstd")


def main() -> None:
    parser = argparse.ArgumentParser(description="Aggregates the pressures of the Net3 study.")
    parser.add_argument("--inp", type=Path, default=Path("Net3.inp"))
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder with a folder for each batch")
    parser.add_argument("--out", type=Path, default=Path("."))
    options = parser.parse_args()
    folders = sorted(file.parent for file in options.runs.glob("*/runs.parquet"))
    runs = read_runs(folders)
    usable = runs.filter(pc.is_in(runs["status"], pa.array(USABLE)))["scenario"].combine_chunks()
    if not len(usable):
        raise SystemExit("no scenario of the study has results that can be used; see `status` in runs.parquet")
    nodes, times, pressures = read_pressures(folders, usable)
    lowest = np.percentile(pressures.min(axis=1), 5, axis=0)
    options.out.mkdir(parents=True, exist_ok=True)
    write_bands(options.out / "bands.parquet", nodes, times, np.percentile(pressures, PERCENTILES, axis=0))
    pq.write_table(pa.table({"node": nodes, "p5_of_minimum": lowest}), options.out / "minima.parquet")
    summary = summarize(options.inp, folders[0], runs, dict(zip(nodes, lowest.tolist(), strict=True)))
    (options.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print_summary(summary)


def summarize(inp: Path, folder: Path, runs: pa.Table, lowest: dict[str, float]) -> dict[str, object]:
    """The worst nodes are sought where there is a demand: a pump's suction side bothers no customer."""
    metadata = {
        key.decode(): value.decode() for key, value in pq.read_schema(folder / "pressure.parquet").metadata.items()
    }
    customers = sorted((node for node in Network(inp).customers if node in lowest), key=lambda node: lowest[node])
    excluded = runs.filter(pc.invert(pc.is_in(runs["status"], pa.array(USABLE))))
    return {
        "scenarios": len(runs),
        "statuses": dict(Counter(runs["status"].to_pylist())),
        "excluded": excluded["scenario"].to_pylist(),
        "worst_nodes": {node: lowest[node] for node in customers[:WORST_NODES]},
        "pressure_units": metadata["units"],
        "engine": metadata["engine"],
        "inp_sha256": metadata["inp_sha256"],
    }


def print_summary(summary: dict) -> None:
    statuses = ", ".join(f"{count} {status}" for status, count in summary["statuses"].items())
    print(f"{summary['scenarios']} scenarios: {statuses}")
    for node, pressure in summary["worst_nodes"].items():
        unit = summary["pressure_units"]
        print(f"node {node}: 5th percentile of the day's lowest pressure {pressure:.1f} {unit}")


if __name__ == "__main__":
    main()
