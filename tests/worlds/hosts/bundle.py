"""What of ours a host is given, under another path: the folders of one program and the packages, read-only.

Knows which folders each program consists of. A host sees nothing of the checkout itself.
"""

from __future__ import annotations

import atexit
import compileall
import shutil
import site
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
#: What belongs to each program; `boss` is the whole checkout as a user has it.
PARTS = {
    "none": (),
    "worker": ("wire", "worker", "ecloud.py"),
    "datastore": ("wire", "datastore"),
    "boss": ("wire", "boss", "worker", "datastore", "templates", "examples", "*.py", "requirements.lock", "LICENSE"),
}


@cache
def bundle(program: str) -> Path:
    """A folder with copies of the program's parts, compiled; made once and removed when the tests end."""
    into = Path(tempfile.mkdtemp(prefix=f"bundle-{program}-"))
    atexit.register(shutil.rmtree, into)
    into.chmod(0o755)
    for pattern in PARTS[program]:
        for part in sorted(TOP.glob(pattern)):
            if part.is_dir():
                shutil.copytree(part, into / part.name)
            else:
                shutil.copy2(part, into / part.name)
    compileall.compile_dir(str(into), quiet=2)
    return into


def packages() -> Path:
    """Where the packages are that the tests run with."""
    return Path(sysconfig.get_path("purelib"))


def interpreter() -> Path:
    """The Python that the tests run with, without packages; it serves at its own place only."""
    return Path(sys.base_prefix).resolve()


def places_to_hide() -> list[Path]:
    """Whatever of this machine could make a test of transfers true trivially."""
    ours = [TOP, Path(sys.prefix), Path.home(), Path(tempfile.gettempdir()), packages(), Path(site.getuserbase())]
    found = {path.resolve() for path in [*ours, *package_folders(), Path("/home"), Path("/root"), Path("/var/tmp")]}
    return outermost(found - {interpreter()})


def package_folders() -> list[Path]:
    """Where the interpreter itself looks for packages."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    theirs = [Path("/usr/lib/python3/dist-packages"), Path("/usr/local/lib") / version / "dist-packages"]
    return [interpreter() / "lib" / version / "site-packages", *theirs]


def outermost(paths: Iterable[Path]) -> list[Path]:
    """Without those that lie beneath another."""
    chosen: list[Path] = []
    for path in sorted(set(paths)):
        if path != Path("/") and not any(path.is_relative_to(above) for above in chosen):
            chosen.append(path)
    return chosen
