"""What a fault of a fixed host means for the work that came while the host was being looked at."""

from __future__ import annotations

import queue
import threading

import pytest

from boss.core.events import InstanceStartFailed
from boss.providers.provider import BootstrapData
from boss.providers.static.host_keeper import HostInstance, HostKeeper, KeeperEnvironment, KeeperTimeouts
from boss.providers.static.hosts import Host
from tests.worlds.waiting import scaled


def test_a_fault_of_a_visit_says_nothing_of_the_work_that_came_meanwhile() -> None:
    under_way, go_on = threading.Event(), threading.Event()
    faults = iter(["seen by a look", "seen by a start"])
    reported: queue.Queue[object] = queue.Queue()

    def connect(host: Host) -> object:
        under_way.set()
        assert go_on.wait(scaled(30))
        raise OSError(next(faults))

    keeper = HostKeeper(
        Host(address="h"),
        KeeperEnvironment(
            deployment="d",
            pool="p",
            connect=connect,  # type: ignore[arg-type]
            bootstrap_data=lambda instance, worker: BootstrapData(variables={}, script=""),
            bundle=lambda name: pytest.fail("nothing is brought to a host that cannot be reached"),
            tell=reported.put,
            claim=lambda keeper, instance: False,
            looked=lambda: None,
            pace=KeeperTimeouts(retry=600.0, retry_max=600.0),
        ),
    )
    keeper.look()
    assert under_way.wait(scaled(30))
    keeper.take(HostInstance(1, "p-1"))
    go_on.set()
    assert reported.get(timeout=scaled(30)) == InstanceStartFailed(instance=1, reason="seen by a start")
    keeper.close()
    assert reported.empty()
