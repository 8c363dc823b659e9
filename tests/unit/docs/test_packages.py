"""Each package opens with what it is, its call tree and what it never does; names of modules in docstrings exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
PROGRAMS = ("boss", "worker", "datastore", "wire")
MIN_LINES = 8
#: `boss.core.moves`, `worker.agent.moves.end`
DOTTED = re.compile(rf"`((?:{'|'.join(PROGRAMS)})(?:\.\w+)+)`")
#: What stands for a module in a call tree: behind its marks or at the begin of a line, names with commas between them,
#: and behind them two blanks, another mark, or the end.
IN_TREE = re.compile(r"(?:^ {4}|─ )([a-z_]+/?(?:, [a-z_]+/?)*)(?=  | ──|$)", re.MULTILINE)
#: Files that are called so.
FILES = {"boss.json"}


def packages() -> list[Path]:
    """Every folder of ours with Python files in it."""
    return sorted({path.parent for program in PROGRAMS for path in (TOP / program).rglob("*.py")})


def opening(package: Path) -> str:
    """Its README, or the docstring of its __init__."""
    readme, init = package / "README.md", package / "__init__.py"
    if readme.exists():
        return readme.read_text()
    return ast.get_docstring(ast.parse(init.read_text())) or "" if init.exists() else ""


def parts_of(package: Path) -> set[str]:
    """Names of its modules and packages."""
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    return modules | {path.name for path in package.iterdir() if path.is_dir() and path.name.isidentifier()}


@pytest.mark.parametrize("package", packages(), ids=lambda path: str(path.relative_to(TOP)))
def test_a_package_opens_with_what_it_is_and_names_its_modules(package: Path) -> None:
    text = opening(package)
    assert len(text.splitlines()) >= MIN_LINES, f"{len(text.splitlines())} lines; at least {MIN_LINES} are wanted"
    words = set(re.findall(r"\w+", text))
    assert words & parts_of(package), f"it names none of {', '.join(sorted(parts_of(package)))}"


@pytest.mark.parametrize("package", packages(), ids=lambda path: str(path.relative_to(TOP)))
def test_the_call_tree_of_a_package_has_modules_that_are_there(package: Path) -> None:
    known = {part for each in packages() for part in {*parts_of(each), each.name}} | {"admin", "push_tasks", "settings"}
    trees = "\n".join(line for line in opening(package).splitlines() if line.startswith("    "))
    named = {name.rstrip("/") for names in IN_TREE.findall(trees) for name in names.split(", ")}
    assert not named - known


def dotted_names() -> Iterator[tuple[str, str]]:
    """(place, name) of all that comments and docstrings call by a dotted name."""
    for program in PROGRAMS:
        for path in sorted((TOP / program).rglob("*.py")):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                yield from ((f"{path.relative_to(TOP)}:{number}", name) for name in DOTTED.findall(line))


def is_there(name: str) -> bool:
    """A package, a module, or something that its text speaks of."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        place = TOP.joinpath(*parts[:count])
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if file.exists():
            return count == len(parts) or (
                count > 1 and re.search(rf"\b{parts[count]}\b", file.read_text()) is not None
            )
    return False


def test_modules_that_docstrings_name_are_there() -> None:
    missing = [f"{place}: `{name}`" for place, name in dotted_names() if name not in FILES and not is_there(name)]
    assert not missing, "\n".join(missing)


def test_a_name_that_is_not_there_is_found() -> None:
    assert is_there("boss.core") and is_there("boss.core.moves") and is_there("boss.core.moves.move")
    assert not is_there("boss.cores") and not is_there("boss.core.moved") and not is_there("boss.core.moves.push")
