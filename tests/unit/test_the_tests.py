"""What holds of every test, read from the source by `ast`: it asserts, shares through worlds/, scales its timeouts."""

from __future__ import annotations

import ast
import functools
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.worlds.inside.crashes import CRASHES

TOP = Path(__file__).resolve().parents[2]
TESTS = TOP / "tests"

#: A function of tests: the module it is in, its name. Methods of one name count as one.
Function = tuple[str, str]

#: Calls that bound how long something may take -> where the seconds stand if they are not called `timeout`.
BOUNDED = {
    "run": None, "communicate": None, "wait": 0, "join": 0, "get": None, "result": 0, "settimeout": 0,
    "wait_for_publish": 0, "create_connection": 1, "check_call": None, "check_output": None, "urlopen": 2,
}  # fmt: skip
#: Where `wait` and its like mean virtual time.
VIRTUAL = ("tests/unit/core/", "tests/unit/datastore/", "tests/simulation/")
#: Deadlines that are the subject of what they stand in, and hence not scaled.
OWN_DEADLINES = {
    "tests/worlds/stored/make.py": "a program that is run without the tests",
    "tests/worlds/raw_mqtt.py": "its text is run by a Python without the tests",
    "tests/acceptance/torture/killer.py": "the moment of the next kill is drawn",
    "tests/worlds/brokers.py": "how long nothing is to come",
    "tests/worlds/opennebula/front_end.py": "how long a token is valid",
    "tests/worlds/opennebula/machines.py": "how long the stand-in takes to plug in",
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(TOP).with_suffix("").parts)


@cache
def trees() -> dict[str, ast.Module]:
    return {module_of(path): ast.parse(path.read_text(), str(path)) for path in sorted(TESTS.rglob("*.py"))}


def dotted(node: ast.expr) -> str:
    """`a.b.c` of names and attributes; of anything else what comes behind it: `.c`."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


# --- every test asserts ------------------------------------------------------------------------------


def asserts(function: ast.AST) -> bool:
    """Directly: with an assertion, or by what raises one."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert | ast.Raise):
            return True
        if isinstance(node, ast.Call) and dotted(node.func) in ("pytest.raises", "pytest.fail", "pytest.warns"):
            return True
    return False


def calls(function: ast.AST) -> set[str]:
    return {dotted(node.func).split(".")[-1] for node in ast.walk(function) if isinstance(node, ast.Call)}


@cache
def imported(tree: ast.Module) -> set[str]:
    """The modules of tests that it takes something from."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {module for module in found if module.startswith("tests.")}


def in_sight(modules: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Module -> those whose functions it may call: its own, what that imports, and so on."""
    taken = {module: imported(tree) & modules.keys() for module, tree in modules.items()}
    found = {}
    for module in modules:
        sight, new = {module}, {module}
        while new:
            new = {each for one in new for each in taken[one]} - sight
            sight |= new
        found[module] = sight
    return found


def without_assertion(modules: Mapping[str, ast.Module]) -> list[str]:
    """Tests that neither assert nor call what asserts. A name that several functions have has to assert in all."""
    #: Function -> of each that has this name: None, it asserts directly, or what it calls.
    bodies: dict[Function, list[set[str] | None]] = defaultdict(list)
    for module, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                bodies[module, node.name].append(None if asserts(node) else calls(node))
    homes: dict[str, set[str]] = defaultdict(set)
    for module, name in bodies:
        homes[name].add(module)
    sight = in_sight(modules)
    asserting: set[Function] = set()

    def proves(module: str, called: set[str] | None) -> bool:
        if called is None:
            return True
        meant = ({(home, name) for home in homes[name] & sight[module]} for name in called & homes.keys())
        return any(those and those <= asserting for those in meant)

    while True:
        more = {key for key in bodies.keys() - asserting if all(proves(key[0], body) for body in bodies[key])}
        if not more:
            break
        asserting |= more
    return [
        f"{module}: {name}"
        for module, name in bodies
        if name.startswith("test_") and ".test_" in module and (module, name) not in asserting
    ]


def test_every_test_asserts_something() -> None:
    found = without_assertion(trees())
    assert not found, "\n".join(found)


def test_a_test_without_assertion_is_found() -> None:
    helpers = "def looks(x):\n    assert x\n\ndef reads(x):\n    return x\n\ndef asks(x):\n    looks(x)\n"
    own = "from tests.worlds.h import looks, reads, asks\n\ndef reads(x):\n    assert x\n\n"
    tests = "".join(f"def test_{name}():\n    {name}(1)\n\n" for name in ("looks", "reads", "asks", "gone"))
    modules = {"tests.worlds.h": ast.parse(helpers), "tests.unit.test_x": ast.parse(own + tests)}
    assert without_assertion(modules) == ["tests.unit.test_x: test_reads", "tests.unit.test_x: test_gone"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def test(): assert f() == 1", True),
        ("def test():\n    with pytest.raises(OSError):\n        f()", True),
        ("def test(): raise AssertionError", True),
        ("def test(): f()", False),
        ("def test():\n    for each in f():\n        print(each)", False),
    ],
)
def test_an_assertion_is_found(source: str, found: bool) -> None:
    assert asserts(ast.parse(source)) is found


# --- what several tests share ------------------------------------------------------------------------


def test_no_test_imports_a_test_file() -> None:
    found = [
        f"{module} imports {other}"
        for module, tree in trees().items()
        for other in imported(tree) & trees().keys()
        if other.split(".")[-1].startswith("test_")
    ]
    assert not found, "\n".join(found)


def test_worlds_take_nothing_from_the_rings_that_use_them() -> None:
    found = [
        f"{module} imports {other}"
        for module, tree in trees().items()
        if module.startswith("tests.worlds.")
        for other in imported(tree) & trees().keys()
        if not other.startswith("tests.worlds")
    ]
    assert not found, "\n".join(found)


def test_unit_tests_mirror_the_packages() -> None:
    packages = {path.parent.name for path in TOP.glob("boss/*/*.py")}
    folders = {path.name for path in (TESTS / "unit").iterdir() if path.is_dir() and path.name != "__pycache__"}
    others = {"boss", "worker", "datastore", "wire", "docs", "benchmarks", "scripts"}
    assert folders - packages <= others, folders - packages - others


# --- what tests name without importing it --------------------------------------------------------------

#: Fixtures of pytest and its plugins that our tests ask for.
OF_PYTEST = frozenset("caplog capsys capfd monkeypatch pytestconfig request tmp_path tmp_path_factory".split())


def fixtures_in(tree: ast.Module) -> set[str]:
    """The names that may be fixtures to the tests of this file: its own functions, and what it imports or assigns."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            found |= {name.asname or name.name for name in node.names}
        elif isinstance(node, ast.FunctionDef):
            found |= {node.name} if any("fixture" in ast.unparse(each) for each in node.decorator_list) else set()
        elif isinstance(node, ast.Assign):
            found |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return found


def unknown_fixtures(module: str, modules: Mapping[str, ast.Module]) -> Iterator[str]:
    """Arguments of tests and fixtures of this file that nothing gives."""
    parts = module.split(".")
    conftests = [".".join([*parts[:depth], "conftest"]) for depth in range(1, len(parts))]
    known = OF_PYTEST.union(*(fixtures_in(modules[each]) for each in [module, *conftests] if each in modules))
    #: `KINDS = pytest.mark.parametrize(...)` decorates, too.
    assigned = {
        dotted(node.targets[0]): ast.unparse(node.value)
        for node in modules[module].body
        if isinstance(node, ast.Assign)
    }
    for node in modules[module].body:
        if not isinstance(node, ast.FunctionDef):
            continue
        decorators = [assigned.get(text, text) for text in map(ast.unparse, node.decorator_list)]
        drawn = any(each.startswith("given(") for each in decorators)  # hypothesis gives arguments by their place, too
        if drawn or not (node.name.startswith("test_") or any("fixture" in each for each in decorators)):
            continue
        given = {word for each in decorators if "parametrize" in each for word in re.findall(r"\w+", each)}
        for argument in (*node.args.args, *node.args.kwonlyargs):
            if argument.arg not in known | given:
                yield f"{module}: {node.name} asks for {argument.arg}"


def test_every_fixture_that_a_test_asks_for_is_imported() -> None:
    """Linters take away the import of a fixture, which nothing in the file seems to use: name it in `__all__`."""
    found = [each for module in trees() if ".test_" in module for each in unknown_fixtures(module, trees())]
    assert not found, "\n".join(found)


def test_a_fixture_that_is_not_imported_is_found() -> None:
    source = "@pytest.mark.parametrize('one', [1])\ndef test_it(tmp_path, one, other, world): pass\n"
    modules = {"tests.unit.test_x": ast.parse(source), "tests.conftest": ast.parse("@pytest.fixture\ndef world(): 1")}
    assert list(unknown_fixtures("tests.unit.test_x", modules)) == ["tests.unit.test_x: test_it asks for other"]


@pytest.mark.parametrize("target", sorted({crash.target for crash in CRASHES}))
def test_every_call_at_which_a_program_is_to_be_killed_is_there(target: str) -> None:
    module, _, names = target.partition(":")
    found = functools.reduce(getattr, names.split("."), importlib.import_module(module))
    assert callable(found)


# --- bounds against hanging --------------------------------------------------------------------------


def seconds_in(node: ast.expr, constants: dict[str, float]) -> float | None:
    """A number, or the name of one; None: it is computed."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    return constants.get(node.id) if isinstance(node, ast.Name) else None


def constants_of(tree: ast.Module) -> dict[str, float]:
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = seconds_in(node.value, {})
            if value is not None:
                found[node.targets[0].id] = value
    return found


def is_clock(node: ast.AST) -> bool:
    clocks = ("time.monotonic", "time.time", "time.perf_counter")
    return isinstance(node, ast.Call) and dotted(node.func) in clocks


def unscaled(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where a second or more bounds something without `scaled`: (line, what)."""
    constants = constants_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func).split(".")[-1]
            place = BOUNDED.get(name)
            given = [word.value for word in node.keywords if word.arg == "timeout"] if name in BOUNDED else []
            given += [node.args[place]] if place is not None and len(node.args) > place else []
            if any((seconds_in(value, constants) or 0) >= 1 for value in given):
                yield node.lineno, f"timeout of {name}"
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and is_clock(node.left):
            if not (isinstance(node.right, ast.Call) and dotted(node.right.func) == "scaled"):
                yield node.lineno, f"deadline in {ast.unparse(node.right)}"
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Lt | ast.LtE):
            measured = isinstance(node.left, ast.BinOp) and is_clock(node.left.left)
            if measured and (seconds_in(node.comparators[0], constants) or 0) >= 1:
                yield node.lineno, f"bound {ast.unparse(node)}"


def test_bounds_against_hanging_are_scaled_to_the_machine() -> None:
    found = []
    for module, tree in trees().items():
        path = module.replace(".", "/") + ".py"
        if path.startswith(VIRTUAL) or path in OWN_DEADLINES or module == "tests.worlds.waiting":
            continue
        found += [f"{path}, line {line}: {what}" for line, what in unscaled(tree)]
    assert not found, "\n".join(["use tests.worlds.waiting.scaled or wait_for:", *found])


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("process.wait(20)", True),
        ("subprocess.run(command, timeout=60)", True),
        ("LONG = 60.0\nthread.join(LONG)", True),
        ("until = time.monotonic() + 30", True),
        ("until = time.monotonic() + seconds", True),
        ("assert time.monotonic() - began < 10", True),
        ("process.wait(scaled(20))", False),
        ("until = time.monotonic() + scaled(seconds)", False),
        ("assert time.monotonic() - began < scaled(10)", False),
        ("answers.get(timeout=0.1)", False),
        ("task = Execution(timeout=300.0)", False),
    ],
)
def test_an_unscaled_bound_is_found(source: str, found: bool) -> None:
    assert bool(list(unscaled(ast.parse(source)))) is found
