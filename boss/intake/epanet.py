"""The `epanet` field of a task: its parts, the files it needs, and the files it leaves.

It follows the rule of docs/epanet.md (`runs.parquet`, and `<variable>.parquet` for each variable kept) so
that a push knows the results of a run before anything runs; it knows no INP and never sees the toolkit.
"""

from __future__ import annotations

from boss.intake import fields
from boss.intake.errors import Here, listed, suggestion
from boss.intake.rules import shortest
from wire.messages import EpanetRun

RUNS_FILE = "runs.parquet"

VARIABLES = {
    "nodes": ("pressure", "head", "demand", "quality", "emitter_flow"),
    "links": ("flow", "velocity", "headloss", "status", "setting"),
}
OPTIONS = ("duration", "hydraulic_step", "report_step", "quality", "strict", "max_failed")

_FIELDS = ("inp", "scenarios", "rows", "output", "options")


def epanet(value: object, field: str, here: Here) -> EpanetRun | None:
    """The parser of the field; see `fields`."""
    content = _object(value, field, here, _FIELDS)
    if content is None:
        return None
    if "inp" not in content:
        here.reject(field, "has no `inp`", "Name the network's INP file there.")
    inp = fields.text(content.get("inp", "x"), f"{field}.inp", here)
    return EpanetRun(
        inp=shortest("x" if inp is None else inp),
        scenarios=_scenarios(content.get("scenarios", []), f"{field}.scenarios", here),
        rows=_rows(content.get("rows"), f"{field}.rows", here),
        output=_output(content.get("output", {}), f"{field}.output", here),
        options=_object(content.get("options", {}), f"{field}.options", here, OPTIONS) or {},
    )


def _object(value: object, field: str, here: Here, known: tuple[str, ...] = ()) -> dict[str, object] | None:
    """`known`: its fields, where not just any may be in it."""
    if isinstance(value, dict):
        if known:
            fields.check_known(value, known, field, here)
        return value
    here.reject(field, f"is {fields.word_of(value)}, and an object is wanted")
    return None


def _scenarios(value: object, field: str, here: Here) -> str | list[dict[str, object]]:
    if isinstance(value, str):
        return shortest(value)
    if isinstance(value, list):
        rows = (_object(row, f"{field}[{place}]", here) for place, row in enumerate(value))
        return [row for row in rows if row is not None]
    here.reject(field, f"is {fields.word_of(value)}, and the path of a table or a list of rows is wanted")
    return []


def _rows(value: object, field: str, here: Here) -> tuple[int, int] | None:
    if value is None:
        return None
    numbers = (
        [fields.integer(number, field, here) for number in value]
        if isinstance(value, list) and len(value) == 2
        else None
    )
    if numbers is None:
        here.reject(field, "is no pair of numbers", "Write [first, last], counted from 0; the last is not included.")
        return None
    first, last = numbers
    return (first, last) if first is not None and last is not None else None


def _output(value: object, field: str, here: Here) -> dict[str, object]:
    content = _object(value, field, here, ("nodes", "links", "directory")) or {}
    output: dict[str, object] = {}
    for section in VARIABLES:
        if section in content:
            output[section] = _section(content[section], section, f"{field}.{section}", here)
    if "directory" in content:
        output["directory"] = shortest(fields.text(content["directory"], f"{field}.directory", here) or "")
    return output


def _section(value: object, section: str, field: str, here: Here) -> dict[str, object]:
    content = _object(value, field, here, ("elements", "variables"))
    if content is None:
        return {}
    variables = _names(content.get("variables"), f"{field}.variables", here)
    for name in variables:
        if name not in VARIABLES[section]:
            hint = suggestion(name, VARIABLES[section]) or f"Known are {listed(VARIABLES[section])}."
            here.reject(f"{field}.variables", f"`{name}` is no variable of {section}", hint)
    kept: dict[str, object] = {"variables": variables}
    if "elements" in content:
        kept["elements"] = _names(content["elements"], f"{field}.elements", here)
    return kept


def _names(value: object, field: str, here: Here) -> list[str]:
    if isinstance(value, list) and value:
        names = fields.texts(value, field, here) or []
        if "" in names:
            here.reject(field, "has an empty name")
        return names
    here.reject(field, "is missing or empty, and a list of at least one name is wanted")
    return []


def needed_files(run: EpanetRun) -> list[str]:
    """Paths in the working directory that must be there before the run."""
    return [run.inp, run.scenarios] if isinstance(run.scenarios, str) else [run.inp]


def result_names(run: EpanetRun) -> list[str]:
    """The files that the run leaves, as paths in the working directory."""
    variables = ["pressure"]
    if "nodes" in run.output or "links" in run.output:
        variables = [name for section in VARIABLES for name in _variables(run.output.get(section))]
    names = [RUNS_FILE, *(f"{name}.parquet" for name in dict.fromkeys(variables))]
    directory = run.output.get("directory")
    return [f"{directory}/{name}" for name in names] if directory else names


def _variables(section: object) -> list[str]:
    names = section.get("variables") if isinstance(section, dict) else None
    return names if isinstance(names, list) else []
