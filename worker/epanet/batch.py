"""A whole batch: checks everything, solves scenario after scenario, writes the files, and sums up.

This is what a task is. Knows the order of things and nothing about pipes, protocols or the command line.

Scenarios share one open network. To be sure that none of them left a trace, the unchanged network is solved
at the beginning and at the end, and must give the same bits; if it does not, the batch is solved again with
the file opened again for each scenario.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wire.messages import EpanetRun
from worker.epanet.assess import USABLE, BatchSummary, RunRow, assess, refuse_failures, sum_up
from worker.epanet.changes import NetworkChanges
from worker.epanet.errors import EngineError, EpanetError, MachineError, NetworkError, SpecificationError
from worker.epanet.library import ENGINE_VERSION
from worker.epanet.project import Project
from worker.epanet.results import ResultFiles, Variable, kept_variables
from worker.epanet.scenarios import Scenario, Table, read_table
from worker.epanet.solve import Solution, solve
from worker.epanet.specification import BatchOptions, Output, parse_options, parse_output
from worker.epanet.warm import Key, OpenNetwork, OpenNetworks, fingerprint, open_network

#: Raised when the layout or the meaning of the result files changes.
RUNNER_VERSION = "1"

Progress = Callable[[float], None]


class _StainedNetworkError(EpanetError):
    """The shared network does not give its own results any more."""


@dataclass
class _Batch:
    file: Path
    key: Key
    table: Table
    output: Output
    options: BatchOptions
    directory: Path
    progress: Progress


def run_batch(
    run: EpanetRun,
    directory: Path,
    networks: OpenNetworks,
    progress: Progress = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> BatchSummary:
    """Raises a fault of `worker.epanet.errors`; StrictError and TooManyFailedError leave the files complete."""
    started = time.perf_counter()
    try:
        batch = _prepare(run, directory, progress)
        try:
            rows, unit = _solve_sharing(batch, networks)
        except _StainedNetworkError:
            tell(
                "solving again with the network opened again for each scenario: it did not come back to its own results"
            )
            rows, unit = _solve_apart(batch)
    except OSError as error:
        raise MachineError(f"the batch cannot go on here: {error}") from error
    summary = sum_up(rows, unit, time.perf_counter() - started)
    for line in summary.lines:
        tell(line)
    refuse_failures(batch.options, rows, summary.figures)
    return summary


def _prepare(run: EpanetRun, directory: Path, progress: Progress) -> _Batch:
    output, options = parse_output(run.output), parse_options(run.options)
    table = read_table(run.scenarios, run.rows, directory)
    file = directory / run.inp
    if not file.is_file():
        raise SpecificationError(f"the network {run.inp} is not in the working directory")
    key = (hashlib.sha256(file.read_bytes()).hexdigest(), options.simulation)
    return _Batch(file, key, table, output, options, directory / output.directory, progress)


def _solve_sharing(batch: _Batch, networks: OpenNetworks) -> tuple[list[RunRow], str]:
    """All scenarios on one open network, which is kept for later batches if it stayed clean."""
    alone = len(batch.table.scenarios) == 1
    network = (None if alone else networks.take(batch.key)) or OpenNetwork(_open(batch))
    try:
        changes = NetworkChanges(network.project, batch.table)
        variables = kept_variables(batch.output, batch.options, network.project)
        if network.reference is None and not alone:
            network.reference = fingerprint(network.project)
            if network.reference is None:
                raise _StainedNetworkError
        rows, unit = _with_files(
            batch, variables, network.project, lambda files: _shared(batch, network, changes, files)
        )
    except BaseException:
        network.project.close()
        raise
    if alone:
        network.project.close()
    else:
        networks.give_back(batch.key, network)
    return rows, unit


def _solve_apart(batch: _Batch) -> tuple[list[RunRow], str]:
    """Each scenario on a network opened for it alone."""
    project = _open(batch)
    try:
        variables = kept_variables(batch.output, batch.options, project)
        return _with_files(batch, variables, project, partial(_apart, batch))
    finally:
        project.close()


def _open(batch: _Batch) -> Project:
    try:
        return open_network(batch.file, batch.options.simulation)
    except EngineError as error:
        raise NetworkError(f"{batch.file.name}: {error}") from error


def _with_files(
    batch: _Batch, variables: list[Variable], project: Project, work: Callable[[ResultFiles], list[RunRow]]
) -> tuple[list[RunRow], str]:
    units = project.units()
    metadata = {
        "inp_sha256": batch.key[0],
        "engine": f"EPANET {ENGINE_VERSION}",
        "runner": f"ecloud {RUNNER_VERSION}",
        "pressure_units": units["pressure"],
        "flow_units": units["flow"],
    }
    files = ResultFiles(batch.directory, variables, metadata)
    try:
        rows = work(files)
        files.finish(batch.table, rows)
    except BaseException:
        files.discard()
        raise
    return rows, units["pressure"]


def _shared(batch: _Batch, network: OpenNetwork, changes: NetworkChanges, files: ResultFiles) -> list[RunRow]:
    rows = []
    alone = len(batch.table.scenarios) == 1
    for done, scenario in enumerate(batch.table.scenarios):
        rows.append(_one(batch, changes, scenario, files))
        batch.progress((done + 1) / len(batch.table.scenarios))
        if rows[-1].status not in (*USABLE, "absurd") and not alone:
            _check_clean(network, changes)
            network.project.close()
            network.project = _open(batch)
            changes.forget(network.project)
    if not alone:
        _check_clean(network, changes)
    return rows


def _check_clean(network: OpenNetwork, changes: NetworkChanges) -> None:
    """Raises _StainedNetworkError unless the unchanged network still gives the bits that it gave at first."""
    try:
        changes.restore()
    except EngineError:
        raise _StainedNetworkError from None
    if fingerprint(network.project) != network.reference:
        raise _StainedNetworkError


def _apart(batch: _Batch, files: ResultFiles) -> list[RunRow]:
    rows = []
    for done, scenario in enumerate(batch.table.scenarios):
        project = _open(batch)
        try:
            rows.append(_one(batch, NetworkChanges(project, batch.table), scenario, files))
        finally:
            project.close()
        batch.progress((done + 1) / len(batch.table.scenarios))
    return rows


def _one(batch: _Batch, changes: NetworkChanges, scenario: Scenario, files: ResultFiles) -> RunRow:
    started = time.perf_counter()
    project = changes.project
    try:
        changes.apply(scenario)
    except EngineError as error:
        return RunRow(scenario.number, "error", error.code, str(error))
    quantities = tuple(file.variable.quantity for file in files.files)
    solution: Solution = solve(project, quantities, batch.options.simulation.quality)
    row = assess(scenario.number, solution, project.nodes.of_kind("junction"), project.nodes.ids)
    files.add(scenario.number, solution)
    row.wall_ms = (time.perf_counter() - started) * 1000
    return row
