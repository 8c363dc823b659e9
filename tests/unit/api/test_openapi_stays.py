"""What programs rely on in /api/v1 stays as an earlier release had it: routes, parameters and keys are only added.

Compared by what a program sees: paths, methods, operation ids, parameters, the keys of bodies with their types, what a
request must hold and what stands where it says nothing. Summaries, descriptions and the names of schemas are free.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from boss.api import openapi
from boss.api.table import ROUTES
from tests.worlds.stored_release import stored_openapi

Document = dict[str, Any]
#: Where a key or parameter is -> what a program sees of it there: types, defaults.
Facts = dict[str, set[str]]


def facts_of(document: Document) -> tuple[Facts, set[str]]:
    """What programs may count on, and what requests must hold."""
    facts: Facts = {}
    required: set[str] = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method.upper()} {path}"
            facts[where] = {operation["operationId"]}
            for parameter in operation["parameters"]:
                name = f"{where} {parameter['in']} {parameter['name']}"
                facts[name] = {parameter["schema"]["type"]}
                if parameter["required"]:
                    required.add(name)
            body = operation.get("requestBody", {})
            if body.get("required"):
                required.add(f"{where} body")
            for media, content in body.get("content", {}).items():
                _keys(document, content["schema"], f"{where} asks {media}", facts, required, ())
            for status, answer in operation["responses"].items():
                for media, content in answer["content"].items():
                    _keys(document, content["schema"], f"{where} answers {status} {media}", facts, None, ())
    return facts, required


def _keys(
    document: Document, schema: Document, where: str, facts: Facts, required: set[str] | None, within: tuple[str, ...]
) -> None:
    """`required` is None for answers: they need not be filled. `within`: schemas that hold this one."""
    seen = facts.setdefault(where, set())
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in within:
            _keys(document, document["components"]["schemas"][name], where, facts, required, (*within, name))
        return
    for choice in schema.get("anyOf", ()):
        _keys(document, choice, where, facts, required, within)
    if "type" in schema:
        seen.add(schema["type"])
    for name, below in schema.get("properties", {}).items():
        key = f"{where}.{name}"
        _keys(document, below, key, facts, required, within)
        if required is not None:
            if name in schema.get("required", ()):
                required.add(key)
            else:
                facts[key].add(f"default {json.dumps(below.get('default'))}")
    for part, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(schema.get(part), dict):
            _keys(document, schema[part], f"{where}{mark}", facts, required, within)


def broken(former: Document, now: Document) -> Iterator[str]:
    """A line for each thing that a program of the former release would trip over."""
    (old, old_required), (new, new_required) = facts_of(former), facts_of(now)
    for where, facts in old.items():
        if where not in new:
            yield f"{where} is gone"
        elif facts != new[where]:
            yield f"{where} was {', '.join(sorted(facts))} and is {', '.join(sorted(new[where]))}"
    operations = {where for where in old if " " not in where.partition(" ")[2]}
    for where in sorted(new_required - old_required):
        if any(where.startswith(f"{operation} ") for operation in operations):
            yield f"{where} is required now"


def test_routes_parameters_and_keys_of_the_release_are_there() -> None:
    faults = list(broken(stored_openapi(), json.loads(json.dumps(openapi.document(ROUTES)))))
    assert not faults, "\n".join(faults)


# The comparison is tried on changes of the stored document itself.

TASKS = "/api/v1/tasks"


def _parameter(**more: object) -> Document:
    return {"name": "new", "in": "query", "schema": {"type": "string"}, "required": False, **more}


def _operation(document: Document) -> Document:
    operation: Document = document["paths"][TASKS]["get"]
    return operation


def _schema(document: Document, name: str) -> Document:
    schema: Document = document["components"]["schemas"][name]
    return schema


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda d: d["paths"].pop(TASKS), f"GET {TASKS} is gone"),
        (lambda d: _operation(d).update(operationId="other"), f"GET {TASKS} was "),
        (lambda d: _operation(d)["parameters"].pop(), "is gone"),
        (lambda d: _operation(d)["parameters"][0]["schema"].update(type="boolean"), "and is boolean"),
        (lambda d: _operation(d)["parameters"].append(_parameter(required=True)), "query new is required now"),
        (lambda d: _schema(d, "TaskAnswer")["properties"].pop("exit_code"), ".exit_code is gone"),
        (lambda d: _schema(d, "TaskAnswer")["properties"]["id"].update(type="integer"), "was string and is integer"),
        (lambda d: _schema(d, "SelectionRequest")["properties"]["all"].update(default=True), "default true"),
        (lambda d: _schema(d, "SelectionRequest")["required"].append("tasks"), ".tasks is required now"),
    ],
)
def test_what_a_program_would_trip_over_is_found(change: Callable[[Document], object], word: str) -> None:
    now = copy.deepcopy(stored_openapi())
    change(now)
    faults = list(broken(stored_openapi(), now))
    assert any(word in fault for fault in faults), faults


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["paths"].update({"/api/v1/new": d["paths"][TASKS]}),
        lambda d: _operation(d)["parameters"].append(_parameter()),
        lambda d: _operation(d).update(summary="in plainer words"),
        lambda d: _schema(d, "TaskAnswer")["properties"].update(new={"type": "string"}),
        lambda d: _schema(d, "TaskAnswer").update(title="Task"),
    ],
)
def test_what_is_added_is_no_fault(change: Callable[[Document], object]) -> None:
    now = copy.deepcopy(stored_openapi())
    change(now)
    assert not list(broken(stored_openapi(), now))
