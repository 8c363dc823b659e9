"""The parts of an EPANET task, `output` and `options`, read and checked. Pure: no network, no file.

Which files a task leaves follows from its `output` alone, so that whoever plans a study can say so without running it
(`boss.intake.epanet.result_names`); docs/epanet.md states the rule.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from worker.epanet.codes import LINK_VARIABLES, NODE_VARIABLES
from worker.epanet.errors import SpecificationError, suggestion
from worker.epanet.setpaths import parse_seconds

RUNS_FILE = "runs.parquet"

_SECTIONS: dict[str, Mapping[str, object]] = {"nodes": NODE_VARIABLES, "links": LINK_VARIABLES}
_OPTIONS = ("duration", "hydraulic_step", "report_step", "quality", "strict", "max_failed")


@dataclass(frozen=True)
class ElementSelection:
    """What to keep of the nodes, or of the links."""

    elements: tuple[str, ...] = ("*",)
    variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Output:
    nodes: ElementSelection
    links: ElementSelection
    #: Below the working directory; empty is that directory itself.
    directory: str = ""


@dataclass(frozen=True)
class Simulation:
    """What holds for every scenario; with the file's digest it says whether an open network can be used again."""

    duration: int | None = None
    hydraulic_step: int | None = None
    report_step: int | None = None
    quality: bool = False


@dataclass(frozen=True)
class BatchOptions:
    simulation: Simulation
    #: `warn`: every scenario must be ok. `error`: warned ones may pass. Empty: all may be as they are.
    strict: Literal["", "warn", "error"] = ""
    #: More failed scenarios than this fail the task; None is no limit.
    max_failed: int | None = None


def parse_output(output: Mapping[str, object]) -> Output:
    _refuse_unknown("output", output, (*_SECTIONS, "directory"))
    if not any(section in output for section in _SECTIONS):
        nodes, links = ElementSelection(variables=("pressure",)), ElementSelection()
    else:
        nodes, links = _selection("nodes", output), _selection("links", output)
    return Output(nodes, links, _directory(output.get("directory", "")))


def _selection(section: str, output: Mapping[str, object]) -> ElementSelection:
    if section not in output:
        return ElementSelection()
    content = output[section]
    if not isinstance(content, Mapping):
        raise SpecificationError(f"output.{section} is an object with elements and variables")
    _refuse_unknown(f"output.{section}", content, ("elements", "variables"))
    elements = _texts(f"output.{section}.elements", content.get("elements", ["*"]))
    variables = _texts(f"output.{section}.variables", content.get("variables", []))
    for variable in variables:
        if variable not in _SECTIONS[section]:
            raise SpecificationError(
                f"output.{section}.variables: {variable!r} is unknown{suggestion(variable, _SECTIONS[section])}"
            )
    return ElementSelection(elements, variables)


def _texts(where: str, content: object) -> tuple[str, ...]:
    if not isinstance(content, list) or not content or not all(isinstance(text, str) and text for text in content):
        raise SpecificationError(f"{where} is a list of at least one name")
    return tuple(dict.fromkeys(content))


def _directory(content: object) -> str:
    if not isinstance(content, str) or "\0" in content:
        raise SpecificationError("output.directory is a path inside the working directory")
    path = posixpath.normpath(content) if content else ""
    if path.startswith("/") or path.split("/")[0] == "..":
        raise SpecificationError(f"output.directory {content!r} leaves the working directory")
    return "" if path == "." else path


def parse_options(options: Mapping[str, object]) -> BatchOptions:
    _refuse_unknown("options", options, _OPTIONS)
    return BatchOptions(
        _simulation(options), _strict(options.get("strict", False)), _max_failed(options.get("max_failed"))
    )


def _simulation(options: Mapping[str, object]) -> Simulation:
    times = {
        name: parse_seconds(options[name], f"options.{name}", zero=name == "duration")
        for name in ("duration", "hydraulic_step", "report_step")
        if options.get(name) is not None
    }
    quality = options.get("quality", "none")
    if quality not in ("none", "inp"):
        raise SpecificationError(f'options.quality is "none" or "inp" (as the file says), not {quality!r}')
    return Simulation(**times, quality=quality == "inp")


def _strict(value: object) -> Literal["", "warn", "error"]:
    match value:
        case False | None:
            return ""
        case True | "warn":
            return "warn"
        case "error":
            return "error"
    raise SpecificationError(f'options.strict is true, false, "warn" or "error", not {value!r}')


def _max_failed(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise SpecificationError(f"options.max_failed is a whole number from 0, not {value!r}")


def _refuse_unknown(where: str, content: Mapping[str, object], known: Iterable[str]) -> None:
    for name in content:
        if name not in known:
            raise SpecificationError(f"{where} has no {name!r}{suggestion(str(name), known)}")
