"""Step 1 of the study: draws the scenarios and writes them as a table, one row each.

A scenario is a demand multiplier for the whole network (lognormal, mean 1) and a factor on the roughness
of all pipes (normal, pipes somewhat older than the model says). Each row has its own random stream, made
from the seed and the row's number, so more rows can be added without changing those that are there.
"""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path

import numpy as np

DEMAND_SPREAD = 0.2
ROUGHNESS_MEAN = 0.95
ROUGHNESS_SPREAD = 0.08
ROUGHNESS_LIMITS = (0.6, 1.2)

COLUMNS = ("scenario", "seed", "demand.multiplier", "pipe[*].roughness*")


def draw(seed: int, scenario: int) -> tuple[float, float]:
    random = np.random.default_rng(np.random.SeedSequence((seed, scenario)))
    demand = math.exp(random.normal(-(DEMAND_SPREAD**2) / 2, DEMAND_SPREAD))
    roughness = random.normal(ROUGHNESS_MEAN, ROUGHNESS_SPREAD)
    return demand, float(np.clip(roughness, *ROUGHNESS_LIMITS))


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws the scenarios of the Net3 study.")
    parser.add_argument("--scenarios", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("scenarios.csv"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for scenario in range(options.scenarios):
            table.writerow((scenario, options.seed, *map(repr, draw(options.seed, scenario))))


if __name__ == "__main__":
    main()
