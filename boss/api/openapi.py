"""The OpenAPI document, generated from the table of routes and the bodies' structs. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from boss.api.routes import START_TOKEN, USER_TOKEN, Parameter, Route
from boss.api.schema import ErrorAnswer
from wire.http import PREFIX

_PLACEHOLDER = re.compile(r"\{(\w+)(?::(\w+))?\}")
_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean"}
#: Of a body that is a file.
_BINARY: dict[str, object] = {"type": "string", "format": "binary"}
_ERRORS = {
    "400": "bad input",
    "401": "no token, or a wrong one",
    "403": "refused: Host or Origin",
    "404": "not found",
    "409": "it conflicts with the present state",
    "413": "too large",
    "503": "the boss or its database is away",
    "507": "no free space",
}

_SCHEMES = {
    USER_TOKEN: {"type": "http", "scheme": "bearer", "description": "the boss's token"},
    START_TOKEN: {"type": "http", "scheme": "bearer", "description": "the start token of one machine"},
}


def document(routes: Sequence[Route]) -> dict[str, object]:
    """The OpenAPI 3.1.0 document (spec.openapis.org/oas/v3.1.0) of these routes, ready to be encoded as JSON."""
    bodies = {kind for route in routes for kind in (route.answer, route.request) if kind is not None}
    types = (bodies - {bytes}) | {ErrorAnswer}
    ordered = sorted(types, key=lambda kind: kind.__name__)
    schemas, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    by_type: dict[type, dict[str, object]] = {bytes: _BINARY, **dict(zip(ordered, schemas, strict=True))}
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        path = PREFIX + _PLACEHOLDER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "ecloud boss", "version": "1", "description": "Submit, watch and change graphs of tasks."},
        "security": [{USER_TOKEN: []}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SCHEMES},
    }


def _operation(route: Route, schemas: dict[type, dict[str, object]]) -> dict[str, object]:
    answers: dict[str, object] = {
        "200": {"description": "done", "content": {route.answer_media: {"schema": schemas[route.answer]}}}
    }
    error = {"application/json": {"schema": schemas[ErrorAnswer]}}
    answers |= {status: {"description": text, "content": error} for status, text in _ERRORS.items()}
    operation: dict[str, object] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": _path_parameters(route.path) + [_query_parameter(each) for each in route.parameters],
        "responses": answers,
    }
    if route.token != USER_TOKEN:
        operation["security"] = [{route.token: []}]
    if route.request_media:
        body: dict[str, object] = {route.request_media: {"schema": _BINARY}}
        operation["requestBody"] = {"required": True, "content": body}
    elif route.request is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": schemas[route.request]}}}
    return operation


def _path_parameters(path: str) -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer" if kind == "int" else "string"},
        }
        for name, kind in _PLACEHOLDER.findall(path)
    ]


def _query_parameter(parameter: Parameter) -> dict[str, object]:
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.sentence,
        "schema": {"type": _TYPES[parameter.kind]},
    }
