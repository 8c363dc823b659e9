"""What a task keeps, resolved against a network: which values of which elements make which file."""

from __future__ import annotations

from worker.epanet import codes
from worker.epanet.changes import find_elements
from worker.epanet.errors import SpecificationError
from worker.epanet.project import Project
from worker.epanet.results import Variable
from worker.epanet.solve import Quantity
from worker.epanet.specification import BatchOptions, ElementSelection, Output


def kept_variables(output: Output, options: BatchOptions, project: Project) -> list[Variable]:
    """Raises SpecificationError for an element that the network does not have."""
    found = _section(output.nodes, project, True) + _section(output.links, project, False)
    if any(variable.name == "quality" for variable in found):
        _refuse_quality_without(options, project)
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
    return [_variable(name, known[name], of_nodes, columns, ids, units) for name in selection.variables]


def _variable(
    name: str,
    known: tuple[int, str],
    of_nodes: bool,
    columns: tuple[int, ...] | None,
    ids: tuple[str, ...],
    units: dict[str, str],
) -> Variable:
    quantity: Quantity = (of_nodes, known[0])
    return Variable(name, quantity, columns, ids, units[known[1]])


def _refuse_quality_without(options: BatchOptions, project: Project) -> None:
    if not options.simulation.quality:
        raise SpecificationError('output wants quality, which is not computed; set options.quality to "inp"')
    if project.quality_type() == "none":
        raise SpecificationError("output wants quality, and the network's file has quality none")
