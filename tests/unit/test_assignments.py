"""The state of each machine is assigned by one function, besides where it begins: read from the source by `ast`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
#: Attributes that hold the state of a machine; those of rows follow them.
STATES = {"state", "phase", "step", "states", "nic"}
ASSIGNED = {
    "boss/core/moves.py _assign",
    "boss/core/attempts.py set_phase",
    "boss/core/leases.py set_worker_state",
    "boss/core/instance_state.py set_instance_state",
    "boss/core/nics.py set_nic",
    "worker/agent/moves.py _move",
    "datastore/agent/moves.py move",
    "datastore/agent/moves.py move_batch",
    # Rows that follow, and states with which a machine begins.
    "boss/core/attempts.py save",
    "boss/core/accept.py _first_states",
}


def targets(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Assign):
        yield from node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        yield node.target


def is_state(target: ast.expr) -> bool:
    """`x.state`, `x.states[i]` or, by a local name, `states[i]`; not what an object sets on itself."""
    if isinstance(target, ast.Subscript):
        inner = target.value
        return (isinstance(inner, ast.Attribute) and inner.attr == "states") or (
            isinstance(inner, ast.Name) and inner.id == "states"
        )
    if not isinstance(target, ast.Attribute) or target.attr not in STATES:
        return False
    return not (isinstance(target.value, ast.Name) and target.value.id == "self")


def assignments(tree: ast.Module) -> Iterator[str]:
    """Names of the functions that assign a state."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            found = (target for node in ast.walk(function) for target in targets(node))
            if any(map(is_state, found)):
                yield function.name


def test_each_state_is_assigned_in_one_place() -> None:
    found = set()
    for package in ("boss/core", "worker/agent", "datastore/agent"):
        for path in sorted((TOP / package).rglob("*.py")):
            place = path.relative_to(TOP)
            found |= {f"{place} {name}" for name in assignments(ast.parse(path.read_text()))}
    assert found == ASSIGNED


def test_an_assignment_is_seen_in_all_its_forms() -> None:
    source = """
def a(x): x.state = 1
def b(x): x.batch.states[3] = 1
def c(states): states[3] = 1
def d(x): x.row.nic: str = ""
def e(x): x.step = x.phase = 1
def f(x): return x.state == 1
class G:
    def __init__(self): self.state = 1
"""
    assert list(assignments(ast.parse(source))) == ["a", "b", "c", "d", "e"]
