"""Init tasks on machines of a cloud: once on each before its other tasks, with a second NIC only while they run.

The boss, its pyone and the agents are real; looked at is what the front-end was asked for, and what tasks wrote.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.worlds.hosts import network
from tests.worlds.opennebula.hive import LOG, Hive
from tests.worlds.opennebula.objects import Machine
from tests.worlds.opennebula.site import CloudSite

MAX_MACHINES, TRIES = 3, 3
pytestmark = [
    pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "sshd", "ssh-keygen", "mosquitto"),
    pytest.mark.timeout(300),
]


class Scene:
    def __init__(self, site: CloudSite, hive: Hive) -> None:
        self.site = site
        self.hive = hive
        hive.home.write(LOG, "", 0o666)
        hive.front.on_plug = self._plug

    def _plug(self, machine: Machine, nic: int, address: str) -> None:
        assert nic == 1 and address.startswith(("10.78.0.", "")), "in the pool's network for init tasks"
        with self.hive.home.path(LOG).open("a") as log:
            log.write(f"{machine.id} {'nic-in' if address else 'nic-out'}\n")

    def noted(self, machine: Machine) -> list[str]:
        """What happened on it, in order."""
        lines = [line.split() for line in self.hive.home.path(LOG).read_text().splitlines()]
        return [what for number, what in lines if number == str(machine.id)]


@pytest.fixture
def scene() -> Iterator[Scene]:
    with network() as net, Hive(net) as hive:
        pool = {"max": MAX_MACHINES, "boot_seconds": 1.0, "idle_seconds": 0.0, "cost_weight": 0.0}
        site = CloudSite(hive, {**pool, "init_network": "oneadmin/internet"}, heartbeat_seconds=0.5, lease_seconds=20)
        site.start()
        yield Scene(site, hive)


#: A task's way to the number of its machine, below whose folder its own is.
NUMBER = "$(pwd | cut -d/ -f5)"


def note(what: str) -> str:
    return f"echo {NUMBER} {what} >> {LOG}"


def test_inits_run_once_on_each_machine_while_it_has_a_second_nic_and_one_that_fails_quarantines_only_its_worker(
    scene: Scene,
) -> None:
    site = scene.site
    names = site.admin("instantiate_worker", str(MAX_MACHINES), "--keep-alive").split()
    site.wait(lambda: sorted(site.online()) == sorted(names), "all three are there")
    bad, *good = scene.hive.alive("worker")
    quarantined = f"worker {bad.user_template['ECLOUD_WORKER']} is quarantined: init task 'fetch' failed"
    inits = [
        {"id": "prepare", "init": True, "commands": [f"{note('prepare')}; sleep 0.3"]},
        {"id": "fetch", "init": True, "commands": [f"{note('fetch')}; test {NUMBER} != {bad.id}"]},
    ]
    tasks = [{"id": f"t{n}", "commands": [f"{note('task')}; sleep 0.5"], "expect": "20s"} for n in range(12)]
    said = site.push(site.write("study.json", {"tasks": [*inits, *tasks]}))
    assert "12 of 12 tasks succeeded" in said, said

    for machine in good:
        noted = [what for what in scene.noted(machine) if what != "nic-out"]
        assert noted[:3] == ["nic-in", "prepare", "fetch"] and set(noted[3:]) == {"task"}, "once, and before all else"
    assert sum(scene.noted(machine).count("task") for machine in good) == 12, "the others work on"
    assert scene.noted(bad).count("fetch") in (TRIES, TRIES + 1) and "task" not in scene.noted(bad)
    assert any(quarantined in one for one in site.asked("status")["warnings"])
    site.wait(
        lambda: all(len(machine.nics) == 1 for machine in [bad, *good]), "no second network interface stays behind"
    )
    assert all(scene.noted(machine).count("nic-in") == scene.noted(machine).count("nic-out") == 1 for machine in good)
    site.admin("terminate_workers", "--yes", "--now")
    scene.hive.wait(lambda: scene.hive.alive() == [], "nothing is left")
    assert scene.hive.faults == []
