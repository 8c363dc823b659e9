"""`check NET.inp`: what a network is and whether EPANET can solve it, before any study is made of it."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from worker.epanet import codes
from worker.epanet.assess import assess, sentence
from worker.epanet.library import ENGINE_VERSION
from worker.epanet.project import Project
from worker.epanet.solve import solve

_TIMED_RUNS = 3


def check(file: Path) -> dict[str, object]:
    """Facts about the network and its run as the file has it. Raises NetworkError."""
    project = Project(file)
    try:
        return {**_facts(project), **_run(project)}
    finally:
        project.close()


def _facts(project: Project) -> dict[str, object]:
    units = project.units()
    return {
        "file": project.file.name,
        "sha256": project.sha256,
        "engine": ENGINE_VERSION,
        "nodes": dict(Counter(project.nodes.kinds)),
        "links": dict(Counter(project.links.kinds)),
        "units": {"flow": units["flow"], "pressure": units["pressure"]},
        "quality": project.quality_type(),
        "duration": project.time(codes.TIME_DURATION),
        "hydraulic_step": project.time(codes.TIME_HYDRAULIC_STEP),
        "report_step": project.time(codes.TIME_REPORT_STEP),
    }


def _run(project: Project) -> dict[str, object]:
    best = float("inf")
    for _ in range(_TIMED_RUNS):
        started = time.perf_counter()
        solution = solve(project, ())
        best = min(best, time.perf_counter() - started)
    row = assess(0, solution, project.nodes.of_kind("junction"), project.nodes.ids)
    return {
        "status": row.status,
        "text": row.text if row.status == "ok" else sentence(row, project.units()["pressure"]),
        "min_pressure": row.min_pressure,
        "min_pressure_node": row.min_pressure_node,
        "ms_per_run": round(best * 1000, 3),
    }
