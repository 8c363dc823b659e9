"""Nothing decides by how a sentence reads: whoever has to tell reasons apart looks at their kinds. Read by `ast`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PACKAGES = ("boss", "worker", "datastore", "wire")
MODULES = ("settings.py", "push_tasks.py", "admin.py", "ecloud.py")
#: What sentences are called in fields and variables. Texts of other programs, which have no kinds, have other names.
SENTENCES = frozenset("reason cause paused quarantined warning failed full why_not".split())
_MATCHES = frozenset({"match", "search", "fullmatch"})
_LOOKS = frozenset({"startswith", "endswith", "removeprefix", "removesuffix", "find", "index", "partition", "split"})


def is_sentence(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr in SENTENCES) or (
        isinstance(node, ast.Name) and node.id in SENTENCES
    )


def is_text(node: ast.expr) -> bool:
    """A text with something in it: that a sentence is empty may decide."""
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(node.value)
    )


def readings(tree: ast.AST) -> Iterator[int]:
    """Lines on which a sentence is looked into, or compared with a text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_looked_into(node.func, node.args):
            yield node.lineno
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(map(is_sentence, sides)) and any(map(is_text, sides)):
                yield node.lineno


def is_looked_into(called: ast.Attribute, arguments: list[ast.expr]) -> bool:
    if called.attr in _MATCHES:
        return any(map(is_sentence, arguments))
    return called.attr in _LOOKS and is_sentence(called.value)


def test_nothing_decides_by_how_a_sentence_reads() -> None:
    files = [path for package in PACKAGES for path in sorted((TOP / package).rglob("*.py"))]
    files += [TOP / name for name in MODULES]
    found = [f"{path.relative_to(TOP)}, line {at}" for path in files for at in readings(ast.parse(path.read_text()))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "worker.quarantined.startswith('manual: ')",
        "if batch.row.paused == 'lunch': pass",
        "if 'quota' in event.reason: pass",
        "if reason.endswith('full'): pass",
        "re.search('quota', cause)",
    ],
)
def test_a_sentence_that_decides_is_found(source: str) -> None:
    assert list(readings(ast.parse(source)))


@pytest.mark.parametrize("source", ["if reason: pass", "if reason == '': pass", "if row.reason == other.reason: pass"])
def test_whether_there_is_a_sentence_and_whether_it_is_another_one_may_decide(source: str) -> None:
    assert not list(readings(ast.parse(source)))
