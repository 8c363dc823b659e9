#!/usr/bin/env python3
"""What the scaling policy is worth: makespan against VM-hours, in simulation: `python benchmarks/elasticity.py`.

Six studies, our policy at several `thrift`, and the rules of others at several settings, each with the mean of some
seeds of boot times. Two bounds per study, which cannot both be reached at once: makespan (critical path, or the work
on all slots, and one boot) and VM-hours (the work, and one boot). Writes a table; `--plot FILE` a picture.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.elastic.cloud import Outcome, Policy, Site, play
from benchmarks.elastic.policies import OURS, RIVALS
from benchmarks.elastic.studies import STUDIES, Study

Point = tuple[float, float]


def bounds(study: Study, site: Site) -> Point:
    """(seconds, VM-hours) below which none can be."""
    work = sum(study.seconds)
    first = min(study.arrives)
    makespan = max(study.critical_path(), first + work / (site.slots * site.most)) + site.boot * (1 - site.spread)
    return makespan, (work / site.slots + site.boot * (1 - site.spread)) / 3600


def measure(study: Study, policy: Policy, site: Site, seeds: int) -> Outcome:
    found = [play(study, policy, site, seed) for seed in range(seeds)]
    return Outcome(
        sum(each.makespan for each in found) / seeds,
        sum(each.worker_seconds for each in found) / seeds,
        round(sum(each.started for each in found) / seeds),
        sum(each.decisions for each in found),
    )


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


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="seeds of boot times per row")
    parser.add_argument("--study", default="", help="only the study of this name")
    parser.add_argument("--json", type=Path, help="write all numbers there")
    parser.add_argument("--plot", type=Path, help="write a picture there (matplotlib)")
    options = parser.parse_args(arguments)
    site = Site()
    rows: list[dict[str, object]] = []
    for make in STUDIES:
        study = make(random.Random(1))
        if options.study and options.study != study.name:
            continue
        least_makespan, least_hours = bounds(study, site)
        print(
            f"\n{study.name}: {len(study.seconds):,} tasks; bounds: {least_makespan:,.0f} s, {least_hours:.2f} VM-hours"
        )
        points: dict[str, Point] = {}
        for name, policy in {**OURS, **RIVALS}.items():
            began = time.perf_counter()
            outcome = measure(study, policy, site, options.seeds)
            spent = time.perf_counter() - began
            points[name] = (outcome.makespan, outcome.worker_seconds / 3600)
            mark = "  <= 1.1 x" if outcome.makespan <= 1.1 * least_makespan else ""
            print(
                f"  {name:34s} {outcome.makespan:8,.0f} s ({outcome.makespan / least_makespan:5.2f})"
                f" {outcome.worker_seconds / 3600:8.2f} h ({outcome.worker_seconds / 3600 / least_hours:5.2f})"
                f" {outcome.started:4d} started {spent / max(1, outcome.decisions) * 1e3:6.2f} ms a decision{mark}"
            )
            rows.append(
                {
                    "study": study.name,
                    "policy": name,
                    "makespan": outcome.makespan,
                    "vm_hours": outcome.worker_seconds / 3600,
                    "started": outcome.started,
                    "least_makespan": least_makespan,
                    "least_vm_hours": least_hours,
                }
            )
        own = {name: point for name, point in points.items() if name in OURS}
        others = {name: point for name, point in points.items() if name in RIVALS}
        quick = {name: hours for name, (makespan, hours) in points.items() if makespan <= 1.1 * least_makespan}
        fewest = min(quick, key=quick.__getitem__, default="nobody")
        print(f"  better on both measures: {', '.join(beaten(own, others)) or 'nobody'}")
        print(f"  matched by none of ours: {', '.join(unmatched(own, others)) or 'none'}")
        print(f"  fewest VM-hours within 1.1 x the least makespan: {fewest}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    if options.plot:
        plot(rows, options.plot)
    return 0


def plot(rows: list[dict[str, object]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(str(row["study"]) for row in rows))
    figure, axes = pyplot.subplots(2, (len(names) + 1) // 2, figsize=(4.5 * ((len(names) + 1) // 2), 8), squeeze=False)
    for name, axis in zip(names, axes.flat, strict=False):
        of_it = [row for row in rows if row["study"] == name]
        for ours, colour in ((True, "tab:blue"), (False, "tab:grey")):
            chosen = [row for row in of_it if (row["policy"] in OURS) is ours]
            axis.scatter([row["vm_hours"] for row in chosen], [row["makespan"] for row in chosen], c=colour, s=18,
                         label="ours" if ours else "others")  # fmt: skip
        axis.axhline(float(str(of_it[0]["least_makespan"])), lw=0.5, c="k")
        axis.axvline(float(str(of_it[0]["least_vm_hours"])), lw=0.5, c="k")
        axis.set(title=name, xlabel="VM-hours", ylabel="makespan in s", xscale="log", yscale="log")
    axes.flat[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
