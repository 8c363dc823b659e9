"""The reasons that vulture is given (`make check` runs it) are of code that it would take for dead, and of no other."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

from vulture import Vulture

TOP = Path(__file__).resolve().parents[2]
REASONS = TOP / "scripts" / "vulture_reasons.py"
#: Used by names only, so that vulture does not see that nothing writes or reads it yet.
LIVE_OUTPUT = {"OutputPart", "output"}


def reasoned() -> set[str]:
    nodes = ast.walk(ast.parse(REASONS.read_text()))
    names = {node.id if isinstance(node, ast.Name) else getattr(node, "attr", "") for node in nodes}
    return names - {"", "_"}


def test_every_reason_is_of_code_that_is_there_and_looks_dead() -> None:
    options = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["vulture"]
    vulture = Vulture(ignore_decorators=options["ignore_decorators"])
    vulture.scavenge([str(TOP / path) for path in options["paths"]], exclude=[str(REASONS)])
    dead = {item.name for item in vulture.get_unused_code(min_confidence=60)}
    assert reasoned() - LIVE_OUTPUT == dead
