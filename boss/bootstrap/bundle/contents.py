"""What belongs into the bundle of each program, and what is left out of the packages that it needs. Values, no files.

What is left out is never imported by our programs: tests, headers, sources, and pyarrow's parts for services that no
worker speaks to. A test runs EPANET's helper, which needs most, from a bundle alone.
"""

from __future__ import annotations

import fnmatch
import platform
import sys
from typing import Literal

from boss.bootstrap.errors import BootstrapError

Program = Literal["worker", "datastore", "boss"]

#: Pythons that machines may have: what Debian and Ubuntu bring, and EPANET's library is made for.
PYTHONS = ("3.11", "3.12")
#: The machines for which packages are available ready-made.
MACHINES = ("x86_64", "aarch64")

#: Our own, as patterns below the folder that holds the packages.
OURS: dict[Program, tuple[str, ...]] = {
    "worker": ("wire/**", "worker/**", "ecloud.py", "LICENSE"),
    # Of the worker the bootstrap of a machine.
    "datastore": (
        "wire/**", "datastore/**", "worker/__init__.py", "worker/startup.sh", "worker/bootstrap/**", "worker/guest.py",
        "LICENSE",
    ),
    "boss": (
        "wire/**", "boss/**", "worker/**", "datastore/**", "templates/**", "settings.py",
        "admin.py", "push_tasks.py", "ecloud.py", "requirements.lock", "LICENSE",
    ),
}  # fmt: skip

#: Packages that each needs besides; the boss needs all that is locked.
NEEDED: dict[Program, tuple[str, ...]] = {
    "worker": ("msgspec", "paho-mqtt", "numpy", "pyarrow", "owa-epanet"),
    "datastore": ("msgspec", "paho-mqtt"),
}

#: Of any package, by the name of a folder or a file.
_LEFT_OUT_FOLDERS = frozenset({"tests", "__pycache__", "include"})
_LEFT_OUT_FILES = ("*.pyc", "*.pyi", "*.pyx", "*.pxd", "*.pxi", "*.h", "*.hpp", "*.c", "*.cc", "*.cpp", "*.a", "*.pth")
#: Of one package, by path.
_LEFT_OUT: dict[str, tuple[str, ...]] = {
    # The library alone is opened, by ctypes.
    "owa-epanet": ("epanet/_toolkit.so", "epanet/toolkit.py", "owa_epanet.libs/*"),
    "numpy": ("numpy/f2py/*", "numpy/distutils/*"),
    "pyarrow": (
        "pyarrow/src/*", "pyarrow/libarrow_flight*", "pyarrow/libarrow_python_flight*", "pyarrow/_flight*",
        "pyarrow/libarrow_s3*", "pyarrow/_s3fs*", "pyarrow/_gcsfs*", "pyarrow/_azurefs*", "pyarrow/_hdfs*",
        "pyarrow/*parquet_encryption*", "pyarrow/_orc*", "pyarrow/_dataset_orc*", "pyarrow/_substrait*",
        "pyarrow/_pyarrow_cpp_tests*",
        # The same library under two more names: what is linked asks for `libarrow_python.so.<number>`.
        "pyarrow/libarrow_python.so", "pyarrow/libarrow_python.so.*.*",
    ),
}  # fmt: skip
#: How a package was installed is no part of it.
_INSTALLERS = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "WHEEL")


class BundleError(BootstrapError):
    """A bundle is not available; the text says which, why, and what helps."""


def own_python() -> str:
    """Major and minor version of the Python that runs this: 3.12."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def own_machine() -> str:
    """The hardware that runs this, as `uname -m` prints it: x86_64."""
    return platform.machine()


def is_wanted(package: str, path: str) -> bool:
    """Whether this file of a package, by its path beside the other packages, goes into a bundle."""
    *folders, name = path.split("/")
    if path.startswith("/") or ".." in folders or _LEFT_OUT_FOLDERS & set(folders):
        return False
    if folders and folders[0].endswith(".dist-info") and name in _INSTALLERS:
        return False
    patterns = (*_LEFT_OUT_FILES, *_LEFT_OUT.get(package, ()))
    return not any(fnmatch.fnmatchcase(path if "/" in each else name, each) for each in patterns)


def is_ours_wanted(path: str) -> bool:
    """Whether this file of ours, by its path below the root, goes into a bundle: all but compiled Python."""
    return "__pycache__" not in path.split("/") and not path.endswith(".pyc")
