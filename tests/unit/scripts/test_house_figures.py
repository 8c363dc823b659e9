"""The figures of the house: what counts as a statement, as a room, as a circle."""

from __future__ import annotations

import ast

import pytest

from scripts import house_figures


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('"""What this is."""\nimport os\n\n\ndef f(x):\n    """Twice."""\n    # doubled\n    return 2 * x\n', 3),
        ("TABLE = {\n    1: 'one',\n    2: 'two',\n}\nPAIRS: list[int] = [1, 2]\nNAMES = frozenset({'a', 'b'})\n", 0),
        ("tasks = Table('tasks', metadata, Column('id'))\n", 0),
        ("made = {name: 1 for name in names}\nx = 1\n", 2),
        ("def f():\n    found = [1, 2]\n    return found\n", 3),
        ("class A:\n    #: Named.\n    x: int\n    y: int = 0\n", 3),
        ("class A(enum.StrEnum):\n    X = 'x'\n    Y = 'y'\n\n    def f(self):\n        return 1\n", 3),
    ],
)
def test_comments_docstrings_and_tables_are_no_statements(source: str, count: int) -> None:
    assert house_figures.statements(ast.parse(source)) == count


def test_the_product_is_the_programs_and_what_lies_at_the_top() -> None:
    paths = ["boss/core/model.py", "settings.py", "tests/conftest.py", "boss/api/openapi.json", "scripts/make_docs.py"]
    assert list(filter(house_figures.is_product, paths)) == ["boss/core/model.py", "settings.py"]


def test_the_program_inside_the_former_start_script_counts() -> None:
    text = "python=python3\ncat >x.py <<'END_OF_BRINGUP'\nx = 1\nEND_OF_BRINGUP\nexec x.py\n"
    assert house_figures.of_file("worker/startup.sh", text) == ("worker/startup.sh.py", "x = 1\n")
    assert house_figures.of_file("worker/startup.sh", "exec x.py\n") == ("worker/startup.sh.py", "")
    assert house_figures.of_file("settings.py", "x = 1\n") == ("settings.py", "x = 1\n")


def test_imports_are_those_of_modules_of_ours() -> None:
    tree = ast.parse("import os\nfrom boss import loop\nfrom boss.core.model import Task\nfrom boss.api import here\n")
    known = {"boss", "boss.loop", "boss.core.model", "boss.api", "boss.api.live"}
    assert house_figures.imports_of("boss.api.live", tree, known) == {"boss.loop", "boss.core.model"}


def test_a_circle_is_named() -> None:
    assert house_figures.circle({"a": ["b"], "b": []}) == "none"
    assert set(house_figures.circle({"a": ["b"], "b": ["a"]}).split(" -> ")) == {"a", "b"}
