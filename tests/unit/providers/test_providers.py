"""The boss's providers behind one door: in which order starts and ends reach them; NICs of machines."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from boss.core.effects import AttachNetwork, DetachNetwork, StartInstance, StopInstance
from boss.core.events import NetworkAttached, NetworkAttachFailed, NetworkDetached
from boss.providers import registry
from boss.providers.providers import Providers
from boss.setup import PoolSetup
from tests.worlds.waiting import scaled


class Slow:
    """Takes its time to start anything."""

    warning = ""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go_on = threading.Event()
        self.stopped = threading.Event()

    def start(self, instance: int, worker: str) -> None:
        self.go_on.wait(scaled(10))
        self.asked.append(f"start {instance}")

    def stop(self, instance: int, worker: str, reference: str) -> None:
        self.asked.append(f"stop {instance}")
        self.stopped.set()


def test_an_end_that_is_asked_for_while_the_start_is_handed_over_comes_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = Slow()
    monkeypatch.setattr(registry, "find", lambda _name: lambda _pool, _services: provider)
    setup = PoolSetup(name="cloud", provider="slow", max=1)
    providers = Providers([setup], None)  # type: ignore[arg-type]
    providers.start(StartInstance(instance=1, worker="cloud-1", pool="cloud"))
    providers.stop(StopInstance(instance=1, worker="cloud-1", pool="cloud", reference=""))
    provider.go_on.set()
    assert provider.stopped.wait(scaled(10))
    assert provider.asked == ["start 1", "stop 1"]
    provider.stopped.clear()
    providers.stop(StopInstance(instance=1, worker="cloud-1", pool="cloud", reference="r"))
    assert provider.stopped.is_set(), "and at once where there is nothing to wait for"


class WithNics(Slow):
    """Attaches NICs, but none in the network `full`."""

    def attach(self, reference: str, network: str, done: Callable[[str, str], None]) -> None:
        self.asked.append(f"attach {reference} {network}")
        done("", "no address is left") if network == "full" else done("3", "")

    def detach(self, reference: str, nic: str, done: Callable[[str, str], None]) -> None:
        self.asked.append(f"detach {reference} {nic}")
        done(nic, "")


def providers_of(monkeypatch: pytest.MonkeyPatch, provider: Slow) -> tuple[Providers, list[object]]:
    reported: list[object] = []
    monkeypatch.setattr(registry, "find", lambda _name: lambda _pool, _services: provider)
    services = SimpleNamespace(notify=reported.append)
    return Providers([PoolSetup(name="cloud", provider="it", max=1)], services), reported  # type: ignore[arg-type]  # a part of it


def attach(network: str) -> AttachNetwork:
    return AttachNetwork(instance=1, pool="cloud", reference="17", network=network)


def test_nics_are_asked_of_the_pools_provider_and_its_answers_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = WithNics()
    providers, reported = providers_of(monkeypatch, provider)
    providers.change_nic(attach("outside"))
    providers.change_nic(attach("full"))
    providers.change_nic(DetachNetwork(instance=1, pool="cloud", reference="17", nic="3"))
    assert provider.asked == ["attach 17 outside", "attach 17 full", "detach 17 3"]
    assert reported == [
        NetworkAttached(instance=1, nic="3"),
        NetworkAttachFailed(instance=1, reason="no address is left"),
        NetworkDetached(instance=1, nic="3"),
    ]


def test_a_provider_without_nics_is_reported_as_a_failed_try(monkeypatch: pytest.MonkeyPatch) -> None:
    providers, reported = providers_of(monkeypatch, Slow())
    providers.change_nic(attach("outside"))
    (failed,) = reported
    assert failed == NetworkAttachFailed(
        instance=1, reason="pool cloud has no machines that a network interface could be attached to"
    )
