"""Graphs to push, as pieces of the canonical stream (`boss.intake.stream`) or as a task file, made as they are read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.floors import TRUE
from boss.intake import stream

_PIECE = 2000

#: (id, ids of its dependencies)
Node = tuple[str, list[str]]


def independent(count: int) -> Iterator[Node]:
    return ((f"t{number}", []) for number in range(count))


def chains(count: int, length: int = 5) -> Iterator[Node]:
    """So many tasks in chains."""
    for number in range(count):
        yield f"t{number}", [f"t{number - 1}"] if number % length else []


def fan(width: int) -> Iterator[Node]:
    """width -> 1 -> width"""
    yield from independent(width)
    yield "middle", [f"t{number}" for number in range(width)]
    for number in range(width):
        yield f"u{number}", ["middle"]


def two_dependencies(count: int) -> Iterator[Node]:
    """Each task depends on two earlier ones; the longest chain is the logarithm of the count."""
    for number in range(count):
        needed = dict.fromkeys((number // 2, number // 3)) if number else ()
        yield f"t{number}", [f"t{one}" for one in needed]


def pieces(nodes: Iterator[Node], count: int, *, noop: bool, project: str) -> Iterator[bytes]:
    """The stream of a push, in pieces."""
    header = stream.Header(version=stream.VERSION, project=project, name="benchmark", tasks=count)
    yield stream.encoder.encode(header) + b"\n"
    tail = "" if noop else f',"execution":{json.dumps({"commands": [[TRUE]]}, separators=(",", ":"))}'
    lines: list[str] = []
    for id, needed in nodes:
        dependencies = f',"dependencies":{json.dumps(needed)}' if needed else ""
        lines.append(f'{{"id":"{id}"{dependencies}{tail}}}\n')
        if len(lines) == _PIECE:
            yield "".join(lines).encode()
            lines.clear()
    yield "".join(lines).encode()


def write_task_file(path: Path, nodes: Iterator[Node]) -> None:
    """The same as a file for push_tasks.py, of tasks without commands."""
    with path.open("w") as file:
        file.write('{"tasks": [\n')
        separator = ""
        for id, needed in nodes:
            file.write(f'{separator}{{"id":"{id}","dependencies":{json.dumps(needed)},"commands":[]}}')
            separator = ",\n"
        file.write("\n]}\n")
