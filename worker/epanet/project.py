"""One network, open in EPANET: its elements, its values as the file has them, and how to set them.

Knows the library's calls. It must not know scenarios' names or tables, nor result files. Values go in and
out in the file's own units. Not for two threads: opening is not thread-safe in EPANET.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from worker.epanet import codes
from worker.epanet.errors import MachineError, NetworkError
from worker.epanet.library import expect, load, text_of

Doubles = npt.NDArray[np.float64]


class Elements:
    """The nodes or the links of a network, in EPANET's order (index 0 here is index 1 there)."""

    def __init__(self, ids: list[str], types: list[int], names: tuple[str, ...]) -> None:
        self.ids = ids
        self.types = types
        #: junction, reservoir, tank; pipe, pump, valve.
        self.kinds = [names[number] for number in types]
        self.index = {id: position for position, id in enumerate(ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def of_kind(self, kind: str) -> list[int]:
        return [position for position, found in enumerate(self.kinds) if found == kind]


class Project:
    """An open network. `close` it, also after an error: else EPANET keeps a file open."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.library = load()
        self.handle = _open(self.library, file)
        try:
            self.nodes = self._elements("node", codes.COUNT_NODES, codes.NODE_TYPES)
            self.links = self._elements("link", codes.COUNT_LINKS, codes.LINK_TYPES)
            self._try_hydraulics()
            self.sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self.handle:
            _close(self.library, self.handle)
            self.handle = ctypes.c_void_p()

    def _elements(self, what: str, counter: int, names: tuple[str, ...]) -> Elements:
        count = ctypes.c_int()
        expect(self.library.EN_getcount(self.handle, counter, ctypes.byref(count)), f"count the {what}s")
        get_id = getattr(self.library, f"EN_get{what}id")
        get_type = getattr(self.library, f"EN_get{what}type")
        ids, types = [], []
        text, number = ctypes.create_string_buffer(64), ctypes.c_int()
        for index in range(1, count.value + 1):
            expect(get_id(self.handle, index, text), f"name {what} {index}")
            expect(get_type(self.handle, index, ctypes.byref(number)), f"type of {what} {index}")
            ids.append(_decoded(text.value))
            types.append(number.value)
        return Elements(ids, types, names)

    def _try_hydraulics(self) -> None:
        """EPANET opens an empty or meaningless file without an error; only this call looks at it."""
        code = self.library.EN_openH(self.handle)
        if code > 100:
            raise NetworkError(_refusal(self.file, code))
        self.library.EN_closeH(self.handle)

    # Values ---------------------------------------------------------------------------------------

    def option(self, number: int) -> float:
        value = ctypes.c_double()
        expect(self.library.EN_getoption(self.handle, number, ctypes.byref(value)), f"get option {number}")
        return value.value

    def set_option(self, number: int, value: float) -> None:
        expect(self.library.EN_setoption(self.handle, number, value), f"set option {number} to {value}")

    def time(self, number: int) -> int:
        value = ctypes.c_long()
        expect(self.library.EN_gettimeparam(self.handle, number, ctypes.byref(value)), f"get time {number}")
        return value.value

    def set_time(self, number: int, seconds: int) -> None:
        expect(self.library.EN_settimeparam(self.handle, number, seconds), f"set time {number} to {seconds} s")

    def link_values(self, number: int) -> Doubles:
        values = np.empty(len(self.links))
        expect(self.library.EN_getlinkvalues(self.handle, number, values.ctypes.data), f"get link values {number}")
        return values

    def set_link_value(self, index: int, number: int, value: float) -> None:
        code = self.library.EN_setlinkvalue(self.handle, index + 1, number, value)
        if code:
            expect(code, f"set {codes.LINK_NAMES[number]} of link {self.links.ids[index]} to {value:g}")

    def node_values(self, number: int) -> Doubles:
        values = np.empty(len(self.nodes))
        expect(self.library.EN_getnodevalues(self.handle, number, values.ctypes.data), f"get node values {number}")
        return values

    def set_node_value(self, index: int, number: int, value: float) -> None:
        code = self.library.EN_setnodevalue(self.handle, index + 1, number, value)
        if code:
            expect(code, f"set {codes.NODE_NAMES[number]} of node {self.nodes.ids[index]} to {value:g}")

    def base_demands(self, index: int) -> tuple[float, ...]:
        """One for each demand category of the junction."""
        count, value = ctypes.c_int(), ctypes.c_double()
        doing = f"get the demands of node {self.nodes.ids[index]}"
        expect(self.library.EN_getnumdemands(self.handle, index + 1, ctypes.byref(count)), doing)
        found = []
        for category in range(1, count.value + 1):
            expect(self.library.EN_getbasedemand(self.handle, index + 1, category, ctypes.byref(value)), doing)
            found.append(value.value)
        return tuple(found)

    def set_base_demands(self, index: int, demands: tuple[float, ...]) -> None:
        for category, demand in enumerate(demands, 1):
            code = self.library.EN_setbasedemand(self.handle, index + 1, category, demand)
            if code:
                expect(code, f"set demand {category} of node {self.nodes.ids[index]} to {demand:g}")

    # Units ----------------------------------------------------------------------------------------

    def units(self) -> dict[str, str]:
        """The unit of each quantity of `codes.NODE_VARIABLES` and `codes.LINK_VARIABLES`."""
        flow = ctypes.c_int()
        expect(self.library.EN_getflowunits(self.handle, ctypes.byref(flow)), "get the flow units")
        american = flow.value <= codes.LAST_US_FLOW_UNIT
        return {
            "flow": codes.FLOW_UNITS[flow.value],
            "pressure": codes.PRESSURE_UNITS[int(self.option(codes.OPTION_PRESSURE_UNITS))],
            "length": "ft" if american else "m",
            "velocity": "ft/s" if american else "m/s",
            "headloss": "ft" if american else "m",
            "quality": self.quality_unit(),
            "setting": "roughness, speed or valve setting",
            "none": "",
        }

    def quality_type(self) -> str:
        kind, node = ctypes.c_int(), ctypes.c_int()
        expect(self.library.EN_getqualtype(self.handle, ctypes.byref(kind), ctypes.byref(node)), "get the quality type")
        return codes.QUALITY_NAMES[kind.value]

    def quality_unit(self) -> str:
        kind, node = ctypes.c_int(), ctypes.c_int()
        name, unit = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
        code = self.library.EN_getqualinfo(self.handle, ctypes.byref(kind), name, unit, ctypes.byref(node))
        expect(code, "get the quality unit")
        return _decoded(unit.value)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _open(library: ctypes.CDLL, file: Path) -> ctypes.c_void_p:
    handle, code = _open_with_report(library, file, os.devnull)
    if code > 100:
        _close(library, handle)
        if code == codes.CANNOT_OPEN_INPUT:
            raise NetworkError(f"{file}: {text_of(code)}")
        if code >= 300:
            raise MachineError(f"{file}: {text_of(code)}")
        raise NetworkError(_refusal(file, code))
    library.EN_setstatusreport(handle, 0)
    library.EN_setreport(handle, b"MESSAGES NO")
    return handle


def _open_with_report(library: ctypes.CDLL, file: Path, report: str) -> tuple[ctypes.c_void_p, int]:
    """The path is given relative to the current directory where that is shorter: EPANET cuts at 259 bytes."""
    path = min(os.fspath(file), os.path.relpath(file), key=len)
    handle = ctypes.c_void_p()
    library.EN_createproject(ctypes.byref(handle))
    return handle, library.EN_open(handle, os.fsencode(path), os.fsencode(report), b"")


def _close(library: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
    library.EN_close(handle)
    library.EN_deleteproject(handle)


def _refusal(file: Path, code: int) -> str:
    """EPANET's sentence, and each line it rejects, found again in the file."""
    details = list(_rejected_lines(file))
    return "\n".join([f"{file.name}: {text_of(code)}", *details])


def _rejected_lines(file: Path) -> Iterator[str]:
    """The reasons stand in the report only, and are there only after the project was closed."""
    library = load()
    with tempfile.TemporaryDirectory(prefix="epanet-") as folder:
        report = Path(folder, "report")
        handle, code = _open_with_report(library, file, os.fspath(report))
        if code <= 100:
            library.EN_openH(handle)
        _close(library, handle)
        text = _decoded(report.read_bytes()) if report.exists() else ""
    lines = [line.strip() for line in text.splitlines()]
    numbers = _line_numbers(file)
    for position, line in enumerate(lines[:-1]):
        if line.startswith("Error ") and line.endswith("section:"):
            culprit = lines[position + 1]
            number = numbers.get(" ".join(culprit.split()))
            yield f"  line {number}: {line} {culprit}" if number else f"  {line} {culprit}"
        elif line.startswith("Error ") and not line.startswith(f"Error {codes.ILLEGAL_INPUT}:"):
            yield f"  {line}"


def _line_numbers(file: Path) -> dict[str, int]:
    lines = _decoded(file.read_bytes()).splitlines()
    return {" ".join(line.split()): number for number, line in enumerate(lines, 1)}
