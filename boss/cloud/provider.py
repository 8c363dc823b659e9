"""The provider interface: a handful of verbs, asynchronous by nature.

A provider is asked by `start` and `stop`, which return at once; what came of it is told through `told`, as
the core's events, from any thread. After a start of the boss `adopt` is called once with every instance that
is on record, and the provider tells the fate of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from boss.core.events import InstanceEnded, InstanceStarted, InstanceStartFailed

Told = Callable[[InstanceStarted | InstanceStartFailed | InstanceEnded], None]


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An instance as the boss has it on record."""

    instance: int
    worker: str
    #: Empty: the call was made or not, nobody knows.
    reference: str


class Provider(Protocol):
    """What starts and stops instances of one kind."""

    def adopt(self, recorded: Iterable[Recorded]) -> None:
        """The boss has started: watch those that live, tell of those that are gone."""
        ...

    def start(self, instance: int, worker: str) -> None:
        """Make one for this worker. Told InstanceStarted or InstanceStartFailed."""
        ...

    def stop(self, instance: int, worker: str, reference: str) -> None:
        """End it. Told InstanceEnded when it is gone; asking twice is no error."""
        ...

    def close(self) -> None:
        """The boss ends: no more is told."""
        ...
