"""The arrows between the folders, the purity of the pure parts, the sizes of files: read from the source by `ast`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median

import pytest

TOP = Path(__file__).resolve().parents[2]
PACKAGES = ("wire", "boss", "worker", "datastore")
MODULES = ("settings", "push_tasks", "admin", "ecloud")

#: Ours that each part may import, by longest prefix. What is not listed may import its own package only.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "wire": (),
    "wire.messages": (),
    "wire.topics": (),
    "wire.codec": ("wire.messages",),
    "wire.patterns": (),
    "wire.http": (),
    "boss": ("wire",),  # the loop and other things that put edges together
    "boss.core": ("boss.core", "wire.messages", "wire.patterns"),
    "boss.intake": ("boss.core", "wire.messages", "wire.codec", "wire.patterns"),
    "boss.database": ("boss.core", "wire.http", "boss.state_directory", "wire.messages", "wire.codec", "wire.patterns"),
    "boss.providers": ("boss.core", "wire.messages", "boss.embedded", "boss.ssh", "boss.state_directory"),
    "boss.embedded": ("wire", "boss.state_directory"),
    "boss.ssh": ("wire.messages",),
    "boss.bootstrap": ("boss", "wire"),
    "boss.api": ("boss", "wire"),
    "boss.client": ("boss", "wire"),
    "boss.cli": ("boss", "wire", "settings"),
    "boss.__main__": ("boss", "wire", "settings", "state_directory"),
    "worker": ("wire",),
    # The agents may measure what they say with the (pure) codec, to split what is too large.
    "worker.agent": ("worker.agent", "wire.messages", "wire.codec"),
    "worker.runner": ("worker", "wire.messages"),
    "worker.epanet": ("worker.epanet", "wire.messages"),
    "worker.__main__": ("worker", "wire", "settings", "state_directory"),
    "datastore": ("wire",),
    "datastore.agent": ("datastore.agent", "datastore.paths", "wire.messages", "wire.codec"),
    "datastore.paths": ("wire.messages",),
    "datastore.__main__": ("datastore", "wire", "settings", "state_directory"),
    "settings": ("boss.configuration",),
    "boss.configuration": (),
    "boss.state_directory": (),
    "ecloud": (),
    "push_tasks": ("boss", "settings", "state_directory"),
    "admin": ("boss", "settings", "state_directory"),
}

#: Edges: they may not import one another, whatever the table above grows to.
EDGES = (
    "boss.database",
    "boss.providers",
    "wire.link",
    "worker.runner",
    "worker.epanet",
    "datastore.transfers",
)

PURE = (
    "wire.messages",
    "wire.topics",
    "wire.codec",
    "wire.patterns",
    "wire.http",
    "boss.core",
    "worker.agent",
    "datastore.agent",
    "datastore.paths",
)
#: All that the pure parts may import beside ours. No clock, chance, files, threads, processes, logging.
PURE_MAY_IMPORT = frozenset(
    "__future__ abc array base64 bisect collections collections.abc copy dataclasses enum functools graphlib hashlib "
    "heapq itertools json math msgspec msgspec.json msgspec.structs operator re string struct types typing "
    "typing_extensions".split()
)
#: Built-in functions that do input or output, or run text.
PURE_MAY_NOT_CALL = frozenset({"open", "print", "input", "exec", "eval", "breakpoint", "__import__"})

LINES_MOST, LINES_NINETY_PERCENT = 500, 250
#: Files that are one idea and long: each with its reason.
LONG: dict[str, str] = {"wire/messages.py": "every message there is, in one place"}


def ours() -> list[Path]:
    files = [path for package in PACKAGES for path in sorted((TOP / package).rglob("*.py"))]
    return files + [TOP / f"{name}.py" for name in MODULES if (TOP / f"{name}.py").exists()]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(TOP).with_suffix("").parts).removesuffix(".__init__")


def within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(f"{prefix}.")


def is_ours(module: str) -> bool:
    return module.split(".")[0] in (*PACKAGES, *MODULES)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@cache
def exists(module: str) -> bool:
    path = TOP.joinpath(*module.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def imports_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each (line, module) that is imported anywhere in the file; `from a import b` is a.b where that is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            for name in node.names:
                full = f"{source}.{name.name}"
                yield node.lineno, full if is_ours(full) and exists(full) else source


def allowed(module: str) -> tuple[str, ...]:
    """What this module may import of ours: its own package, and what the longest listed prefix says."""
    listed = max((prefix for prefix in MAY_IMPORT if within(module, prefix)), key=len)
    pure = any(within(module, prefix) for prefix in PURE)
    own = () if pure or "." not in module else (listed if listed.count(".") else module.split(".")[0],)
    return MAY_IMPORT[listed] + own


def forbidden_imports(module: str, tree: ast.AST) -> list[str]:
    faults = []
    for line, imported in imports_of(tree):
        if imported.startswith("."):
            faults.append(f"{module}, line {line}: relative import of {imported}")
        elif is_ours(imported) and not any(within(imported, prefix) for prefix in allowed(module)):
            faults.append(f"{module}, line {line}: may not import {imported}")
    return faults


def edge_of(module: str) -> str | None:
    return next((edge for edge in EDGES if within(module, edge)), None)


def edges_between(module: str, tree: ast.AST) -> list[str]:
    mine = edge_of(module)
    return [
        f"{module}, line {line}: the edge {mine} imports the edge {edge_of(imported)}"
        for line, imported in imports_of(tree)
        if mine and edge_of(imported) not in (None, mine)
    ]


def impurities(module: str, tree: ast.AST) -> list[str]:
    faults = [
        f"{module}, line {line}: a pure part may not import {imported}"
        for line, imported in imports_of(tree)
        if not is_ours(imported) and imported not in PURE_MAY_IMPORT
    ]
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    names = ((call.lineno, call.func.id) for call in calls if isinstance(call.func, ast.Name))
    return faults + [
        f"{module}, line {line}: a pure part may not call {name}()" for line, name in names if name in PURE_MAY_NOT_CALL
    ]


def pure_files() -> list[Path]:
    return [path for path in ours() if any(within(module_of(path), prefix) for prefix in PURE)]


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_nobody_imports_against_the_arrows() -> None:
    faults = [fault for path in ours() for fault in forbidden_imports(module_of(path), tree_of(path))]
    assert not faults, "\n".join(faults)


def test_no_edge_imports_another_edge() -> None:
    faults = [fault for path in ours() for fault in edges_between(module_of(path), tree_of(path))]
    assert not faults, "\n".join(faults)


def test_the_pure_parts_know_no_clock_no_chance_no_files_and_no_threads() -> None:
    faults = [fault for path in pure_files() for fault in impurities(module_of(path), tree_of(path))]
    assert pure_files()
    assert not faults, "\n".join(faults)


def test_each_file_opens_with_a_paragraph_that_says_what_it_is() -> None:
    faults = [module_of(path) for path in ours() if tree_of(path).body and not ast.get_docstring(tree_of(path))]
    assert not faults, f"no paragraph at the top of: {', '.join(faults)}"


def test_files_are_short() -> None:
    sizes = {str(path.relative_to(TOP)): lines_of(path) for path in ours() if lines_of(path)}
    long = {name: size for name, size in sizes.items() if size > LINES_MOST and name not in LONG}
    ordered = sorted(sizes.values())
    ninety = ordered[int(len(ordered) * 0.9)] if ordered else 0
    longest = sorted(sizes.items(), key=lambda item: -item[1])[:10]
    report = f"median {median(ordered)}, 90 % below {ninety}; longest: {longest}"
    sys.stdout.write(report + "\n")
    assert not long, f"longer than {LINES_MOST} lines: {long}; {report}"
    assert ninety <= LINES_NINETY_PERCENT * 1.2, report


def test_every_file_that_may_be_long_is_still_there_and_long() -> None:
    stale = [name for name in LONG if not (TOP / name).exists() or lines_of(TOP / name) <= LINES_MOST]
    assert not stale, f"take these out of LONG: {stale}"


# The rules themselves are tried on small pieces: a test that can never fail proves nothing.


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("boss.core.retry", "import boss.database"),
        ("boss.core.retry", "from wire import link"),
        ("boss.core.retry", "from wire.codec import encode"),
        ("boss.core.retry", "from . import model"),
        ("boss.database.load", "import settings"),
        ("boss.database.load", "from boss.intake import reader"),
        ("boss.ssh.connection", "def f():\n    import boss.providers.local"),
        ("worker.loop", "import boss.core.model"),
        ("worker.loop", "import datastore.paths"),
        ("worker.agent.state", "from wire.link import Link"),
        ("worker.agent.state", "from worker import loop"),
        ("datastore.agent", "import worker"),
        ("wire.messages", "from wire.topics import Topics"),
        ("wire.link.client", "import boss"),
        ("ecloud", "import wire.messages"),
        ("boss.loop", "import worker"),
        ("boss.loop", "from settings import load"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    assert forbidden_imports(module, ast.parse(source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("boss.core.retry", "from boss.core.model import TaskState\nfrom wire.messages import Run"),
        ("boss.loop", "from boss.database import load\nfrom boss.web import serve\nfrom wire.link import Link"),
        ("worker.loop", "from worker.agent import Agent\nfrom wire.link import Link\nimport os"),
        ("wire.link.client", "from wire.link.events import Connected\nfrom wire.codec import encode"),
        ("boss.__main__", "import settings\nfrom boss import loop"),
    ],
)
def test_an_allowed_import_passes(module: str, source: str) -> None:
    assert not forbidden_imports(module, ast.parse(source))


def test_an_edge_that_imports_an_edge_is_found() -> None:
    assert edges_between("boss.providers.app", ast.parse("from boss.database import load"))
    assert not edges_between("boss.providers.app", ast.parse("from boss.providers import registry"))


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import os",
        "from random import random",
        "import threading",
        "import logging",
        "import datetime",
        "import secrets",
        "from pathlib import Path",
        "open('x')",
        "def f():\n    print(1)",
    ],
)
def test_an_impurity_is_found(source: str) -> None:
    assert impurities("boss.core.x", ast.parse(source))
