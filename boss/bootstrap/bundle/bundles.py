"""Making bundles and keeping them: one file for each program, Python and machine, in the state directory.

Slow (seconds; minutes where packages are downloaded): never called by the boss's loop. What was made for the same files
is found again, by the next boss too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from boss.bootstrap.bundle.archive import digest_of, write_archive
from boss.bootstrap.bundle.contents import (
    MACHINES,
    NEEDED,
    OURS,
    PYTHONS,
    BundleError,
    Program,
    is_ours_wanted,
    own_machine,
    own_python,
)
from boss.bootstrap.bundle.packages import File, Package, downloaded, installed, installed_version, locked, ours
from boss.bootstrap.start_script import STARTUP, start_script
from boss.embedded.environments import ROOT

#: Raised when bundles are made otherwise than before.
_FORM = 1
#: Bundles of one program, Python and machine that are kept: a machine may still ask for a former one.
_KEPT = 3
#: In a bundle, what it is.
ABOUT = "bundle.json"


@dataclass(frozen=True)
class Bundle:
    path: Path
    #: `b2:` and 64 hexadecimal digits.
    digest: str


class Bundles:
    """All calls are safe from any thread; two that want the same wait for one another."""

    def __init__(self, state_directory: Path, root: Path = ROOT) -> None:
        self._folder = state_directory / "bundles"
        self._root = root
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._known: dict[str, Bundle] = {}

    def build(self, program: Program, python: str, machine: str) -> Bundle:
        """The one of what is installed now; made at the first call of this process, then known. Raises BundleError."""
        name = f"{program}-{python}-{machine}"
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            known = self._known.get(name)
            if known is None or not known.path.exists():
                try:
                    known = self._known[name] = self._make(name, program, python, machine)
                except OSError as error:
                    why = error.strerror or error
                    raise BundleError(f"{error.filename or self._folder}: {why}; no bundle {name}") from None
            return known

    def former(self, digest: str) -> Bundle | None:
        """One that was made before, if it is still kept."""
        hexadecimal = digest.removeprefix("b2:")
        if not re.fullmatch("[0-9a-f]{64}", hexadecimal):
            return None
        for path in self._folder.glob(f"*.{hexadecimal}.tar.gz"):
            return Bundle(path, digest)
        return None

    # --- making ------------------------------------------------------------------------------------------

    def _make(self, name: str, program: Program, python: str, machine: str) -> Bundle:
        if python not in PYTHONS and program != "boss":
            raise BundleError(f"there is no bundle for Python {python}: machines have {' or '.join(PYTHONS)}")
        if machine not in MACHINES and machine != own_machine():
            raise BundleError(f"there is no bundle for the machine {machine!r}: known are {', '.join(MACHINES)}")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        packages = self._packages(program, python, machine)
        theirs = (file for package in packages for file in (*package.files, _record(package)))
        files = [*self._ours(program), *theirs, _about(program, python, machine, packages)]
        key = _key(files)
        made = self._found(name, key)
        if made is None:
            unnamed = self._folder / f"{name}.{key}.new"
            write_archive(unnamed, files)
            digest = digest_of(unnamed)
            path = self._folder / f"{name}.{key}.{digest.removeprefix('b2:')}.tar.gz"
            unnamed.replace(path)
            made = Bundle(path, digest)
        else:
            os.utime(made.path)
        self._drop_old(name)
        return made

    def _ours(self, program: Program) -> Iterator[File]:
        """Of the checkout, or of the bundle, that this boss runs from."""
        for file in ours(self._root, OURS[program], is_ours_wanted):
            complete = replace(file, read=lambda: start_script(self._root).encode())
            yield complete if file.path == STARTUP else file

    def _found(self, name: str, key: str) -> Bundle | None:
        """One of an earlier process, if it still is what its name says."""
        for path in self._folder.glob(f"{name}.{key}.*.tar.gz"):
            digest = digest_of(path)
            if path.name.endswith(f".{digest.removeprefix('b2:')}.tar.gz"):
                return Bundle(path, digest)
            path.unlink()
        return None

    def _drop_old(self, name: str) -> None:
        kept = sorted(self._folder.glob(f"{name}.*.tar.gz"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[_KEPT:]:
            path.unlink(missing_ok=True)

    def _packages(self, program: Program, python: str, machine: str) -> list[Package]:
        lock = locked(self._root / "requirements.lock", python)
        if program == "boss" and not lock:
            raise BundleError(f"{self._root / 'requirements.lock'} is not there: it says what a boss needs")
        # With pip a boss that runs from a bundle can make those for other Pythons.
        names = [*lock, "pip"] if program == "boss" else list(NEEDED[program])
        if (python, machine) == (own_python(), own_machine()):
            names = [name for name in names if name != "pip" or installed_version("pip")]
            return [installed(name) for name in names]
        versions = {name: installed_version(name) or lock.get(name) for name in names}
        unknown = [name for name, version in versions.items() if version is None and name != "pip"]
        if unknown:
            raise BundleError(f"it is not known which version of {', '.join(unknown)} is wanted: none is installed")
        folder = self._folder / "wheels" / f"{python}-{machine}"
        return downloaded({name: version for name, version in versions.items() if version}, python, machine, folder)


def _record(package: Package) -> File:
    """What pip writes down, without its digests: so a boss that runs from a bundle finds the files of each package."""
    about = next((f.path for f in package.files if f.path.endswith(".dist-info/METADATA")), "")
    if not about:
        raise BundleError(f"the package {package.name} has no METADATA")
    paths = sorted({f.path for f in package.files})
    text = "".join(f"{path},,\n" for path in paths).encode()
    return File(about.replace("METADATA", "RECORD"), lambda: text)


def _about(program: str, python: str, machine: str, packages: Iterable[Package]) -> File:
    about = {
        "program": program,
        "python": python,
        "machine": machine,
        "packages": {package.name: package.version for package in packages},
    }
    text = json.dumps(about, indent=1, sort_keys=True).encode() + b"\n"
    return File(ABOUT, lambda: text)


def _key(files: Iterable[File]) -> str:
    """Of names and contents: bundles are the same where this is."""
    digest = hashlib.blake2b(str(_FORM).encode(), digest_size=16)
    for each in sorted(files, key=lambda file: file.path):
        content = hashlib.blake2b(each.read(), digest_size=32).digest()
        digest.update(f"{each.path}\0{each.executable:d}\0".encode() + content)
    return digest.hexdigest()
