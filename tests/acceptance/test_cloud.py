"""The whole of it on a cloud: boss, pyone, machine, start script, MQTT, task, rsync over SSH, and the machine's end.

CLOUD_MACHINES says how many machines there may be (4), CLOUD_TASKS how many tasks the study has (60).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.worlds.hosts import network
from tests.worlds.opennebula.cloud import Cloud
from tests.worlds.opennebula.objects import Machine
from tests.worlds.opennebula.site import CloudSite

MAX_MACHINES = int(os.environ.get("CLOUD_MACHINES", "4"))
TASKS = int(os.environ.get("CLOUD_TASKS", "60"))
pytestmark = [
    pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "sshd", "ssh", "ssh-keygen", "rsync", "mosquitto"),
    pytest.mark.timeout(200 + 30 * MAX_MACHINES + TASKS),
]


@pytest.fixture(scope="module")
def site() -> Iterator[CloudSite]:
    with network() as net, Cloud(net) as cloud:
        pool = {"max": MAX_MACHINES, "boot_seconds": 2.0, "orphan_after_seconds": 15.0}
        made = CloudSite(cloud, pool, heartbeat_seconds=0.5, lease_seconds=20)
        made.start()
        yield made


def study(count: int) -> list[dict[str, object]]:
    """Each reads a file that all share and one of its own, and one gathers what they wrote."""
    each: list[dict[str, object]] = [
        {
            "id": f"run-{number}",
            "requirements": ["shared.txt", f"in/{number}.txt"],
            "commands": [
                f"mkdir out on; cat shared.txt in/{number}.txt > out/{number}.txt",
                f"hostname > on/{number}.txt; sleep 0.3",
            ],
            "results": [f"out/{number}.txt", f"on/{number}.txt"],
            "expect": "20s",
        }
        for number in range(count)
    ]
    outputs = [f"out/{number}.txt" for number in range(count)]
    gather = {
        "id": "gather",
        "requirements": outputs,
        "commands": ["cat out/*.txt | sort > all.txt"],
        "results": ["all.txt"],
        "dependencies": [f"run-{number}" for number in range(count)],
    }
    return [*each, gather]


def foreign_machines(cloud: Cloud) -> list[Machine]:
    """Of another account, made manually, and of another deployment of ours (with our names)."""
    marks = {"ECLOUD_INSTANCE": "1", "ECLOUD_WORKER": "cloud-1", "ECLOUD_ROLE": "worker", "ECLOUD_POOL": "cloud"}
    cloud.knobs.silent += 3
    return [
        cloud.front.make("other", "ecloud-cloud-1", {**marks, "ECLOUD_DEPLOYMENT": "theirs"}),
        cloud.front.make("ecloud", "ecloud-cloud-2"),
        cloud.front.make("ecloud", "ecloud-cloud-1", {**marks, "ECLOUD_DEPLOYMENT": "another"}),
    ]


def test_a_study_scales_up_runs_on_machines_and_leaves_none(site: CloudSite) -> None:
    cloud = site.cloud
    foreign = foreign_machines(cloud)
    cloud.wait(lambda: not cloud.knobs.silent, "the foreign ones run")
    site.write("shared.txt", "shared\n")
    for number in range(TASKS):
        site.write(f"in/{number}.txt", f"of {number}\n")
    said = site.push(site.write("study.json", {"tasks": study(TASKS)}), seconds=170.0 + 20 * MAX_MACHINES + TASKS)
    assert f"{TASKS + 1:,} of {TASKS + 1:,} tasks succeeded." in said, said

    ours = [machine for machine in cloud.front.machines.values() if machine not in foreign]
    assert (site.tree / "all.txt").read_text().splitlines() == sorted(
        line for number in range(TASKS) for line in ("shared", f"of {number}")
    )
    ran_on = {(site.tree / "on" / f"{number}.txt").read_text().strip() for number in range(TASKS)}
    assert ran_on == {machine.name for machine in ours}, "all machines took part, and nothing else did"
    assert len(ours) == MAX_MACHINES and peak(ours) <= MAX_MACHINES
    assert cloud.front.count("template.instantiate") == MAX_MACHINES, "nothing was tried twice"

    cloud.wait(lambda: cloud.front.alive() == foreign[1:], "the pool shrinks to nothing")
    assert all(machine.ended_at is None for machine in foreign), "no other's machine was touched"
    site.wait(lambda: site.workers() == {}, "no worker is left")
    site.wait(lambda: site.logins() == [], "nor the login of one")
    assert site.plan()["instances"] == {} and cloud.faults == []


def test_a_machine_that_is_cut_off_halts_itself_and_is_ended(site: CloudSite) -> None:
    cloud = site.cloud
    name = site.admin("instantiate_worker", "--keep-alive").split()[0]
    site.wait(lambda: site.online() == [name], "it has said hello")
    [machine] = [machine for machine in cloud.front.machines.values() if machine.name == f"ecloud-{name}"]
    cloud.knobs.down = True  # only it can end itself
    cloud.net.cut(cloud.host(machine))
    cloud.wait(lambda: cloud.front.state(machine) == (8, 0), "it is switched off")
    cloud.knobs.down = False
    cloud.wait(lambda: cloud.front.state(machine) == (6, 0), "what is left of it is ended")
    site.wait(lambda: site.workers() == {}, "and its worker is gone")


def peak(machines: list[Machine]) -> int:
    """How many there were at the fullest time."""
    ends = [machine.ended_at or float("inf") for machine in machines]
    return max(
        sum(other.made_at <= one.made_at < end for other, end in zip(machines, ends, strict=True)) for one in machines
    )
