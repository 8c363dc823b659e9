"""What the boss looks up in its database before it sends orders, without one."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from wire.messages import (
    Input,
    Place,
)

PLACE = Place(path="/homes/w")


class Lookups:
    """Knows tasks 1 and 2; counts the questions."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[int]]] = []

    def executions(self, numbers: Collection[int]) -> Mapping[int, tuple[str, str, bytes]]:
        self.asked.append(("executions", sorted(numbers)))
        return {number: ("net", f"id {number}", b'{"commands":["true"]}') for number in numbers if number < 3}

    def requirements(self, numbers: Collection[int]) -> Mapping[int, list[Input]]:
        self.asked.append(("requirements", sorted(numbers)))
        return {number: [Input(name="net.inp", path="net.inp")] for number in numbers if number < 3}

    def result_names(self, numbers: Collection[int]) -> Mapping[int, list[str]]:
        self.asked.append(("result_names", sorted(numbers)))
        return {number: ["a.out"] for number in numbers}

    def source_of(self, digest: str) -> str:
        return "spool/" + digest
