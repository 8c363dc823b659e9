"""The provider of OpenNebula machines as a boss has it, against the front-end of the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from boss.core.events import InstanceStarted
from boss.providers.opennebula.client import CloudClient
from boss.providers.opennebula.provider import MachineOptions, OpenNebulaProvider
from boss.providers.provider import BootstrapData, Recorded
from tests.worlds.opennebula.front_end import FrontEnd
from tests.worlds.waiting import wait_for

E = TypeVar("E")


class Boss:
    """A provider, and what it reported."""

    def __init__(self, front: FrontEnd, recorded: list[Recorded] | None = None, **changes: object) -> None:
        given = {"deployment": "d1", "template": "worker", "poll_seconds": 0.1, "start_seconds": 0.01}
        options = MachineOptions(**{"longest_call_seconds": 1.0, **given, **changes})  # type: ignore[arg-type]
        self.events: list[object] = []
        self.provider = OpenNebulaProvider(
            CloudClient(front.endpoint, "ecloud", "secret", answer_seconds=0.5), options, self.events.append, self.data
        )
        self.provider.adopt(recorded or [])

    def data(self, instance: int, worker: str) -> BootstrapData:
        return BootstrapData(variables={"ECLOUD_WORKER_ID": worker}, script=f"#!/bin/sh\necho '{worker} in $HOME'\n")

    def reported(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def wait(self, condition: Callable[[], object], what: str) -> None:
        wait_for(condition, what, story=lambda: f"reported so far: {self.events}")


@pytest.fixture
def bosses() -> Iterator[list[Boss]]:
    made: list[Boss] = []
    yield made
    for boss in made:
        boss.provider.close()


def started(front: FrontEnd, bosses: list[Boss], count: int = 1, **changes: object) -> Boss:
    """A boss with so many machines that run."""
    boss = Boss(front, **changes)
    bosses.append(boss)
    for number in range(1, count + 1):
        boss.provider.start(number, f"cloud-{number}")
    boss.wait(lambda: len(boss.reported(InstanceStarted)) == count, "all are started")
    return boss
