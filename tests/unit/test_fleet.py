"""The boss's providers behind one door: the order in which an instance's start and end reach its provider."""

from __future__ import annotations

import threading

import pytest

from boss.cloud import registry
from boss.cloud.provider import PoolSetup
from boss.core.effects import StartInstance, StopInstance
from boss.fleet import Fleet


class Slow:
    """Takes its time to be told of a start."""

    trouble = ""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go_on = threading.Event()
        self.stopped = threading.Event()

    def start(self, instance: int, worker: str) -> None:
        self.go_on.wait(10)
        self.asked.append(f"start {instance}")

    def stop(self, instance: int, worker: str, reference: str) -> None:
        self.asked.append(f"stop {instance}")
        self.stopped.set()


def test_an_end_that_is_asked_for_while_the_start_is_handed_over_comes_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = Slow()
    monkeypatch.setattr(registry, "find", lambda _name: lambda _pool, _around: provider)
    setup = PoolSetup(name="cloud", provider="slow", most=1)
    fleet = Fleet([setup], None)  # type: ignore[arg-type]
    fleet.start(StartInstance(instance=1, worker="cloud-1", pool="cloud"))
    fleet.stop(StopInstance(instance=1, worker="cloud-1", pool="cloud", reference=""))
    provider.go_on.set()
    assert provider.stopped.wait(10)
    assert provider.asked == ["start 1", "stop 1"]
    provider.stopped.clear()
    fleet.stop(StopInstance(instance=1, worker="cloud-1", pool="cloud", reference="r"))
    assert provider.stopped.is_set(), "and at once where there is nothing to wait for"
