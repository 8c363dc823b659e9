"""Writes tasks.json, the study as a task file: sample, 20 simulation batches, aggregate, plot."""

from __future__ import annotations

import json
from pathlib import Path

SCENARIOS = 1000
BATCHES = 20
SEED = 7

#: Where the study's results go in the datastore's tree.
HOME = "net3_study"
SCENARIO_TABLE = f"{HOME}/scenarios.csv"


def run_files(batch: int) -> list[str]:
    return [f"{HOME}/runs/{batch:02d}/{name}.parquet" for name in ("runs", "pressure")]


def sample() -> dict[str, object]:
    return {
        "id": "sample",
        "commands": [f"python3 sample.py --scenarios {SCENARIOS} --seed {SEED} --out {SCENARIO_TABLE}"],
        "requirements": ["sample.py"],
        "results": [SCENARIO_TABLE],
    }


def simulate(batch: int) -> dict[str, object]:
    size = SCENARIOS // BATCHES
    return {
        "id": f"simulate-{batch:02d}",
        "epanet": {
            "inp": "Net3.inp",
            "scenarios": SCENARIO_TABLE,
            "rows": [batch * size, (batch + 1) * size],
            "output": {
                "nodes": {"elements": ["*"], "variables": ["pressure"]},
                "directory": f"{HOME}/runs/{batch:02d}",
            },
            "options": {"duration": "24h"},
        },
        "dependencies": ["sample"],
        "requirements": ["Net3.inp", SCENARIO_TABLE],
        "results": run_files(batch),
    }


def aggregate() -> dict[str, object]:
    files = [file for batch in range(BATCHES) for file in run_files(batch)]
    return {
        "id": "aggregate",
        "commands": [f"python3 aggregate.py --inp Net3.inp --runs {HOME}/runs --out {HOME}"],
        "dependencies": [f"simulate-{batch:02d}" for batch in range(BATCHES)],
        "requirements": ["aggregate.py", "network.py", "Net3.inp", *files],
        "results": [f"{HOME}/{name}" for name in ("bands.parquet", "minima.parquet", "summary.json")],
    }


def plot() -> dict[str, object]:
    files = [f"{HOME}/{name}" for name in ("bands.parquet", "minima.parquet", "summary.json")]
    return {
        "id": "plot",
        "commands": [f"python3 plot.py --inp Net3.inp --results {HOME} --out {HOME}/net3_study.png"],
        "dependencies": ["aggregate"],
        "requirements": ["plot.py", "network.py", "Net3.inp", *files],
        "results": [f"{HOME}/net3_study.png"],
    }


def study() -> dict[str, object]:
    tasks = [sample(), *(simulate(batch) for batch in range(BATCHES)), aggregate(), plot()]
    return {"name": "net3-study", "defaults": {"retries": 1}, "tasks": tasks}


if __name__ == "__main__":
    Path(__file__).with_name("tasks.json").write_text(json.dumps(study(), indent=2) + "\n")
