"""Bundles: few packages, the same bytes from the same input, enough for a machine with nothing but its Python."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.bootstrap.bundle import BundleError, Bundles, Program, own_machine, own_python
from boss.bootstrap.bundle.contents import NEEDED, PYTHONS, is_wanted
from boss.bootstrap.bundle.packages import downloaded, locked
from boss.bootstrap.start_script import start_script

TOP = Path(__file__).resolve().parents[3]
OTHER = next(python for python in PYTHONS if python != own_python())
LOCKED = {"msgspec": "1.2", "paho-mqtt": "3.4"}


@pytest.fixture(autouse=True)
def own_python_is_one_of_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A boss may have a later Python than its machines; what is installed for it serves these tests all the same."""
    monkeypatch.setattr("boss.bootstrap.bundle.bundles.PYTHONS", {*PYTHONS, own_python()})


@pytest.fixture
def bundles(tmp_path: Path) -> Bundles:
    return Bundles(tmp_path / "state")


def own(bundles: Bundles, program: Program = "datastore") -> Path:
    return bundles.build(program, own_python(), own_machine()).path


def unpacked(archive: Path, into: Path) -> Path:
    with tarfile.open(archive) as file:
        file.extractall(into, filter="data")
    return into


def imported(folder: str) -> Iterator[str]:
    """Top names that the program imports and that are neither ours nor Python's."""
    for path in (TOP / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            tops = {name.split(".")[0] for name in names}
            yield from tops - set(sys.stdlib_module_names) - {"wire", "worker", "datastore", "ecloud"}


def provided(names: tuple[str, ...]) -> set[str]:
    """Top names that these packages bring."""
    by_module = importlib.metadata.packages_distributions()
    wanted = set(names)
    return {module for module, packages in by_module.items() if wanted & {name.lower() for name in packages}}


def test_a_workers_packages_are_few_and_those_that_it_imports() -> None:
    assert len(NEEDED["worker"]) == 5
    theirs = {*imported("wire"), *imported("worker")}
    needed = set(NEEDED["worker"]) - {"owa-epanet"}  # found and opened, not imported; not for every Python of a boss
    assert theirs <= provided(tuple(needed))
    for name in needed:
        assert provided((name,)) & theirs, f"{name} is not imported"


def test_a_datastores_packages_are_two() -> None:
    assert len(NEEDED["datastore"]) == 2
    assert {*imported("wire"), *imported("datastore")} <= provided(NEEDED["datastore"])


@pytest.mark.parametrize("program", ["worker", "datastore"])
def test_its_start_script_is_complete(
    program: Program, bundles: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NEEDED, program, ())  # its packages are not for every Python; the script is ours alone
    folder = unpacked(own(bundles, program), tmp_path / "unpacked")
    script = folder / "worker" / "startup.sh"
    assert script.read_text() == start_script() and script.stat().st_mode & 0o111
    assert (folder / "worker" / "guest.py").exists(), "the door for start scripts of an earlier release"


def test_the_same_input_gives_the_same_digest(tmp_path: Path) -> None:
    one, other = (Bundles(tmp_path / name).build("datastore", own_python(), own_machine()) for name in "ab")
    assert one.digest == other.digest and one.path.read_bytes() == other.path.read_bytes()
    assert one.digest.startswith("b2:") and len(one.digest) == 67
    assert 0 < one.path.stat().st_size < 2_000_000


def test_another_line_of_ours_gives_another_digest_and_the_former_bundle_is_kept(tmp_path: Path) -> None:
    root = tmp_path / "ours"
    shutil.copytree(TOP / "wire", root / "wire")
    first = Bundles(tmp_path, root).build("datastore", own_python(), own_machine())
    with open(root / "wire" / "topics.py", "a") as file:
        file.write("# changed\n")
    bundles = Bundles(tmp_path, root)
    second = bundles.build("datastore", own_python(), own_machine())
    assert first.digest != second.digest
    former = bundles.former(first.digest)
    assert former is not None and former.path == first.path
    assert bundles.former("b2:" + "0" * 64) is None and bundles.former("../x") is None


def test_the_next_boss_finds_what_was_made_and_makes_again_what_was_damaged(tmp_path: Path) -> None:
    first = Bundles(tmp_path).build("datastore", own_python(), own_machine())
    before = first.path.stat().st_ino
    assert Bundles(tmp_path).build("datastore", own_python(), own_machine()) == first
    assert first.path.stat().st_ino == before
    content = first.path.read_bytes()
    first.path.write_bytes(b"damaged")
    again = Bundles(tmp_path).build("datastore", own_python(), own_machine())
    assert again == first and again.path.read_bytes() == content


def test_a_program_runs_from_its_bundle_with_nothing_else(bundles: Bundles, tmp_path: Path) -> None:
    folder = unpacked(own(bundles), tmp_path / "unpacked")
    plain = [os.path.realpath(sys.executable), "-P", "-S", "-s", "-m", "datastore", "--help"]
    environment = {"PYTHONPATH": os.fspath(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(plain, env=environment, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "datastore" in done.stdout


def test_a_boss_that_runs_from_a_bundle_makes_the_same_bundles(
    bundles: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is recorded of each package in a bundle is enough to find its files again."""
    first = bundles.build("datastore", own_python(), own_machine())
    folder = unpacked(first.path, tmp_path / "unpacked")
    monkeypatch.setattr(sys, "path", [os.fspath(folder)])
    again = Bundles(tmp_path / "other", folder).build("datastore", own_python(), own_machine())
    assert again.digest == first.digest


def test_nothing_in_a_bundle_is_a_test_a_header_or_outside(bundles: Bundles) -> None:
    with tarfile.open(own(bundles)) as archive:
        entries = archive.getmembers()
    assert all(entry.isfile() and (entry.mtime, entry.uid, entry.gid) == (0, 0, 0) for entry in entries)
    assert [entry.name for entry in entries] == sorted({entry.name for entry in entries})
    assert not [entry.name for entry in entries if "__pycache__" in entry.name or entry.name.startswith(("/", ".."))]
    assert {"wire/messages.py", "datastore/__main__.py", "msgspec/__init__.py", "LICENSE", "bundle.json"} <= {
        entry.name for entry in entries
    }
    assert not [entry.name for entry in entries if entry.name.startswith("boss/")]


@pytest.mark.parametrize(
    ("package", "path", "wanted"),
    [
        ("numpy", "numpy/__init__.py", True),
        ("numpy", "numpy/_core/tests/test_umath.py", False),
        ("numpy", "numpy/_core/include/numpy/ndarrayobject.h", False),
        ("numpy", "../../../bin/f2py", False),
        ("pyarrow", "pyarrow/libarrow_python.so.2600", True),
        ("pyarrow", "pyarrow/libarrow_python.so", False),
        ("pyarrow", "pyarrow/libarrow_flight.so.2600", False),
        ("owa-epanet", "epanet/libepanet2.so", True),
        ("owa-epanet", "owa_epanet-2.3.5.dist-info/licenses/LICENSE", True),
        ("owa-epanet", "owa_epanet-2.3.5.dist-info/RECORD", False),
    ],
)
def test_what_is_left_out(package: str, path: str, wanted: bool) -> None:
    assert is_wanted(package, path) is wanted


# --- for another Python: by pip ----------------------------------------------------------------------


def make_wheel(folder: Path, name: str, version: str, module: str) -> None:
    folder.mkdir(exist_ok=True)
    about = f"{name.replace('-', '_')}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{module}/__init__.py", f"VERSION = {version!r}\n")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Wheels that pip finds instead of those of an index."""
    folder = tmp_path / "wheels"
    for name, version in LOCKED.items():
        make_wheel(folder, name, version, name.partition("-")[0])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", os.fspath(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundles:
    """Of a boss whose Python has none of the packages: their versions are those of the lock."""
    root = tmp_path / "ours"
    shutil.copytree(TOP / "wire", root / "wire")
    lines = [f"{name}=={version}" for name, version in LOCKED.items()]
    (root / "requirements.lock").write_text("\n".join(["# a lock", *lines, 'other==1 ; python_version >= "3.13"']))
    monkeypatch.setattr("boss.bootstrap.bundle.bundles.installed_version", lambda name: None)
    return Bundles(tmp_path / "state", root)


def test_packages_for_another_python_are_downloaded_once(
    foreign: Bundles, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = foreign.build("datastore", OTHER, "x86_64")
    folder = unpacked(made.path, tmp_path / "unpacked")
    assert (folder / "paho" / "__init__.py").read_text() == "VERSION = '3.4'\n"
    assert (folder / "msgspec-1.2.dist-info" / "RECORD").read_text().startswith("msgspec-1.2.dist-info/METADATA,,")
    shutil.rmtree(index)  # what was downloaded is kept
    assert foreign.build("datastore", OTHER, "x86_64") == made
    root = tmp_path / "ours"
    assert Bundles(tmp_path / "state", root).build("datastore", OTHER, "x86_64") == made


def test_a_download_that_fails_is_reported_with_what_pip_said(foreign: Bundles, index: Path) -> None:
    shutil.rmtree(index)
    with pytest.raises(BundleError, match=rf"packages for Python {OTHER} on aarch64 cannot be downloaded: ERROR: .*"):
        foreign.build("datastore", OTHER, "aarch64")


def test_a_half_wheel_is_reported_and_downloaded_again(tmp_path: Path, index: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "msgspec-1.2-py3-none-any.whl").write_bytes(b"half")
    with pytest.raises(BundleError, match="is no whole wheel"):
        downloaded({"msgspec": "1.2"}, OTHER, "x86_64", cache)
    (package,) = downloaded({"msgspec": "1.2"}, OTHER, "x86_64", cache)
    assert [file.path for file in package.files] == ["msgspec-1.2.dist-info/METADATA", "msgspec/__init__.py"]


@pytest.mark.parametrize(("python", "machine"), [("3.10", "x86_64"), ("3.99", "x86_64"), (OTHER, "riscv64")])
def test_what_no_machine_has_is_refused_in_a_sentence(bundles: Bundles, python: str, machine: str) -> None:
    with pytest.raises(BundleError, match="there is no bundle for"):
        bundles.build("worker", python, machine)


def test_the_lock_knows_versions_by_python() -> None:
    assert "owa-epanet" in locked(TOP / "requirements.lock", "3.12")
    assert "owa-epanet" not in locked(TOP / "requirements.lock", "3.13")
