"""One simulation of an open network, step by step: what came out at the report times, and what EPANET said.

Knows the step calls of the library. It neither changes the network nor judges the result. Stepping writes
no files, and looks at the code of every step (EPANET's one-call solvers tell only the last).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from worker.epanet import codes
from worker.epanet.library import text_of
from worker.epanet.project import Doubles, Project

#: (is it of a node, EPANET's number).
Quantity = tuple[bool, int]
PRESSURE: Quantity = (True, codes.NODE_PRESSURE)


@dataclass
class Solution:
    """What one run gave. Arrays have a row per report time that was reached, a column per element."""

    expected: int
    values: dict[Quantity, Doubles]
    times: list[int] = field(default_factory=list)
    #: (seconds, code) of each step that EPANET warned about.
    warnings: list[tuple[int, int]] = field(default_factory=list)
    #: EPANET's error code, or 0.
    error: int = 0
    error_text: str = ""
    #: The last hydraulic time reached, in seconds.
    reached: int = 0


def solve(project: Project, quantities: tuple[Quantity, ...], quality: bool = False) -> Solution:
    """Pressure is always among what is read: it tells whether the result makes sense."""
    expected = _expected_periods(project)
    wanted = dict.fromkeys((PRESSURE, *quantities))
    sizes = {True: len(project.nodes), False: len(project.links)}
    solution = Solution(expected, {quantity: np.empty((expected, sizes[quantity[0]])) for quantity in wanted})
    solution.error = _run(project, solution, quality)
    if solution.error:
        solution.error_text = text_of(solution.error)
    for quantity, values in solution.values.items():
        solution.values[quantity] = values[: len(solution.times)]
    return solution


def _expected_periods(project: Project) -> int:
    duration, start = project.time(codes.TIME_DURATION), project.time(codes.TIME_REPORT_START)
    return max(0, (duration - start) // project.time(codes.TIME_REPORT_STEP) + 1)


def _run(project: Project, solution: Solution, quality: bool) -> int:
    """Returns the error code, or 0."""
    library, handle = project.library, project.handle
    code = library.EN_openH(handle) or library.EN_initH(handle, codes.FRESH_FLOWS_NO_FILE)
    if code <= 100 and quality:
        code = library.EN_openQ(handle) or library.EN_initQ(handle, 0)
    if code <= 100:
        code = _steps(project, solution, quality)
    if quality:
        library.EN_closeQ(handle)
    library.EN_closeH(handle)
    return int(code) if code > 100 else 0


def _steps(project: Project, solution: Solution, quality: bool) -> int:
    library, handle = project.library, project.handle
    run, following = library.EN_runH, library.EN_nextH
    time, step, quality_time = ctypes.c_long(), ctypes.c_long(), ctypes.c_long()
    at_time, at_step, at_quality = ctypes.byref(time), ctypes.byref(step), ctypes.byref(quality_time)
    read = _reader(project, solution)
    start, every = project.time(codes.TIME_REPORT_START), project.time(codes.TIME_REPORT_STEP)
    while True:
        code = run(handle, at_time)
        if code > 100:
            return int(code)
        now = solution.reached = time.value
        if code:
            solution.warnings.append((now, code))
        if quality and (code := library.EN_runQ(handle, at_quality)) > 100:
            return int(code)
        if now >= start and (now - start) % every == 0 and (code := read(now)) > 100:
            return int(code)
        code = following(handle, at_step)
        if code <= 100 and quality:
            code = library.EN_nextQ(handle, at_quality)
        if code > 100 or not step.value:
            return int(code)


def _reader(project: Project, solution: Solution) -> Callable[[int], int]:
    """A function that lets EPANET write a time's values straight into the arrays' next row."""
    library, handle, times = project.library, project.handle, solution.times
    places = [
        (library.EN_getnodevalues if of_node else library.EN_getlinkvalues, number, array.ctypes.data, array.strides[0])
        for (of_node, number), array in solution.values.items()
    ]

    def read(now: int) -> int:
        row = len(times)
        if row >= solution.expected:
            return 0
        for get, number, start, stride in places:
            code = get(handle, number, start + row * stride)
            if code > 100:
                return int(code)
        times.append(now)
        return 0

    return read
