#!/usr/bin/env python3
"""What the scaling policy is worth: makespan against VM-hours, in simulation: `python benchmarks/elasticity.py`.

Six studies, our policy at several `cost_weight`, and the rules of others at several settings; each with the mean of
some draws of the study and of boot times, the same for all. Two bounds per study, which cannot both be reached at once:
makespan (tasks in a row, or the work on all slots, before and behind each task; after one boot) and VM-hours (the work,
and one boot). Writes a table; `--plot FILE` a picture. `--cost` tells what one decision takes instead.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.elastic.cloud import Outcome, Site, play
from benchmarks.elastic.cost import decision_milliseconds
from benchmarks.elastic.policies import OURS, RIVALS
from benchmarks.elastic.studies import STUDIES, Study

Point = tuple[float, float]


def bounds(study: Study, site: Site) -> Point:
    """(seconds, VM-hours) below which none can be."""
    boot = site.boot * (1 - site.spread)
    makespan = study.min_makespan(min(study.arrives) + boot, site.slots * site.max_workers)
    return makespan, (sum(study.seconds) / site.slots + boot) / 3600


def measure(study: str, policy: str, seed: int) -> tuple[str, str, Outcome, Point]:
    """One draw of a study under one policy, with its bounds."""
    drawn = next(make for make in STUDIES if make.__name__ == study)(random.Random(seed + 1))
    outcome = play(drawn, {**OURS, **RIVALS}[policy], Site(), seed)
    return study, policy, outcome, bounds(drawn, Site())


def measured(studies: list[str], seeds: int, processes: int) -> dict[str, dict[str, list[tuple[Outcome, Point]]]]:
    jobs = [(study, policy, seed) for study in studies for policy in {**OURS, **RIVALS} for seed in range(seeds)]
    found: dict[str, dict[str, list[tuple[Outcome, Point]]]] = {}
    with ProcessPoolExecutor(processes) as pool:
        for study, policy, outcome, bound in pool.map(measure, *zip(*jobs, strict=True), chunksize=seeds):
            found.setdefault(study, {}).setdefault(policy, []).append((outcome, bound))
    return found


def mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known)


def beaten(ours: dict[str, Point], rivals: dict[str, Point]) -> list[str]:
    """Pairs in which a rival setting is better than one of ours on both measures (by more than a thousandth)."""
    return [
        f"{rival} beats {own}"
        for rival, (makespan, hours) in rivals.items()
        for own, (own_makespan, own_hours) in ours.items()
        if makespan < own_makespan * 0.999 and hours < own_hours * 0.999
    ]


def unmatched(ours: dict[str, Point], rivals: dict[str, Point]) -> list[str]:
    """Rival settings that none of ours equals or betters on both measures: points of the front that we do not reach."""
    return [
        name
        for name, (makespan, hours) in rivals.items()
        if not any(m <= makespan * 1.001 and h <= hours * 1.001 for m, h in ours.values())
    ]


def off_the_front(ours: dict[str, Point]) -> list[str]:
    """Our settings than which another of ours is better on both measures, by more than half a hundredth."""
    return [
        f"{name} (by {other})"
        for name, (makespan, hours) in ours.items()
        for other, (m, h) in ours.items()
        if m < makespan * 0.995 and h < hours * 0.995
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="draws of studies and boot times per row")
    parser.add_argument("--study", default="", help="only the study of this name")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="at once")
    parser.add_argument("--json", type=Path, help="write all numbers there")
    parser.add_argument("--plot", type=Path, help="write a picture there (matplotlib)")
    parser.add_argument("--cost", action="store_true", help="what one decision costs, for graphs of several sizes")
    options = parser.parse_args(arguments)
    if options.cost:
        for tasks in (1_000, 2_000, 100_000, 1_000_000):
            print(f"{tasks:9,} tasks: {decision_milliseconds(tasks):6.1f} ms of CPU time a decision")
        return 0
    names = {make.__name__: make(random.Random(1)).name for make in STUDIES}
    chosen = [key for key, name in names.items() if options.study in ("", name)]
    rows: list[dict[str, object]] = []
    for key, of_study in measured(chosen, options.seeds, options.processes).items():
        rows += rows_of(names[key], of_study)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    if options.plot:
        plot(rows, options.plot)
    return 0


def rows_of(study: str, of_study: dict[str, list[tuple[Outcome, Point]]]) -> list[dict[str, object]]:
    """Print what was measured of one study; its rows."""
    draws = next(iter(of_study.values()))
    min_makespan, min_hours = mean(bound[0] for _, bound in draws), mean(bound[1] for _, bound in draws)
    print(f"\n{study}: bounds {min_makespan:,.0f} s, {min_hours:.2f} VM-hours")
    points: dict[str, Point] = {}
    rows: list[dict[str, object]] = []
    for name, found in of_study.items():
        makespan = mean(outcome.makespan for outcome, _ in found)
        hours = mean(outcome.worker_seconds for outcome, _ in found) / 3600
        started = mean(outcome.started for outcome, _ in found)
        points[name] = (makespan, hours)
        mark = "  <= 1.1 x" if makespan <= 1.1 * min_makespan else ""
        print(f"  {name:34s} {makespan:8,.0f} s ({makespan / min_makespan:5.2f}) {hours:8.2f} h "
              f"({hours / min_hours:5.2f}) {started:5.0f} started{mark}")  # fmt: skip
        rows.append({"study": study, "policy": name, "makespan": makespan, "vm_hours": hours, "started": started,
                     "min_makespan": min_makespan, "min_vm_hours": min_hours})  # fmt: skip
    own = {name: point for name, point in points.items() if name in OURS}
    others = {name: point for name, point in points.items() if name in RIVALS}
    print(f"  better on both measures: {', '.join(beaten(own, others)) or 'none'}")
    print(f"  matched by none of ours: {', '.join(unmatched(own, others)) or 'none'}")
    print(f"  better on both by another of ours: {', '.join(off_the_front(own)) or 'none'}")
    for what, limit in (("the least makespan", min_makespan), ("the fastest", min(m for m, _ in points.values()))):
        quick = {name: hours for name, (makespan, hours) in points.items() if makespan <= 1.1 * limit}
        fewest = min(quick, key=quick.__getitem__, default="none")
        print(f"  fewest VM-hours within 1.1 x {what}: {fewest}")
    return rows


def plot(rows: list[dict[str, object]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(str(row["study"]) for row in rows))
    columns = (len(names) + 1) // 2
    figure, axes = pyplot.subplots(2, columns, figsize=(4.6 * columns, 8.2), squeeze=False)
    styles = {"ours": ("tab:blue", "o"), "all at once": ("k", "*"), "queue": ("tab:orange", "s"),
              "Dask": ("tab:green", "^"), "CLUES": ("tab:red", "D")}  # fmt: skip
    for name, axis in zip(names, axes.flat, strict=False):
        of_it = [row for row in rows if row["study"] == name]
        for family, (colour, marker) in styles.items():
            found = [(_number(row["vm_hours"]), _number(row["makespan"])) for row in of_it
                     if str(row["policy"]).startswith(family)]  # fmt: skip
            hours, makespans = zip(*found, strict=True)
            axis.plot(hours, makespans, marker, ls="-" if family == "ours" else "", lw=0.8, c=colour, ms=5,
                      alpha=0.8, label="ours, by cost_weight" if family == "ours" else f"{family} ...")  # fmt: skip
        axis.axhline(_number(of_it[0]["min_makespan"]), lw=0.8, ls="--", c="grey")
        axis.axvline(_number(of_it[0]["min_vm_hours"]), lw=0.8, ls="--", c="grey")
        axis.set(title=name, xlabel="VM-hours", ylabel="makespan in s", xscale="log", yscale="log")
        axis.xaxis.set_minor_formatter("{x:g}")
        axis.tick_params(axis="x", which="both", labelsize=7, labelrotation=45)
    axes.flat[0].legend(fontsize=8)
    figure.suptitle("Makespan against VM-hours; dashed: the lower bounds")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def _number(value: object) -> float:
    return float(str(value))


if __name__ == "__main__":
    sys.exit(main())
