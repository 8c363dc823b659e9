"""A boss, its cloud and what may go wrong between them: the boss killed at any moment, and a cloud that misbehaves.

The boss, its pyone and the agents are real; machines of others and of another deployment of ours on the same
account are there all the time. CLOUD_KILLS says how often the boss is killed (10).
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from boss.client.client import Client
from tests.worlds.hosts import network
from tests.worlds.opennebula.hive import LOG, Hive
from tests.worlds.opennebula.objects import AUTHORIZATION, Machine, Refuse
from tests.worlds.opennebula.site import CloudSite
from tests.worlds.waiting import scaled

KILLS = int(os.environ.get("CLOUD_KILLS", "10"))
MAX_MACHINES = 3
#: Without a hello for so long a machine is given up; a loaded one needs some time for it.
BOOT_TIMEOUT = 15.0
NAMES = itertools.count(1)
pytestmark = [
    pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "sshd", "ssh-keygen", "mosquitto"),
    pytest.mark.timeout(200 + 20 * KILLS),
]


class Scene:
    def __init__(self, site: CloudSite, hive: Hive) -> None:
        self.site = site
        self.hive = hive
        marks = {"ECLOUD_INSTANCE": "1", "ECLOUD_WORKER": "cloud-1", "ECLOUD_ROLE": "worker", "ECLOUD_POOL": "cloud"}
        hive.knobs.silent = 3
        front = hive.front
        self.foreign = [
            front.make("other", "ecloud-cloud-1", {**marks, "ECLOUD_DEPLOYMENT": "theirs"}),
            front.make("ecloud", "ecloud-cloud-2"),
            front.make("ecloud", "ecloud-cloud-1", {**marks, "ECLOUD_DEPLOYMENT": "another"}),
        ]
        hive.wait(lambda: not hive.knobs.silent, "the foreign ones run")

    # --- work ----------------------------------------------------------------------------------------

    def push(self, count: int, seconds: float = 0.3) -> list[str]:
        """Each writes its name; they are waited for by `done`."""
        ids = [f"t{next(NAMES)}" for _ in range(count)]
        commands = [[f"echo {name} $ECLOUD_WORKER_ID >> {LOG}; sleep {seconds}"] for name in ids]
        tasks = [{"id": i, "commands": c, "expect": "20s"} for i, c in zip(ids, commands, strict=True)]
        self.site.push(self.site.write("study.json", {"tasks": tasks}), "--detach")
        return ids

    def done(self) -> bool:
        status = self.site.look(Client.status)
        assert status["failed"] == 0, status
        return bool(status["in_queue"] == status["in_progress"] == 0)

    def finish(self) -> None:
        """All work is done, no worker is there or asked for, and no machine of ours is left."""
        self.site.wait(self.done, "the work is done")
        self.site.wait(lambda: self.site.workers() == {}, "no worker is there or on its way")
        self.hive.wait(lambda: self.machines() == [], "the pool shrinks to nothing")
        assert self.hive.faults == []

    def ran(self) -> Counter[str]:
        """How often each task was begun, on whatever machine."""
        path = self.hive.home.path(LOG)
        return Counter(line.split()[0] for line in path.read_text().splitlines()) if path.exists() else Counter()

    def restart_boss(self) -> None:
        """Killed at this moment, and started again."""
        self.site.stop_boss()
        self.site.start_boss()

    # --- looking ---------------------------------------------------------------------------------------

    def machines(self) -> list[Machine]:
        return [machine for machine in self.hive.front.alive() if machine not in self.foreign]

    def made(self) -> list[Machine]:
        """All that were ever made by this boss."""
        return [machine for machine in self.hive.front.machines.values() if machine not in self.foreign]

    def reported(self, words: str) -> None:
        """`status` says so."""
        self.site.wait(lambda: words in " ".join(self.site.look(Client.status)["warnings"]), f"status tells: {words}")

    def untold(self, words: str) -> None:
        self.site.wait(lambda: words not in " ".join(self.site.look(Client.status)["warnings"]), f"no more: {words}")


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with network() as net, Hive(net) as hive:
        pool = {
            "max": MAX_MACHINES,
            "boot_seconds": 1.0,
            "boot_timeout_seconds": BOOT_TIMEOUT,
            "idle_seconds": 0.0,
            "cost_weight": 0.0,
        }
        site = CloudSite(hive, pool, heartbeat_seconds=0.5, lease_seconds=20)
        site.start()
        made = Scene(site, hive)
        # Both bundles are made, or found not to be available: from here on boots are quick.
        site.wait(lambda: site.said().count("bundle of the worker for") == 2, "the bundle is made", 120.0)
        yield made


@pytest.fixture(autouse=True)
def no_other_is_touched(scene: Scene) -> Iterator[None]:
    yield
    assert all(machine.ended_at is None for machine in scene.foreign)
    assert peak(scene.made()) <= MAX_MACHINES


def peak(machines: list[Machine]) -> int:
    ends = [machine.ended_at or float("inf") for machine in machines]
    return max(
        sum(other.made_at <= one.made_at < end for other, end in zip(machines, ends, strict=True)) for one in machines
    )


def test_killed_at_random_moments_it_leaves_no_orphan_and_no_double(scene: Scene) -> None:
    """Calls take a while before and after their effect, so that kills fall before, between and after them."""
    draw, site, knobs, front = random.Random(11), scene.site, scene.hive.knobs, scene.hive.front
    knobs.before = {"template.instantiate": 0.1, "vm.action": 0.05}
    knobs.after = {"template.instantiate": 0.2, "vm.action": 0.05}
    ids = []
    for _ in range(KILLS):
        ids += scene.push(2)
        call = draw.choice(["template.instantiate", "template.instantiate", "vm.action", ""])
        before, until = front.count(call), time.monotonic() + scaled(5)
        while call and front.count(call) == before and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(draw.uniform(0.0, 0.5))
        scene.restart_boss()
    site.wait(lambda: is_reconciled(scene), "what is there is what is on record")
    knobs.before, knobs.after = {}, {}
    scene.finish()
    marks = Counter(machine.user_template["ECLOUD_INSTANCE"] for machine in scene.made())
    assert set(marks.values()) == {1}, "no instance was made twice"
    ran = scene.ran()
    assert {id: ran[id] for id in ids} == dict.fromkeys(ids, 1), "and nothing ran twice"


def is_reconciled(scene: Scene) -> bool:
    """Every machine is one that the boss knows of and expects, or works with."""
    known = scene.site.workers()
    return all(machine.user_template["ECLOUD_WORKER"] in known for machine in scene.machines())


def test_an_api_that_is_away_for_a_while_costs_nothing_but_time(scene: Scene) -> None:
    scene.push(4, seconds=3.0)
    scene.site.wait(lambda: scene.site.online(), "some work")
    scene.hive.knobs.down = True
    ids = scene.push(4)
    scene.reported("HTTP 503")
    time.sleep(6.0)  # a minute, where lists are ten seconds apart
    scene.hive.knobs.down = False
    scene.untold("HTTP 503")
    scene.finish()
    assert all(scene.ran()[id] == 1 for id in ids)


def test_a_slow_api_is_waited_for(scene: Scene) -> None:
    names = ("template.instantiate", "vmpool.infoextended", "vm.action", "vm.info", "templatepool.info")
    scene.hive.knobs.before = dict.fromkeys(names, 0.7)
    scene.push(4)
    scene.finish()
    scene.hive.knobs.before = {}


def test_beyond_the_last_address_work_goes_on_with_what_is_there(scene: Scene) -> None:
    network, count = scene.hive.front.networks[0], len(scene.made())
    everything, network.addresses = network.addresses, network.addresses[:2]
    scene.site.admin("instantiate_worker", str(MAX_MACHINES), "--keep-alive", "--pool", "cloud")
    scene.reported("no address is left in network 0")
    scene.push(4)
    scene.site.wait(scene.done, "the work is done")
    scene.site.admin("terminate_workers", "--yes")
    scene.finish()
    assert peak(scene.made()[count:]) == 2
    network.addresses = everything


@pytest.mark.parametrize(
    ("spoil", "mend", "words"),
    [
        (
            lambda hive: rename(hive, "other"),
            lambda hive: rename(hive, "worker"),
            "there is no template 'worker'",
        ),
        (
            lambda hive: (setattr(user(hive), "password", "changed"), user(hive).tokens.clear()),
            lambda hive: setattr(user(hive), "password", "secret"),
            "refuses the login",
        ),
        (
            lambda hive: setattr(hive.knobs, "quota", 0),
            lambda hive: setattr(hive.knobs, "quota", None),
            "limit of 0 for VMS is reached",
        ),
        (
            lambda hive: hive.knobs.refuse.update({"template.instantiate": [not_allowed() for _ in range(50)]}),
            lambda hive: hive.knobs.refuse.clear(),
            "this account may not do that",
        ),
    ],
    ids=["template", "login", "quota", "rights"],
)
def test_what_an_operator_has_to_correct_is_reported_and_then_it_goes_on(
    scene: Scene, spoil: Callable[[Hive], object], mend: Callable[[Hive], object], words: str
) -> None:
    # A boss that starts knows of no pause: what an earlier test spoilt would be waited for here.
    scene.restart_boss()
    spoil(scene.hive)
    scene.push(1)
    scene.reported(words)
    assert scene.machines() == []
    mend(scene.hive)
    # The pool waits ever longer between two tries; an operator who has corrected it does not.
    scene.site.admin("instantiate_worker", "--pool", "cloud")
    scene.finish()


def rename(hive: Hive, name: str) -> None:
    for template in hive.front.templates.values():
        template.name = name


def user(hive: Hive):  # type: ignore[no-untyped-def]
    return hive.front.users["ecloud"]


def not_allowed() -> Refuse:
    return Refuse(AUTHORIZATION, "User [2] : Not authorized to perform USE IMAGE [0].")


def test_a_machine_that_never_boots_is_replaced(scene: Scene) -> None:
    scene.hive.knobs.silent = 1
    count = len(scene.made())
    scene.push(1)
    scene.finish()
    first, second = scene.made()[count:]
    assert first.ended_at is not None and first.ended_at - first.made_at >= BOOT_TIMEOUT - 5.0
    assert second.made_at > first.made_at


def test_a_machine_that_boots_and_dies_is_replaced_and_its_task_runs_again(scene: Scene) -> None:
    ids = scene.push(1, seconds=2.0)
    scene.site.wait(lambda: scene.ran()[ids[0]] == 1, "it runs")
    [machine] = scene.machines()
    scene.hive.agent(machine).end(signal.SIGKILL)
    scene.finish()
    assert scene.ran()[ids[0]] == 2
    assert len({one.id for one in scene.made() if one.made_at >= machine.made_at}) == 2
