"""Finding and opening EPANET's toolkit library by ctypes, and calling it with every return code looked at.

Knows where the wheels keep their library and which version is asked for. It must not know networks or
scenarios. The Python modules of those wheels are never imported: one holds the interpreter's lock during
a run, the other takes a second to load.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import sys
from pathlib import Path

from worker.epanet.errors import EngineError, MachineError

#: The engine is a part of the result, so there is exactly one.
ENGINE_VERSION = "2.3.5"

#: Package and the library's path in it, in the order of preference.
_PLACES = (
    ("epanet", "libepanet2.so"),
    ("epanet", "libepanet2.dylib"),
    ("epyt", "libraries/mac/libepanet2.dylib" if sys.platform == "darwin" else "libraries/glnx/libepanet2.so"),
)

_INT = ctypes.c_int
_LONG = ctypes.c_long
_DOUBLE = ctypes.c_double
_TEXT = ctypes.c_char_p
_AT = ctypes.c_void_p
_PROJECT = ctypes.c_void_p

_PROTOTYPES: dict[str, tuple[object, ...]] = {
    "EN_createproject": (_AT,),
    "EN_deleteproject": (_PROJECT,),
    "EN_open": (_PROJECT, _TEXT, _TEXT, _TEXT),
    "EN_close": (_PROJECT,),
    "EN_openH": (_PROJECT,),
    "EN_initH": (_PROJECT, _INT),
    "EN_runH": (_PROJECT, _AT),
    "EN_nextH": (_PROJECT, _AT),
    "EN_closeH": (_PROJECT,),
    "EN_openQ": (_PROJECT,),
    "EN_initQ": (_PROJECT, _INT),
    "EN_runQ": (_PROJECT, _AT),
    "EN_nextQ": (_PROJECT, _AT),
    "EN_closeQ": (_PROJECT,),
    "EN_getversion": (_AT,),
    "EN_geterror": (_INT, _AT, _INT),
    "EN_setstatusreport": (_PROJECT, _INT),
    "EN_setreport": (_PROJECT, _TEXT),
    "EN_getcount": (_PROJECT, _INT, _AT),
    "EN_getflowunits": (_PROJECT, _AT),
    "EN_getqualtype": (_PROJECT, _AT, _AT),
    "EN_getqualinfo": (_PROJECT, _AT, _AT, _AT, _AT),
    "EN_getoption": (_PROJECT, _INT, _AT),
    "EN_setoption": (_PROJECT, _INT, _DOUBLE),
    "EN_gettimeparam": (_PROJECT, _INT, _AT),
    "EN_settimeparam": (_PROJECT, _INT, _LONG),
    "EN_getnodeid": (_PROJECT, _INT, _AT),
    "EN_getnodetype": (_PROJECT, _INT, _AT),
    "EN_getnodevalue": (_PROJECT, _INT, _INT, _AT),
    "EN_getnodevalues": (_PROJECT, _INT, _AT),
    "EN_setnodevalue": (_PROJECT, _INT, _INT, _DOUBLE),
    "EN_getnumdemands": (_PROJECT, _INT, _AT),
    "EN_getbasedemand": (_PROJECT, _INT, _INT, _AT),
    "EN_setbasedemand": (_PROJECT, _INT, _INT, _DOUBLE),
    "EN_getlinkid": (_PROJECT, _INT, _AT),
    "EN_getlinktype": (_PROJECT, _INT, _AT),
    "EN_getlinkvalue": (_PROJECT, _INT, _INT, _AT),
    "EN_getlinkvalues": (_PROJECT, _INT, _AT),
    "EN_setlinkvalue": (_PROJECT, _INT, _INT, _DOUBLE),
}


def library_file() -> Path:
    """The library of the first wheel that is installed."""
    for package, inside in _PLACES:
        found = importlib.util.find_spec(package)
        for folder in (found.submodule_search_locations or ()) if found else ():
            candidate = Path(folder, inside)
            if candidate.is_file():
                return candidate
    raise MachineError(
        "the EPANET library is not installed for this Python: install the package owa-epanet (Python 3.11 and 3.12) "
        "or epyt (later ones)"
    )


@functools.cache
def load(file: Path | None = None) -> ctypes.CDLL:
    """The library, its calls declared and its version checked."""
    file = file or library_file()
    try:
        library = ctypes.CDLL(os.fspath(file))
        for name, arguments in _PROTOTYPES.items():
            getattr(library, name).argtypes = arguments
    except (OSError, AttributeError) as error:
        raise MachineError(f"{file} cannot be used as EPANET's library: {error}") from error
    found = version(library)
    if found != ENGINE_VERSION:
        raise MachineError(f"{file} is EPANET {found}; results are made with {ENGINE_VERSION} only")
    return library


def version(library: ctypes.CDLL) -> str:
    number = ctypes.c_int()
    library.EN_getversion(ctypes.byref(number))
    return f"{number.value // 10000}.{number.value // 100 % 100}.{number.value % 100}"


@functools.cache
def text_of(code: int) -> str:
    """EPANET's own sentence for a code, as it stands in its reports."""
    buffer = ctypes.create_string_buffer(512)
    load().EN_geterror(code, buffer, 511)
    return buffer.value.decode("utf-8", "replace").strip() or f"Error {code}"


def expect(code: int, doing: str) -> None:
    """Raises EngineError unless the call went well."""
    if code > 100:
        raise EngineError(code, text_of(code), doing)
