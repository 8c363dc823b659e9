"""Scenarios' values brought into an open network, and taken out again.

Values always start from the network's own (the file's, with the task's options), never from the scenario
before. Knows set-paths and elements; how EPANET takes a value is `worker.epanet.attributes`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from worker.epanet import codes
from worker.epanet.attributes import ALL_TIMES, READ, WRITE, Value, changed_times, get_times
from worker.epanet.errors import SpecificationError, suggestion
from worker.epanet.project import Elements, Project
from worker.epanet.scenarios import Scenario, Table
from worker.epanet.setpaths import TIMES, SetPath

#: Attribute -> index of the element (0 for what belongs to the whole network) -> value.
Targets = dict[str, dict[int, Value]]


def find_elements(elements: Elements, kind: str, selector: str, where: str) -> list[int]:
    """Indices of the elements of this kind (all, if empty) that the selector names."""
    known = elements.index.get(selector)
    if known is not None and kind in ("", elements.kinds[known]):
        return [known]
    candidates = elements.of_kind(kind) if kind else range(len(elements))
    if any(character in selector for character in "*?["):
        found = [index for index in candidates if fnmatchcase(elements.ids[index], selector)]
        if found:
            return found
    if known is not None:
        raise SpecificationError(f"{where}: {selector!r} is a {elements.kinds[known]} in this network, not a {kind}")
    near = suggestion(selector, [elements.ids[index] for index in candidates], 0.5)
    raise SpecificationError(f"{where}: the network has no {kind or 'element'} {selector!r}{near}")


@dataclass
class _Column:
    """One set-path, resolved: which elements, and what their own values are."""

    path: SetPath
    indices: list[int]
    own: list[Value]


@dataclass
class NetworkChanges:
    """A table's set-paths, resolved against a network. `apply` brings in one scenario at a time."""

    project: Project
    table: Table
    columns: list[_Column] = field(default_factory=list)
    #: What the network has now that may differ from its own values.
    dirty: Targets = field(default_factory=dict)
    own_values: Targets = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.own_values[ALL_TIMES] = {0: get_times(self.project)}
        self.columns = [self._resolve(path) for path in self.table.paths]
        checked: set[tuple[bool, ...]] = set()
        for scenario in self.table.scenarios:
            self._times(scenario)
            filled = tuple(value is not None for value in scenario.values)
            if filled not in checked:
                checked.add(filled)
                used = list(itertools.compress(self.columns, filled))
                _refuse_overlap(self.project, used, f"scenario {scenario.number}")

    def apply(self, scenario: Scenario) -> None:
        """Raises EngineError where EPANET refuses a value; the network is then to be discarded."""
        self._change_to(self._targets(scenario))

    def restore(self) -> None:
        self._change_to({})

    def forget(self, project: Project) -> None:
        """The network was opened again: nothing is changed in it."""
        self.project = project
        self.dirty = {}

    def _resolve(self, path: SetPath) -> _Column:
        if path.attribute in TIMES:
            return _Column(path, [], [])
        where = f"column {path.name!r}"
        indices = find_elements(_elements(self.project, path), path.kind, path.selector, where) if path.kind else [0]
        if path.attribute == "status":
            _refuse_check_valves(self.project, indices, where)
        own = READ[path.attribute](self.project, indices)
        self.own_values.setdefault(path.attribute, {}).update(zip(indices, own, strict=True))
        return _Column(path, indices, own)

    def _times(self, scenario: Scenario) -> Value | None:
        wanted = {
            column.path.attribute: value
            for column, value in zip(self.columns, scenario.values, strict=True)
            if value is not None and column.path.attribute in TIMES
        }
        own = self.own_values[ALL_TIMES][0]
        return changed_times(self.project, own, wanted, f"scenario {scenario.number}") if wanted else None

    def _targets(self, scenario: Scenario) -> Targets:
        targets: Targets = {}
        if times := self._times(scenario):
            targets[ALL_TIMES] = {0: times}
        for column, value in zip(self.columns, scenario.values, strict=True):
            if value is not None and column.indices:
                _add_targets(targets.setdefault(column.path.attribute, {}), column, value)
        return targets

    def _change_to(self, targets: Targets) -> None:
        for attribute, values in self.dirty.items():
            new = targets.get(attribute, {})
            own = self.own_values[attribute]
            WRITE[attribute](self.project, {index: own[index] for index in values if index not in new})
        self.dirty = targets
        for attribute, values in targets.items():
            WRITE[attribute](self.project, values)


def _elements(project: Project, path: SetPath) -> Elements:
    return project.nodes if path.kind == "junction" else project.links


def _add_targets(into: dict[int, Value], column: _Column, value: float) -> None:
    """Factors on the same element multiply; anything else was refused before."""
    for index, own in zip(column.indices, column.own, strict=True):
        if column.path.factor:
            into[index] = tuple(part * value for part in into.get(index, own))
        elif column.path.attribute == "base_demand":
            into[index] = _with_total(own, value)
        else:
            into[index] = (value, *own[1:])


def _with_total(demands: Value, total: float) -> Value:
    """A junction's demand categories keep their shares; without any demand the first one gets it all."""
    before = sum(demands)
    if len(demands) < 2 or before == 0:
        return (total, *(0.0 for _ in demands[1:]))
    return tuple(part * (total / before) for part in demands)


def _refuse_overlap(project: Project, columns: list[_Column], where: str) -> None:
    """Two columns may name one element in different rows, or both as factors."""
    seen: dict[tuple[str, int], SetPath] = {}
    for path, index in ((column.path, index) for column in columns for index in column.indices or [0]):
        other = seen.setdefault((path.attribute, index), path)
        if other is not path and not (other.factor and path.factor):
            what = f"{path.attribute} of {_elements(project, path).ids[index]!r}" if path.kind else path.attribute
            raise SpecificationError(f"{where}: columns {other.name!r} and {path.name!r} both set {what}")


def _refuse_check_valves(project: Project, indices: list[int], where: str) -> None:
    for index in indices:
        if project.links.types[index] == codes.CHECK_VALVE:
            raise SpecificationError(
                f"{where}: {project.links.ids[index]!r} is a check valve; its status cannot be set"
            )
