"""The layers of the house, the purity of the pure parts, circles: read from the source by `ast`.

docs/architecture.md draws the layers; a test there compares the two.
"""

from __future__ import annotations

import ast
import builtins
import graphlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PACKAGES = ("wire", "boss", "worker", "datastore")
MODULES = ("settings", "push_tasks", "admin", "ecloud")

#: From the ground up: name of the layer -> its rooms. A room may use itself and what lies in layers below its own,
#: never another room of its layer, never one above. A room is a package or a module, by the longest prefix.
LAYERS: dict[str, tuple[str, ...]] = {
    "common": ("boss.common",),
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
    (
        "boss.loop",
        "boss.refused_turn",
        "boss.inbox",
        "boss.dispatch",
        "boss.messages",
        "boss.status",
        "boss.setup",
    ),
    "boss.turn",
)

#: Narrower than the layers say: what these may import of ours, and nothing else.
ONLY: dict[str, tuple[str, ...]] = {
    "wire.messages": (),
    "wire.topics": (),
    "wire.patterns": (),
    "wire.http": (),
    "wire.tls": (),
    "wire.other_version": ("wire.messages",),
    "wire.codec": ("wire.messages", "wire.other_version"),
    "wire.link": ("wire",),
    "ecloud": (),
    "boss.common": ("boss.common",),
    "boss.configuration": ("boss.configuration", "boss.common"),
    "boss.state_directory": ("boss.state_directory", "boss.common"),
    "boss.core": ("boss.core", "wire.messages", "wire.other_version", "wire.patterns"),
    "boss.ssh": ("boss.ssh", "wire.messages"),
    "settings": ("boss.configuration", "boss.common"),
    "worker": ("worker", "wire"),
    # The agents may measure what they say with the (pure) codec, to split what is too large.
    "worker.agent": ("worker.agent", "wire.messages", "wire.codec"),
    "worker.epanet": ("worker.epanet", "wire.messages"),
    "worker.runner": ("worker", "wire.messages", "wire.descriptors"),
    "datastore": ("datastore", "wire"),
    "datastore.agent": ("datastore.agent", "datastore.paths", "wire.messages", "wire.codec"),
    "datastore.paths": ("datastore.errors", "wire.messages"),
    # What a user's script talks to a boss with: of the server nothing but the bodies of its answers.
    "boss.client": (
        "boss.client",
        "boss.api.schema",
        "boss.api.result_bundle",
        "boss.common",
        "boss.state_directory",
        "wire",
    ),
    # The one door to a boss that does not run: the application itself.
    "boss.client.in_process": ("boss", "wire"),
}
#: Of these programs, parts that may not import one another.
APART = ("worker.runner", "worker.epanet", "datastore.transfers", "datastore.publish")

#: What puts the parts together: there a circle by setter or by lambda would be closed.
WIRING = (
    "boss.program",
    "boss.__main__",
    "boss.client.in_process",
    "worker.__main__",
    "worker.loop",
    "datastore.__main__",
    "datastore.loop",
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
    "datastore.errors",
    "datastore.paths",
)
#: All that the pure parts may import beside ours. No clock, chance, files, threads, processes, logging.
PURE_MAY_IMPORT = frozenset(
    "__future__ abc array base64 bisect collections collections.abc copy dataclasses enum functools graphlib hashlib "
    "heapq itertools json math msgspec msgspec.json msgspec.structs operator re shlex string struct types typing "
    "typing_extensions".split()
)
#: Built-in functions that do input or output, or run text.
PURE_MAY_NOT_CALL = frozenset({"open", "print", "input", "exec", "eval", "breakpoint", "__import__"})


#: Public classes that have one name in several modules, and why that is one thing.
SHARED_NAMES: dict[str, str] = {
    "BossSeen": "the same event, in the vocabulary of each agent that it comes to",
    "LinkConnected": "the same event, in the vocabulary of each agent",
    "LinkDisconnected": "the same event, in the vocabulary of each agent",
    "TimePassed": "the same event, in the vocabulary of each agent",
    "InvariantError": "one convention for the agents: what `check` raises",
    "IllegalMoveError": "one convention for the agents: what a move outside its table raises",
}

#: Built-in exceptions that a root may be, or that a class may be besides.
BUILT_IN_EXCEPTIONS = frozenset(
    name for name, each in vars(builtins).items() if isinstance(each, type) and issubclass(each, BaseException)
)


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


def foreign_assignments(module: str, tree: ast.AST) -> list[str]:
    """Attributes of other objects that are set from outside: `part.needs = other`, `self.part.needs = other`."""
    faults = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                faults.append(f"{module}, line {node.lineno}: sets {ast.unparse(node)}; give it when that is made")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr":
            faults.append(f"{module}, line {node.lineno}: setattr; give it when the object is made")
    return faults


def late_parts(module: str, tree: ast.AST) -> list[str]:
    """What is handed over as a lambda, a nested function, a bound method or `self`, and needs what is made later.

    Seen are local names and attributes of `self`, by the order of lines: what is not made above the call in the same
    function, nor (for attributes) in `__init__`, is made later.
    """
    faults = []
    for within in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.Module)):
        methods = {node.name: node for node in within.body if isinstance(node, ast.FunctionDef)}
        for function in methods.values():
            own = methods if isinstance(within, ast.ClassDef) else {}
            faults += [f"{module}, line {line}: {what}" for line, what in _late_in(function, own)]
    return faults


Methods = Mapping[str, ast.FunctionDef]


def _late_in(function: ast.FunctionDef, methods: Methods) -> Iterator[tuple[int, str]]:
    nested = {node.name: node for node in ast.walk(function) if isinstance(node, ast.FunctionDef) and node != function}
    locally = _made(function, _stored_name)
    made = {name: _made(method, _attribute_of_self) for name, method in methods.items()}
    for statement in ast.walk(function):
        for handed in _handed_over(statement) if isinstance(statement, ast.stmt) else ():
            later: set[str] = set()
            body: ast.AST | None = handed if isinstance(handed, ast.Lambda) else None
            if isinstance(handed, ast.Name):
                body = nested.get(handed.id)
            if body is not None:
                names = {node.id for node in ast.walk(body) if isinstance(node, ast.Name)}
                later |= {name for name in names & locally.keys() if max(locally[name]) >= statement.lineno}
            read = _read_of_self(handed if body is None else body, methods)
            for attribute in read:
                lines = made.get(function.name, {}).get(attribute, [])
                others = any(attribute in made[name] for name in made if name not in ("__init__", function.name))
                if others or any(line >= statement.lineno for line in lines):
                    later.add(f"self.{attribute}")
            if later:
                yield statement.lineno, f"{ast.unparse(handed)} needs {', '.join(sorted(later))}, which is made later"


def _handed_over(statement: ast.stmt) -> Iterator[ast.expr]:
    """The arguments of all calls in the statement itself, not in those inside it."""
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        todo += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)]
        if isinstance(node, ast.Call):
            yield from (each.value if isinstance(each, ast.Starred) else each for each in node.args)
            yield from (each.value for each in node.keywords)


def _made(function: ast.FunctionDef, name_of: Callable[[ast.AST], str | None]) -> dict[str, list[int]]:
    """Name -> the first lines of the statements that make it."""
    found: dict[str, list[int]] = {}
    for statement in (node for node in ast.walk(function) if isinstance(node, ast.stmt)):
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = list(statement.targets)
        elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
            targets = [statement.target]
        for target in (each for one in targets for each in ast.walk(one)):
            if name := name_of(target):
                found.setdefault(name, []).append(statement.lineno)
    return found


def _stored_name(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else None


def _attribute_of_self(node: ast.AST) -> str | None:
    is_own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    return node.attr if is_own and isinstance(node, ast.Attribute) else None


def _read_of_self(handed: ast.AST, methods: Methods) -> set[str]:
    """Attributes of self that are read when what was handed over is called, through methods of the class too.

    Nothing for a plain `self.part`, which is read at the call itself.
    """
    if isinstance(handed, ast.Name) and handed.id == "self":
        todo = list(methods)
    elif isinstance(handed, ast.Lambda | ast.FunctionDef):
        todo = [name for node in ast.walk(handed) if (name := _attribute_of_self(node))]
    else:
        todo = [name] if (name := _attribute_of_self(handed)) in methods else []
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            inside = ast.walk(methods[name]) if name in methods else ()
            todo += [each for node in inside if (each := _attribute_of_self(node))]
    return seen - methods.keys()


def classes_of(tree: ast.AST) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def last_name(base: ast.expr) -> str:
    """Of `a`, `a.b` or `a[b]`."""
    while isinstance(base, ast.Subscript):
        base = base.value
    return base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""


def exceptions_of(trees: Mapping[str, ast.AST]) -> dict[str, dict[str, list[str]]]:
    """Package -> its exception classes -> their bases. `trees`: module -> its source. Private ones count."""
    bases = {
        (module, each.name): [last_name(base) for base in each.bases]
        for module, tree in trees.items()
        for each in classes_of(tree)
    }
    known: set[str] = set()
    while found := {
        name for (_, name), above in bases.items() if name not in known and {*above} & (known | BUILT_IN_EXCEPTIONS)
    }:
        known |= found
    packages: dict[str, dict[str, list[str]]] = {}
    for (module, name), above in bases.items():
        if name in known:
            packages.setdefault(package_of(module), {})[name] = above
    return packages


def package_of(module: str) -> str:
    """The package that a module is in, or is."""
    return module if TOP.joinpath(*module.split(".")).is_dir() else module.rpartition(".")[0]


def faulty_exceptions(trees: Mapping[str, ast.AST]) -> list[str]:
    faults = []
    for package, classes in exceptions_of(trees).items():
        faults += [f"{package}: {name} does not end in Error" for name in classes if not name.endswith("Error")]
        roots = sorted(name for name, above in classes.items() if not {*above} & {*classes})
        if len(roots) != 1:
            faults.append(f"{package or 'modules at the top'}: {len(roots)} roots, {', '.join(roots)}")
    return faults


def shared_names(trees: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """Name of a public class -> the modules that have one."""
    found: dict[str, list[str]] = {}
    for module, tree in trees.items():
        for each in tree.body:
            if isinstance(each, ast.ClassDef) and not each.name.startswith("_"):
                found.setdefault(each.name, []).append(module)
    return {name: modules for name, modules in found.items() if len(modules) > 1}


def all_trees() -> dict[str, ast.Module]:
    return {module_of(path): tree_of(path) for path in ours()}


def pure_files() -> list[Path]:
    return [path for path in ours() if any(within(module_of(path), prefix) for prefix in PURE)]


def test_every_import_goes_down_the_layers() -> None:
    faults = [fault for path in ours() for fault in forbidden_imports(module_of(path), tree_of(path))]
    assert not faults, "\n".join(faults)


def test_no_modules_import_one_another_in_a_circle() -> None:
    found = circle(import_graph())
    assert not found, " -> ".join(found)


def test_no_circle_is_closed_by_a_setter_or_a_lambda_where_the_parts_are_put_together() -> None:
    trees = {module_of(path): tree_of(path) for path in ours() if module_of(path) in WIRING}
    assert trees.keys() == set(WIRING)
    faults = [
        fault
        for module, tree in trees.items()
        for fault in (*foreign_assignments(module, tree), *late_parts(module, tree))
    ]
    assert not faults, "\n".join(faults)


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


def test_exceptions_end_in_error_and_are_one_tree_a_package() -> None:
    faults = faulty_exceptions(all_trees())
    assert not faults, "\n".join(faults)


def test_the_page_on_architecture_names_the_roots_of_exceptions() -> None:
    page = (TOP / "docs" / "architecture.md").read_text()
    section = page[page.index("## Exceptions") : page.index("## Rooms")]
    rows = re.findall(r"^\| ((?:`\w+`,? ?)+)\| .* \| ((?:`[^`]+`,? ?)+)\|$", section, re.M)
    drawn = {
        (root, file)
        for names, files in rows
        for root, file in zip(re.findall(r"`(\w+)`", names), re.findall(r"`([^`]+)`", files), strict=True)
    }
    assert drawn
    for root, file in drawn:
        assert root in {each.name for each in classes_of(tree_of(TOP / file))}, f"{root} is not defined in {file}"
    packages = exceptions_of(all_trees())
    every = {name for classes in packages.values() for name in classes}
    roots = {name for classes in packages.values() for name, above in classes.items() if not {*above} & every}
    assert {name for name in roots if not name.startswith("_")} == {root for root, _ in drawn}


def test_the_name_of_a_public_class_stands_for_one_thing() -> None:
    found = shared_names(all_trees())
    unexplained = [f"{name}: {', '.join(modules)}" for name, modules in found.items() if name not in SHARED_NAMES]
    assert not unexplained, "\n".join(unexplained)
    assert found.keys() == SHARED_NAMES.keys(), "a reason for a name that is not shared"


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
        ("boss.providers.static.host_keeper", "from boss.api.errors import Fault"),
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


@pytest.mark.parametrize(
    "source",
    ["backend.limits = providers.limits", "self.backend.limits = 1", "self.parts[0].x: int = 1", "setattr(a, 'x', 1)"],
)
def test_an_attribute_that_is_set_from_outside_is_found(source: str) -> None:
    assert foreign_assignments("boss.program", ast.parse(source))


def test_own_attributes_and_items_may_be_set() -> None:
    assert not foreign_assignments("boss.program", ast.parse("self.x = 1\nself.x += 1\nvalues['x'] = 2\nx = 3"))


LATE = {
    "a lambda over a local name": """
def start():
    messages = Messages(lambda: loop.put)
    loop = Loop(messages)
""",
    "a lambda over what the call itself makes": """
def start():
    broker = Broker(ended=lambda: broker.restart())
""",
    "a nested function": """
def start():
    def warnings():
        return providers.warnings()
    backend = Backend(warnings=warnings)
    providers = Providers()
""",
    "a lambda over an attribute": """
class Program:
    def __init__(self):
        self.backend = Backend(limits=lambda: self.providers.limits())
        self.providers = Providers()
""",
    "a bound method": """
class Program:
    def __init__(self):
        self.backend = Backend(self._sentences)
        self.providers = Providers()
    def _sentences(self):
        return self._more()
    def _more(self):
        return self.providers.warnings()
""",
    "an attribute that another method makes": """
class Program:
    def __init__(self):
        self._broker = None
        self.door = Door(lambda: self._broker)
    def start(self):
        self._broker = Broker()
""",
    "the program itself": """
class Program:
    def __init__(self):
        self.loop = Loop(self)
        self.providers = Providers()
    def start_instance(self, effect):
        self.providers.start(effect)
""",
}


@pytest.mark.parametrize("source", LATE.values(), ids=LATE)
def test_a_circle_by_something_that_is_made_later_is_found(source: str) -> None:
    assert late_parts("boss.program", ast.parse(source))


def test_what_is_handed_over_may_need_what_is_made_above_it() -> None:
    source = """
class Program:
    def __init__(self, inbox):
        self.providers = Providers()
        self.backend = Backend(lambda: self.providers.limits(), self._warnings, self.providers.limits)
        self.loop = Loop(self.backend.answer)
    def _warnings(self):
        return self.providers.warnings()

def start(inbox):
    providers = Providers()
    def warnings():
        found = providers.warnings()
        return found
    backend = Backend(warnings, lambda: providers.limits())
    loop = Loop(backend)
"""
    assert not late_parts("boss.program", ast.parse(source))


@pytest.mark.parametrize(
    "sources",
    [
        {"boss.core.a": "class Away(Exception): pass"},
        {"boss.core.a": "class _Away(ValueError): pass"},
        {"boss.core.a": "class AError(Exception): pass", "boss.core.b": "class BError(OSError): pass"},
        {"boss.core.a": "class AError(Exception): pass", "boss.core.b": "class B(AError): pass"},
        {"boss.core.a": "class AError(Exception): pass", "boss.database.b": "class B(a.AError, Odd[int]): pass"},
    ],
)
def test_an_exception_outside_the_tree_of_its_package_is_found(sources: dict[str, str]) -> None:
    assert faulty_exceptions({module: ast.parse(source) for module, source in sources.items()})


def test_one_tree_of_exceptions_may_stand_on_another() -> None:
    sources = {
        "boss.core.a": "class AError(Exception): pass",
        "boss.core.b": "class BError(AError, OSError): pass\nclass _CError(BError): pass\nclass NoException: pass",
        "boss.database.d": "class DError(AError): pass",
    }
    assert not faulty_exceptions({module: ast.parse(source) for module, source in sources.items()})


def test_a_class_name_in_two_modules_is_found() -> None:
    sources = {"boss.a": "class One: pass\nclass _Two: pass", "boss.b": "class One: pass\nclass _Two: pass"}
    assert shared_names({module: ast.parse(source) for module, source in sources.items()}) == {
        "One": ["boss.a", "boss.b"]
    }
