"""Prints how large the product is and how its parts hang together: of the work tree, or of a revision.

    scripts/house_figures.py             of the files here
    scripts/house_figures.py 5248fd3     of that revision, to compare

A statement is what Python's grammar calls one. Not counted are comments, docstrings and tables: assignments of literal
dictionaries, lists, tuples or sets (directly or frozen) to names of a module, definitions of database tables, and
the rows of enumerations. Counted besides is the program that the worker's start script once had a copy of.
"""

from __future__ import annotations

import ast
import graphlib
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PACKAGES = ("wire", "boss", "worker", "datastore")
START_SCRIPT = "worker/startup.sh"
#: What makes a table of the literal that it is given.
FROZEN = frozenset({"frozenset", "set", "tuple", "dict", "MappingProxyType"})
LITERALS = (ast.Dict, ast.List, ast.Tuple, ast.Set)


def main() -> None:
    revision = sys.argv[1] if len(sys.argv) > 1 else ""
    sources = dict(sorted(of_revision(revision) if revision else of_work_tree()))
    trees = {module_of(path): ast.parse(text, path) for path, text in sources.items()}
    lengths = sorted(len(text.splitlines()) for text in sources.values())
    functions = sorted(length for tree in trees.values() for length in function_lengths(tree))
    print(f"product of {revision or 'the work tree'}")
    print(f"  {len(lengths)} files: {of_lengths(lengths)}")
    print(f"  {len(functions)} functions: {of_lengths(functions)}")
    print_statements(trees)
    print_rooms(trees)


# --- what is read ------------------------------------------------------------------------------------


def is_product(path: str) -> bool:
    first, _, rest = path.partition("/")
    return path == START_SCRIPT or (path.endswith(".py") and (not rest or first in PACKAGES))


def of_work_tree() -> Iterator[tuple[str, str]]:
    """Path -> text."""
    paths = [*TOP.glob("*.py"), *(path for name in PACKAGES for path in (TOP / name).rglob("*.py")), TOP / START_SCRIPT]
    for path in sorted(paths):
        yield of_file(path.relative_to(TOP).as_posix(), path.read_text())


def of_revision(revision: str) -> Iterator[tuple[str, str]]:
    """Path -> text."""
    for path in git("ls-tree", "-r", "--name-only", revision).splitlines():
        if is_product(path):
            yield of_file(path, git("show", f"{revision}:{path}"))


def of_file(path: str, text: str) -> tuple[str, str]:
    """The path and what is Python of the text: of the start script the program between the marks, if it has one."""
    if path != START_SCRIPT:
        return path, text
    return path + ".py", text.partition("<<'END_OF_BRINGUP'\n")[2].partition("END_OF_BRINGUP\n")[0]


def git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", str(TOP), *arguments], check=True, capture_output=True, text=True).stdout


def module_of(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


# --- lengths -----------------------------------------------------------------------------------------


def function_lengths(tree: ast.AST) -> Iterator[int]:
    """Of each function in lines, from its `def`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def of_lengths(lengths: list[int]) -> str:
    nine_tenths = lengths[min(len(lengths) - 1, len(lengths) * 9 // 10)]
    return f"median {statistics.median(lengths):g} lines, 9 of 10 up to {nine_tenths}, longest {lengths[-1]}"


# --- statements --------------------------------------------------------------------------------------


def statements(tree: ast.Module) -> int:
    tables = sum(map(is_table, tree.body)) + sum(map(rows_of_enumeration, ast.walk(tree)))
    return sum(isinstance(node, ast.stmt) and not is_docstring(node) for node in ast.walk(tree)) - tables


def rows_of_enumeration(node: ast.AST) -> int:
    if not isinstance(node, ast.ClassDef) or not any("Enum" in ast.unparse(base) for base in node.bases):
        return 0
    return sum(isinstance(row, ast.Assign) and isinstance(row.value, ast.Constant) for row in node.body)


def is_docstring(node: ast.stmt) -> bool:
    """A text that stands alone does nothing, wherever it is."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def is_table(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return False
    value = node.value
    if isinstance(value, ast.Call):
        name = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        frozen = name in FROZEN and len(value.args) == 1 and isinstance(value.args[0], LITERALS)
        return frozen or name == "Table"
    return isinstance(value, LITERALS)


def print_statements(trees: Mapping[str, ast.Module]) -> None:
    by_package: Counter[str] = Counter()
    for module, tree in trees.items():
        by_package[package_of(module)] += statements(tree)
    imports = sum(isinstance(node, ast.Import | ast.ImportFrom) for tree in trees.values() for node in ast.walk(tree))
    print(f"  {sum(by_package.values())} statements, {imports} of them imports:")
    for package, count in sorted(by_package.items()):
        print(f"    {package:28} {count:6}")


def package_of(module: str) -> str:
    """`boss.core` and its like; loose modules of boss and of the top together."""
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return "(top)"
    return parts[0] if parts[0] != "boss" else ".".join(parts[:2]) if len(parts) > 2 else "boss (loose modules)"


# --- who imports whom --------------------------------------------------------------------------------


def print_rooms(trees: Mapping[str, ast.Module]) -> None:
    graph = {module: imports_of(module, tree, trees.keys()) for module, tree in trees.items()}
    rooms = {room for room in map(room_of, graph) if room}
    crossing = [
        (room_of(module), room_of(other))
        for module, others in graph.items()
        for other in others
        if "" not in (room_of(module), room_of(other)) and room_of(module) != room_of(other)
    ]
    among_rooms = {room: {other for one, other in crossing if one == room} for room in rooms}
    print(f"  boss outside core: {len(rooms)} modules and packages, {len(set(crossing))} pairs that import one another")
    print(f"    ({len(crossing)} imports of a module of another one)")
    print(f"  circle of modules: {circle(graph)}; of modules and packages of boss: {circle(among_rooms)}")


def imports_of(module: str, tree: ast.Module, known: Iterable[str]) -> set[str]:
    """The modules of ours that it imports, at its top or inside a function; not its own package."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{name.name}" for name in node.names} & set(known)
            found |= inner or {node.module}
    return {other for other in found & set(known) if other != module and not module.startswith(f"{other}.")}


def room_of(module: str) -> str:
    """What lies directly in boss, but for core; empty: it is none of that."""
    parts = module.split(".")
    return parts[1] if parts[0] == "boss" and len(parts) > 1 and parts[1] != "core" else ""


def circle(graph: Mapping[str, Iterable[str]]) -> str:
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return " -> ".join(error.args[1])
    return "none"


if __name__ == "__main__":
    main()
