"""Where the files of a package come from: from what is installed here, or out of wheels that pip downloads.

The first is for the Python and the machine that this program runs with, the second for all others. Both give the same
files for the same version.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from boss.bootstrap.bundle.contents import BundleError, is_wanted

#: For all packages of one bundle together.
DOWNLOAD_SECONDS = 900.0
#: Older ones first: a wheel made for an older system serves on a newer one. Debian 12 and Ubuntu 22.04 have 2.35.
_GLIBC = ("manylinux1", "manylinux2010", "manylinux2014", *(f"manylinux_2_{minor}" for minor in range(5, 36)))


@dataclass(frozen=True)
class File:
    """One file of a bundle."""

    path: str
    read: Callable[[], bytes]
    executable: bool = False


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    files: tuple[File, ...]


def locked(lock: Path, python: str) -> dict[str, str]:
    """Name -> version of every package that this Python is given by the lock."""
    try:
        lines = lock.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        if line.strip() and not line.startswith("#"):
            one = Requirement(line)
            if one.marker is None or one.marker.evaluate({"python_version": python, "python_full_version": python}):
                found[canonicalize_name(one.name)] = str(one.specifier).removeprefix("==")
    return found


def installed_version(name: str) -> str | None:
    """The version of the package that is installed for this Python; None: it is not."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


# --- installed here ------------------------------------------------------------------------------------


def installed(name: str) -> Package:
    """The package as it is installed for this Python, its contents read later. Raises BundleError: it is not installed,
    its files are not recorded, or one of them is missing.
    """
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise BundleError(f"the package {name} is not installed for this Python ({sys.executable})") from None
    listed = distribution.files
    if not listed:
        raise BundleError(f"it is not recorded which files the package {name} has; install it with pip")
    wanted = [each for each in sorted(listed, key=str) if is_wanted(name, each.as_posix())]
    files = (_on_disk(each.as_posix(), Path(str(distribution.locate_file(each)))) for each in wanted)
    return Package(name, distribution.version, tuple(files))


def _on_disk(path: str, file: Path) -> File:
    try:
        return File(path, file.read_bytes, bool(file.stat().st_mode & 0o111))
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror}") from None


def ours(root: Path, patterns: Iterable[str], wanted: Callable[[str], bool]) -> Iterator[File]:
    """The files below `root` that match a pattern and whose paths are `wanted`, their contents read later. A file may
    come twice. Raises BundleError while it is iterated: one cannot be looked at.
    """
    for pattern in patterns:
        # `**` of Python 3.11 and 3.12 gives folders only; of 3.13 files as well.
        found = root.glob(pattern.replace("/**", "/**/*"))
        for file in sorted(set(found)):
            path = file.relative_to(root).as_posix()
            if file.is_file() and wanted(path):
                yield _on_disk(path, file)


# --- wheels ----------------------------------------------------------------------------------------------


def downloaded(versions: dict[str, str], python: str, machine: str, folder: Path) -> list[Package]:
    """By pip, into the folder, which keeps what is there. Raises BundleError with what pip said."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    wheels = {name: _wheel(folder, name, version) for name, version in versions.items()}
    missing = [f"{name}=={versions[name]}" for name, wheel in wheels.items() if wheel is None]
    if missing:
        _download(missing, python, machine, folder)
        wheels = {name: _wheel(folder, name, version) for name, version in versions.items()}
    packages = []
    for name, version in versions.items():
        wheel = wheels[name]
        if wheel is None:
            raise BundleError(f"pip brought no wheel of {name} {version} for Python {python} on {machine}")
        packages.append(_of_wheel(name, version, wheel))
    return packages


def _wheel(folder: Path, name: str, version: str) -> Path | None:
    for path in sorted(folder.glob("*.whl")):
        parts = path.name.split("-")
        if canonicalize_name(parts[0]) == name and parts[1] == version:
            return path
    return None


def _download(wanted: list[str], python: str, machine: str, folder: Path) -> None:
    platforms = [word for each in _GLIBC for word in ("--platform", f"{each}_{machine}")]
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
        "--retries", "2",
        "--timeout", "15", "--only-binary", ":all:", "--implementation", "cp", "--python-version", python, *platforms,
        "--dest", os.fspath(folder), *wanted,
    ]  # fmt: skip
    what = f"the packages for Python {python} on {machine}"
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BundleError(f"{what} were not downloaded within {DOWNLOAD_SECONDS:g} s") from None
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if re.match("ERROR|.*No module named", line)]
        words = (said or done.stdout.splitlines() or ["pip said nothing"])[-1].strip()
        raise BundleError(f"{what} cannot be downloaded: {words}")


def _of_wheel(name: str, version: str, wheel: Path) -> Package:
    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        wheel.unlink(missing_ok=True)  # the next try downloads it again
        raise BundleError(f"{wheel} is no whole wheel: {error}") from None
    files = []
    for entry in sorted(entries, key=lambda entry: entry.filename):
        path = _installed_path(entry.filename)
        if is_wanted(name, path):
            executable = bool(entry.external_attr >> 16 & 0o111)
            files.append(File(path, partial(_member, wheel, entry.filename), executable))
    return Package(name, version, tuple(files))


def _installed_path(path: str) -> str:
    """Where pip would put it: code under `<name>.data/purelib` goes beside the rest, all else there elsewhere."""
    top, _, rest = path.partition("/")
    if not top.endswith(".data"):
        return path
    kind, _, inside = rest.partition("/")
    return inside if kind in ("purelib", "platlib") else f"../{rest}"


def _member(wheel: Path, name: str) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name)
