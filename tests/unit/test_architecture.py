"""The layers of the house, the purity of the pure parts, circles: read from the source by `ast`.

docs/architecture.md draws the layers; a test there compares the two.
"""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PACKAGES = ("wire", "boss", "worker", "datastore")
MODULES = ("settings", "push_tasks", "admin", "ecloud")

#: From the ground up: name of the layer -> its rooms. A room may use itself and what lies in layers below its own,
#: never another room of its layer, never one above. A room is a package or a module, by the longest prefix.
LAYERS: dict[str, tuple[str, ...]] = {
    "ground": ("wire", "boss.configuration", "boss.state_directory", "ecloud"),
    "core": ("boss.core",),
    "edges": ("boss.database", "boss.intake", "boss.ssh", "boss.embedded", "wire.link"),
    "turn": ("boss.turn",),
    "providers": ("boss.providers",),
    "api": ("boss.api",),
    "bootstrap": ("boss.bootstrap",),
    "client": ("boss.client",),
    "deploy": ("boss.deploy",),
    "cli": ("boss.cli",),
    "programs": ("boss.program", "settings", "worker", "datastore"),
    "commands": ("boss.__main__", "admin", "push_tasks"),
}
#: Modules that together are one room.
ONE_ROOM: dict[str, str] = dict.fromkeys(
    ("boss.loop", "boss.inbox", "boss.dispatch", "boss.messages", "boss.status", "boss.setup"), "boss.turn"
)

#: Narrower than the layers say: what these may import of ours, and nothing else.
ONLY: dict[str, tuple[str, ...]] = {
    "wire.messages": (),
    "wire.topics": (),
    "wire.patterns": (),
    "wire.http": (),
    "wire.tls": (),
    "wire.codec": ("wire.messages",),
    "wire.link": ("wire",),
    "ecloud": (),
    "boss.configuration": ("boss.configuration",),
    "boss.state_directory": ("boss.state_directory",),
    "boss.core": ("boss.core", "wire.messages", "wire.patterns"),
    "boss.ssh": ("boss.ssh", "wire.messages"),
    "settings": ("boss.configuration",),
    "worker": ("worker", "wire"),
    # The agents may measure what they say with the (pure) codec, to split what is too large.
    "worker.agent": ("worker.agent", "wire.messages", "wire.codec"),
    "worker.epanet": ("worker.epanet", "wire.messages"),
    "worker.runner": ("worker", "wire.messages"),
    "datastore": ("datastore", "wire"),
    "datastore.agent": ("datastore.agent", "datastore.paths", "wire.messages", "wire.codec"),
    "datastore.paths": ("datastore.errors", "wire.messages"),
    # What a user's script talks to a boss with: of the server nothing but the bodies of its answers.
    "boss.client": (
        "boss.client",
        "boss.api.schema",
        "boss.api.schema_pools",
        "boss.api.result_bundle",
        "boss.state_directory",
        "wire",
    ),
    # The one door to a boss that does not run: the application itself.
    "boss.client.in_process": ("boss", "wire"),
}
#: Of these programs, parts that may not import one another.
APART = ("worker.runner", "worker.epanet", "datastore.transfers", "datastore.publish")

PURE = (
    "wire.messages",
    "wire.topics",
    "wire.codec",
    "wire.patterns",
    "wire.http",
    "boss.core",
    "worker.agent",
    "datastore.agent",
    "datastore.errors",
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


def ours() -> list[Path]:
    files = [path for package in PACKAGES for path in sorted((TOP / package).rglob("*.py"))]
    return files + [TOP / f"{name}.py" for name in MODULES]


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


ROOMS = {room: layer for layer, rooms in LAYERS.items() for room in rooms}
HEIGHT = {layer: height for height, layer in enumerate(LAYERS)}


def longest(module: str, prefixes: Iterable[str]) -> str | None:
    return max((prefix for prefix in prefixes if within(module, prefix)), key=len, default=None)


def room_of(module: str) -> str | None:
    listed = longest(module, [*ROOMS, *ONE_ROOM])
    return ONE_ROOM.get(listed, listed) if listed else None


def forbidden(module: str, imported: str) -> str:
    """Why this module may not import that one; empty: it may."""
    mine, other = room_of(module), room_of(imported)
    if mine is None or other is None:
        return f"{module if mine is None else imported} is in no room of LAYERS"
    narrow = longest(module, ONLY)
    if narrow and not any(within(imported, prefix) for prefix in ONLY[narrow]):
        return f"{narrow} may import of ours only {', '.join(ONLY[narrow]) or 'nothing'}"
    apart = longest(module, APART)
    if apart and longest(imported, APART) not in (None, apart):
        return f"{apart} and {longest(imported, APART)} know nothing of one another"
    if mine != other and HEIGHT[ROOMS[other]] >= HEIGHT[ROOMS[mine]]:
        return f"{mine} ({ROOMS[mine]}) may not look at {other} ({ROOMS[other]})"
    return ""


def forbidden_imports(module: str, tree: ast.AST) -> list[str]:
    faults = []
    for line, imported in imports_of(tree):
        if imported.startswith("."):
            faults.append(f"{module}, line {line}: relative import of {imported}")
        elif is_ours(imported) and (why := forbidden(module, imported)):
            faults.append(f"{module}, line {line}: imports {imported}, but {why}")
    return faults


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Names that lead to one another, the first again as the last; empty: there is no circle."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def import_graph() -> dict[str, set[str]]:
    """Each of our modules -> what it imports of ours, at its top or inside a function."""
    known = {module_of(path): path for path in ours()}
    graph: dict[str, set[str]] = {}
    for module, path in known.items():
        graph[module] = {imported for _, imported in imports_of(tree_of(path)) if imported in known} - {module}
    return graph


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


def test_every_import_goes_down_the_layers() -> None:
    faults = [fault for path in ours() for fault in forbidden_imports(module_of(path), tree_of(path))]
    assert not faults, "\n".join(faults)


def test_no_modules_import_one_another_in_a_circle() -> None:
    found = circle(import_graph())
    assert not found, " -> ".join(found)


def test_the_pure_parts_know_no_clock_no_chance_no_files_and_no_threads() -> None:
    faults = [fault for path in pure_files() for fault in impurities(module_of(path), tree_of(path))]
    assert pure_files()
    assert not faults, "\n".join(faults)


def test_each_file_opens_with_a_paragraph_that_says_what_it_is() -> None:
    faults = [module_of(path) for path in ours() if tree_of(path).body and not ast.get_docstring(tree_of(path))]
    assert not faults, f"no paragraph at the top of: {', '.join(faults)}"


def test_the_page_on_architecture_draws_the_layers_that_hold() -> None:
    page = (TOP / "docs" / "architecture.md").read_text()
    section = page[page.index("## Layers") : page.index("## Where do I find")]
    drawn = re.findall(r"^\| ([a-z]+) \| ((?:`[^`]+` ?)+)\|", section, re.M)
    rooms = {layer: set(re.findall(r"`([^`]+)`", cells)) for layer, cells in drawn}
    held = {layer: {*LAYERS[layer], *(m for m, room in ONE_ROOM.items() if ROOMS[room] == layer)} for layer in LAYERS}
    assert rooms == held
    assert [layer for layer, _ in drawn] == list(reversed(LAYERS))


def test_every_room_and_rule_is_about_modules_that_are_there() -> None:
    named = {*ROOMS, *ONE_ROOM, *ONLY, *APART, *PURE}
    assert not [name for name in named if not exists(name)]


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
        ("boss.embedded.broker", "from wire.link import Link"),
        ("boss.ssh.connection", "def f():\n    import boss.providers.local"),
        ("boss.dispatch", "from boss.api import live"),
        ("boss.loop", "from boss.providers import providers"),
        ("boss.providers.static.keeper", "from boss.api.errors import Fault"),
        ("boss.api.live", "from boss.bootstrap import manual"),
        ("boss.client.client", "from boss.api import app"),
        ("boss.client.client", "from boss.core.model import TaskState"),
        ("boss.deploy.made", "from boss.cli import terminal"),
        ("boss.cli.push", "import boss.program"),
        ("boss.new_module", "import boss.core.model"),
        ("worker.loop", "import boss.core.model"),
        ("worker.loop", "import datastore.paths"),
        ("worker.agent.state", "from wire.link import Link"),
        ("worker.agent.state", "from worker import loop"),
        ("worker.runner.execution", "from worker.epanet import solve"),
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
        ("boss.loop", "from boss.dispatch import Dispatcher\nfrom boss.core.store import Store\nimport time"),
        ("boss.program", "from boss.database import load\nfrom boss.api import serve\nfrom wire.link import Link"),
        ("worker.loop", "from worker.agent import Agent\nfrom wire.link import Link\nimport os"),
        ("wire.link.client", "from wire.link.events import Connected\nfrom wire.codec import encode"),
        ("boss.client.in_process", "from boss.api import offline"),
        ("boss.__main__", "import settings\nfrom boss import loop"),
    ],
)
def test_an_allowed_import_passes(module: str, source: str) -> None:
    assert not forbidden_imports(module, ast.parse(source))


def test_a_circle_is_found() -> None:
    assert set(circle({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]})) == {"a", "b", "c"}
    assert not circle({"a": ["b", "c"], "b": ["c"]})


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
