"""How each attribute of a network that a scenario may set is read and written.

A value is always a tuple: one number for each demand category of a junction, status and speed of a pump,
all the times together, and one number otherwise. Knows EPANET's peculiarities; which scenario wants what
is `worker.epanet.changes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from worker.epanet import codes
from worker.epanet.errors import EngineError, SpecificationError
from worker.epanet.project import Project
from worker.epanet.setpaths import DEMAND_MULTIPLIER, TIMES
from worker.epanet.specification import Simulation

Value = tuple[float, ...]

ALL_TIMES = "times"
#: In the order in which EPANET takes them without cutting one to fit another.
_TIME_NUMBERS = {
    "report_step": codes.TIME_REPORT_STEP,
    "hydraulic_step": codes.TIME_HYDRAULIC_STEP,
    "quality_step": codes.TIME_QUALITY_STEP,
    "rule_step": codes.TIME_RULE_STEP,
    "duration": codes.TIME_DURATION,
    "report_start": codes.TIME_REPORT_START,
}


def get_times(project: Project) -> Value:
    return tuple(float(project.time(number)) for number in _TIME_NUMBERS.values())


def set_times(project: Project, value: Value) -> None:
    """Sets all of them, and looks whether EPANET has really taken them."""
    times = dict(zip(_TIME_NUMBERS, value, strict=True))
    for name, seconds in times.items():
        if name != "report_start" or seconds <= times["duration"]:
            project.set_time(_TIME_NUMBERS[name], int(seconds))
    found = dict(zip(_TIME_NUMBERS, get_times(project), strict=True))
    wrong = {name: seconds for name, seconds in times.items() if found[name] != seconds and name != "report_start"}
    if wrong:
        raise EngineError(213, f"EPANET made {found} of {wrong}", "set the times")


def changed_times(project: Project, own: Value, wanted: Mapping[str, float], where: str) -> Value:
    """The network's own times with the wanted ones in them, by EPANET's rules; refuses what it would cut."""
    times = {**dict(zip(_TIME_NUMBERS, own, strict=True)), **wanted}
    longest = min(times["report_step"], project.time(codes.TIME_PATTERN_STEP))
    if wanted.get("hydraulic_step", 0) > longest:
        raise SpecificationError(
            f"{where}: a hydraulic step of {wanted['hydraulic_step']:g} s is longer than the report step or the "
            f"pattern step; at most {longest:g} s is possible"
        )
    times["hydraulic_step"] = min(times["hydraulic_step"], longest)
    for name in ("quality_step", "rule_step"):
        times[name] = min(times[name], times["hydraulic_step"])
    return tuple(times.values())


def apply_simulation(project: Project, simulation: Simulation) -> None:
    """The task's options, which become the network's own values for its scenarios."""
    wanted = {name: float(value) for name in TIMES if (value := getattr(simulation, name)) is not None}
    if wanted:
        set_times(project, changed_times(project, get_times(project), wanted, "options"))


def _read_demands(project: Project, indices: list[int]) -> list[Value]:
    return [project.base_demands(index) for index in indices]


def _write_demands(project: Project, values: Mapping[int, Value]) -> None:
    """EPANET's value BASEDEMAND would set one of several categories only."""
    for index, value in values.items():
        project.set_base_demands(index, value)


def _read_emitters(project: Project, indices: list[int]) -> list[Value]:
    return [(value,) for value in project.node_values(codes.NODE_EMITTER)[indices].tolist()]


def _write_emitters(project: Project, values: Mapping[int, Value]) -> None:
    for index, (value,) in values.items():
        project.set_node_value(index, codes.NODE_EMITTER, value)


def _read_roughness(project: Project, indices: list[int]) -> list[Value]:
    return [(value,) for value in project.link_values(codes.LINK_ROUGHNESS)[indices].tolist()]


def _write_roughness(project: Project, values: Mapping[int, Value]) -> None:
    for index, (value,) in values.items():
        project.set_link_value(index, codes.LINK_ROUGHNESS, value)


def _read_status(project: Project, indices: list[int]) -> list[Value]:
    statuses = project.link_values(codes.LINK_INITIAL_STATUS)[indices].tolist()
    settings = project.link_values(codes.LINK_INITIAL_SETTING)[indices].tolist()
    pumps = [project.links.kinds[index] == "pump" for index in indices]
    together = zip(statuses, settings, pumps, strict=True)
    return [(status, setting) if pump else (status,) for status, setting, pump in together]


def _write_status(project: Project, values: Mapping[int, Value]) -> None:
    """Opening a pump makes its speed 1 in EPANET, so the speed that it had is set after it."""
    for index, value in values.items():
        project.set_link_value(index, codes.LINK_INITIAL_STATUS, value[0])
        if value[0] and len(value) == 2 and value[1]:
            project.set_link_value(index, codes.LINK_INITIAL_SETTING, value[1])


def _read_multiplier(project: Project, indices: list[int]) -> list[Value]:
    return [(project.option(codes.OPTION_DEMAND_MULTIPLIER),) for _ in indices]


def _write_multiplier(project: Project, values: Mapping[int, Value]) -> None:
    for (value,) in values.values():
        project.set_option(codes.OPTION_DEMAND_MULTIPLIER, value)


def _write_times(project: Project, values: Mapping[int, Value]) -> None:
    for value in values.values():
        set_times(project, value)


READ: dict[str, Callable[[Project, list[int]], list[Value]]] = {
    "base_demand": _read_demands,
    "emitter": _read_emitters,
    "roughness": _read_roughness,
    "status": _read_status,
    DEMAND_MULTIPLIER: _read_multiplier,
}
WRITE: dict[str, Callable[[Project, Mapping[int, Value]], None]] = {
    "base_demand": _write_demands,
    "emitter": _write_emitters,
    "roughness": _write_roughness,
    "status": _write_status,
    DEMAND_MULTIPLIER: _write_multiplier,
    ALL_TIMES: _write_times,
}
