"""Workers on a cloud, manually: started, shown, kept, dropped, ended. Machines are hosts; the front-end is ours."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.worlds.hosts import network
from tests.worlds.hosts.bootstrap_site import SITE, BootstrapSite
from tests.worlds.looking import phases, workers
from tests.worlds.opennebula.cloud import Cloud
from tests.worlds.opennebula.site import QUICK

pytestmark = [
    pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "sshd", "ssh", "ssh-keygen", "rsync", "mosquitto"),
    pytest.mark.timeout(600),
]
BOOTS = 180.0


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with network() as net, Cloud(net) as made:
        yield made


@pytest.fixture
def site(cloud: Cloud) -> BootstrapSite:
    account = {"opennebula_endpoint": cloud.endpoint, "opennebula_user": "ecloud", "opennebula_password": "secret"}
    kind = {"provider": "opennebula", "template": "worker", "network": "private", "options": QUICK}
    pool = {**kind, "min": 0, "max": 3, "idle_seconds": 1}
    made = BootstrapSite(cloud.net, pool, local_workers=0, **account)
    made.start()
    return made


def addresses(cloud: Cloud) -> list[str]:
    return sorted(machine.address for machine in cloud.alive("worker"))


def test_workers_are_started_shown_kept_dropped_and_ended_manually(site: BootstrapSite, cloud: Cloud) -> None:
    ids = site.admin("instantiate_worker", "2", "keep_alive").split()
    assert len(ids) == 2
    site.wait(lambda: sorted(site.online()) == sorted(ids), f"both say hello {cloud.faults}", BOOTS)
    assert len(cloud.alive("worker")) == 2

    # Row 40: id, address, task or nothing, persistent.
    shown = site.asked("show_workers")
    assert sorted(worker["address"] for worker in shown) == addresses(cloud)
    for worker in shown:
        line = f"ID: {worker['id']}  IP: {worker['address']}  Doing: nothing  Persistent: True  State: online"
        assert line in site.admin("show_workers").splitlines()

    # Row 48: dropping ends no machine (and with no work no other one is started): they say hello again.
    before = {machine.id for machine in cloud.alive("worker")}
    said = site.admin("drop_workers", "--all")
    assert "Dropped: " in said and "lives on and says hello again: terminate_workers stops it" in said
    site.wait(lambda: sorted(site.online()) == sorted(ids), "they say hello again")
    assert all(worker["keep_alive"] for worker in site.asked("show_workers"))
    assert {machine.id for machine in cloud.alive("worker")} == before

    site.boss.write(f"{SITE}/long.json", json.dumps([{"id": "long", "commands": "sleep 600", "expect": "600s"}]))
    site.push("long.json", "--detach")
    site.wait(lambda: "executing" in phases(site.look(workers)), "it works")
    assert "Doing: long  " in site.admin("show_workers")

    # One that is not kept goes when there is nothing for it; those that are kept stay.
    (other,) = site.admin("instantiate_worker").split()
    site.wait(lambda: len(cloud.alive("worker")) == 3, "the third machine")
    site.wait(lambda: len(cloud.alive("worker")) == 2, "the third machine has gone again", BOOTS)
    site.wait(lambda: other not in [one["id"] for one in site.look(workers)], "the boss has seen its end")
    assert sorted(site.online()) == sorted(ids)

    # The one at work finishes first, unless it is to end now.
    said = site.admin("terminate_workers", "--pool", "vm")
    assert "Terminated: " in said and "Terminated once their tasks have ended: " in said
    site.wait(lambda: len(cloud.alive("worker")) == 1, "the idle one is gone")
    site.admin("cancel", "--all")
    site.wait(lambda: cloud.alive("worker") == [], "the other one goes when its task has ended")
    site.wait(lambda: site.look(workers) == [], "no worker is left")
    assert site.admin("terminate_workers", "--yes") == "There is nothing to terminate."
    moves = site.admin("events", "--last", "500")
    assert "running -> stopping: terminated by an operator" in moves and "running -> stopping: it was drained" in moves
    assert cloud.faults == []
