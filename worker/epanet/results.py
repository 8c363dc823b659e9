"""The result files of a batch: one wide Parquet file per variable, and `runs.parquet`.

What a task keeps is resolved against its network: which values of which elements make which file. Knows the layout
(docs/epanet.md), and no call of EPANET. Files are written under a temporary name and get
their own when the batch is whole, so that a killed batch leaves nothing that looks like a result.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from worker.epanet import codes
from worker.epanet.assess import RunRow
from worker.epanet.changes import find_elements
from worker.epanet.errors import SpecificationError
from worker.epanet.project import Project
from worker.epanet.scenarios import Scenario, Table
from worker.epanet.setpaths import TIMES
from worker.epanet.solve import Quantity, Solution
from worker.epanet.specification import RUNS_FILE, BatchOptions, ElementSelection, Output

#: A row group is written when it has so many scenarios, or so many bytes.
_GROUP_SCENARIOS = 200
_GROUP_BYTES = 32_000_000

_RUN_TYPES = {"int": pa.int32(), "str": pa.string(), "float": pa.float64()}


@dataclass(frozen=True)
class Variable:
    """One file: which values of which elements."""

    name: str
    quantity: Quantity
    #: Columns of the solution's array; None is all of them.
    columns: tuple[int, ...] | None
    ids: tuple[str, ...]
    unit: str


def kept_variables(output: Output, options: BatchOptions, project: Project) -> list[Variable]:
    """Raises SpecificationError for an element that the network does not have."""
    found = _section(output.nodes, project, True) + _section(output.links, project, False)
    if any(variable.name == "quality" for variable in found):
        if not options.simulation.quality:
            raise SpecificationError('output requires quality, which is not computed; set options.quality to "inp"')
        if project.quality_type() == "none":
            raise SpecificationError("output requires quality, and the network's file has quality none")
    return found


def _section(selection: ElementSelection, project: Project, of_nodes: bool) -> list[Variable]:
    elements = project.nodes if of_nodes else project.links
    known = codes.NODE_VARIABLES if of_nodes else codes.LINK_VARIABLES
    where = f"output.{'nodes' if of_nodes else 'links'}.elements"
    if not selection.variables:
        return []
    indices = dict.fromkeys(
        index for selector in selection.elements for index in find_elements(elements, "", selector, where)
    )
    ids = tuple(elements.ids[index] for index in indices)
    for taken in ("scenario", "time"):
        if taken in ids:
            raise SpecificationError(
                f"{where}: an element named {taken!r} cannot be kept; the files have such a column"
            )
    columns = None if list(indices) == list(range(len(elements))) else tuple(indices)
    units = project.units()
    return [
        Variable(name, (of_nodes, known[name][0]), columns, ids, units[known[name][1]]) for name in selection.variables
    ]


class _VariableFile:
    def __init__(self, path: Path, variable: Variable, metadata: dict[str, str]) -> None:
        self.variable = variable
        fields = [pa.field("scenario", pa.int32()), pa.field("time", pa.int32())]
        fields += [pa.field(id, pa.float32()) for id in variable.ids]
        self.schema = pa.schema(fields, {**metadata, "variable": variable.name, "units": variable.unit})
        self.writer = pq.ParquetWriter(
            path, self.schema, compression="zstd", use_dictionary=False, use_byte_stream_split=list(variable.ids)
        )
        self.scenarios: list[npt.NDArray[np.int32]] = []
        self.times: list[int] = []
        self.blocks: list[npt.NDArray[np.float32]] = []
        self.bytes = 0

    def add(self, scenario: int, solution: Solution) -> None:
        values = solution.values[self.variable.quantity]
        block = values if self.variable.columns is None else values[:, self.variable.columns]
        with np.errstate(over="ignore"):
            self.blocks.append(block.astype(np.float32))
        self.scenarios.append(np.full(len(block), scenario, np.int32))
        self.times += solution.times
        self.bytes += self.blocks[-1].nbytes
        if len(self.blocks) >= _GROUP_SCENARIOS or self.bytes >= _GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        if not self.blocks:
            return
        columns = np.ascontiguousarray(np.concatenate(self.blocks).T)
        arrays = [pa.array(np.concatenate(self.scenarios)), pa.array(np.array(self.times, np.int32))]
        table = pa.Table.from_arrays([*arrays, *(pa.array(column) for column in columns)], schema=self.schema)
        self.writer.write_table(table, row_group_size=len(table) or 1)
        self.scenarios, self.times, self.blocks, self.bytes = [], [], [], 0


class ResultFiles:
    """All files of a batch. `finish` gives them their names, `discard` leaves nothing of them."""

    def __init__(self, directory: Path, variables: Sequence[Variable], metadata: dict[str, str]) -> None:
        self.directory = directory
        self.metadata = metadata
        directory.mkdir(parents=True, exist_ok=True)
        self.names = [RUNS_FILE, *(f"{variable.name}.parquet" for variable in variables)]
        self.files = [
            _VariableFile(self._temporary(name), variable, metadata)
            for variable, name in zip(variables, self.names[1:], strict=True)
        ]

    def _temporary(self, name: str) -> Path:
        return self.directory / f".{name}.part"

    def add(self, scenario: int, solution: Solution) -> None:
        for file in self.files:
            file.add(scenario, solution)

    def finish(self, table: Table, rows: Sequence[RunRow]) -> None:
        for file in self.files:
            file.flush()
            file.writer.close()
        runs = _runs_table(table, rows).replace_schema_metadata(self.metadata)
        pq.write_table(runs, self._temporary(RUNS_FILE), compression="zstd")
        for name in reversed(self.names):
            os.replace(self._temporary(name), self.directory / name)

    def discard(self) -> None:
        for file in self.files:
            if file.writer.is_open:
                file.writer.close()
        for name in self.names:
            self._temporary(name).unlink(missing_ok=True)


def _runs_table(table: Table, rows: Sequence[RunRow]) -> pa.Table:
    columns: dict[str, pa.Array] = {}
    for field in dataclasses.fields(RunRow):
        kind = str(field.type).split(" ")[0]
        columns[field.name] = pa.array([getattr(row, field.name) for row in rows], _RUN_TYPES[kind])
    for position, path in enumerate(table.paths):
        values = [scenario.values[position] for scenario in table.scenarios]
        columns[path.name] = _set_values(path.attribute, values)
    for position, name in enumerate(table.carried):
        columns[name] = _carried_values(table.scenarios, position)
    return pa.table(columns)


def _set_values(attribute: str, values: list[float | None]) -> pa.Array:
    if attribute == "status":
        return pa.array([None if value is None else "open" if value else "closed" for value in values], pa.string())
    return pa.array(values, pa.float64()).cast(pa.int32() if attribute in TIMES else pa.float64())


def _carried_values(scenarios: Sequence[Scenario], position: int) -> pa.Array:
    values = [scenario.carried[position] for scenario in scenarios]
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else str(value) for value in values])
