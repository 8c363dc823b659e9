"""Public functions of the packages that others build on say what they do, and name the exceptions that they raise.

By their text only. Of what a function calls nothing is known here, so only its own `raise` counts.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

TOP = Path(__file__).resolve().parents[3]
PACKAGES = ("boss/api", "boss/bootstrap", "boss/client", "boss/database", "boss/providers")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Public(NamedTuple):
    """A function, or a method of a public class."""

    place: str
    node: Function


@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for path in sorted((TOP / "boss").rglob("*.py"))}


def public(body: list[ast.stmt], place: str) -> Iterator[Public]:
    for node in body:
        if isinstance(node, ast.ClassDef | Function) and node.name.startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            yield from public(node.body, f"{place}{node.name}.")
        elif isinstance(node, Function):
            yield Public(f"{place}{node.name}", node)


def of_package(package: str) -> Iterator[Public]:
    for path, tree in trees().items():
        if path.is_relative_to(TOP / package):
            yield from public(tree.body, f"{path.relative_to(TOP)}: ")


def last_name(node: ast.expr | None) -> str:
    """Of a name, with or without its module; empty: it is neither."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def arguments(function: Function) -> list[str]:
    given = function.args
    return [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]


# --- what is known of all of boss -------------------------------------------------------------------


@cache
def classes() -> dict[str, list[ast.ClassDef]]:
    found: dict[str, list[ast.ClassDef]] = {}
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(node)
    return found


@cache
def protocol_docs() -> dict[tuple[str, tuple[str, ...]], str]:
    """Name and arguments of each method of a Protocol that has a docstring -> that."""
    found = {}
    for each in (one for same_name in classes().values() for one in same_name):
        if "Protocol" in map(last_name, each.bases):
            for node in each.body:
                if isinstance(node, Function) and (text := ast.get_docstring(node)):
                    found[node.name, tuple(arguments(node))] = text
    return found


@cache
def made_exceptions() -> dict[str, str]:
    """Functions that make an exception for `raise`, by what they say that they return."""
    functions = (node for tree in trees().values() for node in tree.body if isinstance(node, Function))
    made = {node.name: last_name(node.returns) for node in functions}
    return {name: kind for name, kind in made.items() if with_bases(kind) & {"Exception", "BaseException"}}


def with_bases(name: str) -> set[str]:
    """The class of this name and all above it; of a function that is none: nothing."""
    builtin = getattr(builtins, name, None)
    if isinstance(builtin, type):
        return {each.__name__ for each in builtin.__mro__}
    above = {last_name(base) for each in classes().get(name, ()) for base in each.bases}
    return {name}.union(*map(with_bases, above - {name})) if above else set()


# --- what is missing --------------------------------------------------------------------------------


def docstring(function: Function) -> str:
    """Its own, or that of the Protocol's method which it implements."""
    return ast.get_docstring(function) or protocol_docs().get((function.name, tuple(arguments(function))), "")


def is_small_property(function: Function) -> bool:
    decorators = {last_name(each) for each in function.decorator_list}
    return bool(decorators & {"property", "cached_property"}) and [type(each) for each in function.body] == [ast.Return]


def raised(node: ast.AST) -> Iterator[str]:
    """Exceptions that it raises by name; not those that a `try` around it catches by that name."""
    caught: set[str] = set()
    if isinstance(node, ast.Raise):
        name = last_name(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
        name = made_exceptions().get(name, name)
        if "BaseException" in with_bases(name):
            yield name
    if isinstance(node, ast.Try):
        for handler in node.handlers:
            kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
            caught.update(map(last_name, kinds))
        for child in node.body:
            yield from (name for name in raised(child) if not with_bases(name) & caught)
        rest: list[ast.AST] = [*node.handlers, *node.orelse, *node.finalbody]
    else:
        rest = list(ast.iter_child_nodes(node))
    for child in rest:
        yield from raised(child)


def unnamed(function: Function) -> list[str]:
    """Exceptions of which neither they nor a base of them is named."""
    text = docstring(function)
    general = {"object", "BaseException", "Exception"}
    return sorted(
        name for name in set(raised(function)) if not any(base in text for base in with_bases(name) - general)
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_function_says_what_it_does(package: str) -> None:
    silent = [
        each.place for each in of_package(package) if not docstring(each.node) and not is_small_property(each.node)
    ]
    assert not silent


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_function_raises_is_named(package: str) -> None:
    found = [f"{each.place}: {', '.join(names)}" for each in of_package(package) if (names := unnamed(each.node))]
    assert not found


def function(text: str) -> Function:
    node = ast.parse(text).body[0]
    assert isinstance(node, Function)
    return node


@pytest.mark.parametrize(
    "line", ["raise ServeError('x')", "raise errors.ServeError", "if x:\n  raise not_found(x)", "raise ValueError"]
)
def test_an_exception_that_is_not_named_is_found(line: str) -> None:
    body = line.replace("\n", "\n ")
    assert unnamed(function(f"def f(x):\n '''Something. Raises KeyError.'''\n {body}"))


@pytest.mark.parametrize(
    "line", ["raise", "raise error", "raise SpoolFullError", "try:\n  raise KeyError\n except LookupError:\n  pass"]
)
def test_what_is_named_or_caught_is_not(line: str) -> None:
    assert not unnamed(function(f"def f(x):\n '''Something. Raises SpoolError.'''\n {line}"))


def test_a_small_property_needs_no_docstring() -> None:
    assert is_small_property(function("@property\ndef f(self):\n return 1"))
    assert not is_small_property(function("def f(self):\n return 1"))
