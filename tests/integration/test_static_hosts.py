"""A pool of hosts that are there already: a boss on one machine brings the agent to others by SSH, and nothing else is
on them but Python, sshd and rsync.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.worlds.fingerprints import fingerprint
from tests.worlds.hosts import Host, HostFault, network
from tests.worlds.hosts.bootstrap_site import PLAIN_PYTHON
from tests.worlds.hosts.boss_host import SITE, STATE, BossHost
from tests.worlds.hosts.host import HOME, PYTHON, USER, Program
from tests.worlds.hosts.network import Network
from tests.worlds.waiting import wait_for

pytestmark = [
    pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "sshd", "rsync", "mosquitto"),
    pytest.mark.timeout(900),
]

FOLDER = f"{HOME}/ecloud-worker"


class Lab(BossHost):
    """A boss and its hosts."""

    def __init__(self, net: Network, hosts: int) -> None:
        self.net = net
        self.boss = net.host("boss", program="boss")
        self.hosts = net.hosts(*(f"h{number}" for number in range(1, hosts + 1)), program="none")
        self.boss.run(["mkdir", "-p", SITE])
        self.admin("init")
        for host in self.hosts:
            for key in ("boss", "datastore"):
                host.authorize(self.boss.path(f"{STATE}/keys/{key}.pub").read_text())
        listed = [
            {"address": host.address, "user": USER, "fingerprint": fingerprint(host.host_key), "python": PLAIN_PYTHON}
            for host in self.hosts
        ]
        tables = ", ".join(
            "{ " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in each.items()) + " }" for each in listed
        )
        lines = [
            f'boss_address = "{self.boss.address}"',
            'http_host = "0.0.0.0"',
            'broker_listen = "0.0.0.0"',
            "heartbeat_seconds = 0.5",
            "lease_seconds = 3",
            "local_workers = 0",
            "[pools.lab]",
            'provider = "static"',
            "slots = 2",
            "idle_seconds = 1",
            "boot_seconds = 5",
            "cost_weight = 0.0",
            f"hosts = [{tables}]",
        ]
        self.boss.write(f"{STATE}/settings.toml", "\n".join([*lines, ""]))
        self.program: Program | None = None

    def start(self) -> None:
        self.boss.path(f"{STATE}/boss.json").unlink(missing_ok=True)
        self.program = self.boss.start([PYTHON, "-P", "-m", "boss"], "boss", folder=SITE, ECLOUD_HOME=STATE)
        self.wait(self.boss.path(f"{STATE}/boss.json").exists, "the boss answers")

    def kill(self) -> None:
        assert self.program is not None
        self.program.end(signal.SIGKILL)

    def push(self, tasks: list[dict[str, object]], *options: str) -> str:
        self.boss.write(f"{SITE}/tasks.json", json.dumps(tasks))
        try:
            return self.type("push_tasks.py", *options, f"{SITE}/tasks.json", seconds=300)
        except HostFault as fault:
            raise HostFault(f"{fault}\n{self.logs()}") from None

    def agents(self, host: Host) -> int:
        """That hold a home there."""
        lines = host.processes().values()
        return sum(" -m worker" in line and "worker.bootstrap" not in line for line in lines)

    def wait(self, condition: Callable[[], object], what: str) -> None:
        wait_for(condition, what, 300, every=0.2, check=self._check, story=self.logs)

    def _check(self) -> None:
        if self.program is not None and self.program.poll() is not None:
            raise HostFault(f"the boss has ended\n{self.logs()}")

    def logs(self) -> str:
        found = [f"--- boss\n{self.program.output()[-4000:] if self.program else ''}"]
        for host in self.hosts:
            log = host.path(f"{FOLDER}/ecloud.log")
            found.append(f"--- {host.name}\n{log.read_text()[-2000:] if log.exists() else 'no log'}")
        return "\n".join([*found, self.admin("status", check=False)])


@pytest.fixture
def lab() -> Iterator[Lab]:
    with network() as net:
        made = Lab(net, hosts=2)
        yield made
        if made.program is not None and made.program.poll() is None:
            made.program.end(signal.SIGTERM)


def tasks(count: int, seconds: float) -> list[dict[str, object]]:
    return [
        {"id": f"t{number}", "commands": [f"sleep {seconds}; mkdir -p out; hostname > out/t{number}.txt"],
         "results": [f"out/t{number}.txt"]}
        for number in range(count)
    ]  # fmt: skip


def test_a_study_runs_on_hosts_that_the_boss_starts_agents_on_and_leaves_none_there(lab: Lab) -> None:
    lab.start()
    assert [lab.agents(host) for host in lab.hosts] == [0, 0]
    lab.push(tasks(12, 1.0))
    names = {lab.boss.path(f"{SITE}/ecloud-data/out/t{n}.txt").read_text().strip() for n in range(12)}
    assert names == {"h1", "h2"}
    lab.wait(lambda: [lab.agents(host) for host in lab.hosts] == [0, 0], "all agents are ended")
    assert not any("worker" in line for host in lab.hosts for line in host.processes().values())


def test_a_host_whose_ssh_folder_has_the_keys_of_another_sshd_is_known_by_the_one_of_the_settings(lab: Lab) -> None:
    for host in lab.hosts:
        host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/tmp/other"])
        host.run(["cp", "/tmp/other.pub", "/etc/ssh/ssh_host_ed25519_key.pub"], user="root")
    lab.start()
    lab.push(tasks(4, 0.5))
    names = {lab.boss.path(f"{SITE}/ecloud-data/out/t{n}.txt").read_text().strip() for n in range(4)}
    assert names <= {"h1", "h2"} and names
    assert "quarantined" not in lab.admin("status")


def test_agents_outlive_a_killed_boss_and_the_next_one_goes_on_with_them(lab: Lab) -> None:
    lab.start()
    lab.push(tasks(8, 6.0), "--detach")
    lab.wait(lambda: [lab.agents(host) for host in lab.hosts] == [1, 1], "both hosts have an agent")
    before = [sorted(host.processes()) for host in lab.hosts]
    lab.kill()
    lab.start()
    lab.wait(lambda: lab.asked("status")["workers"] == 2, "both are known again")
    for host, processes in zip(lab.hosts, before, strict=True):
        agents = [pid for pid, line in host.processes().items() if "worker.bootstrap" in line]
        assert len(agents) == 1 and agents[0] in processes
    lab.push(tasks(8, 6.0))
    lab.wait(lambda: [lab.agents(host) for host in lab.hosts] == [0, 0], "all agents are ended")


def test_a_host_that_is_cut_off_is_reported_and_the_other_does_the_work(lab: Lab) -> None:
    away, there = lab.hosts
    lab.net.cut(away)
    lab.start()
    lab.push(tasks(4, 0.5))
    names = {lab.boss.path(f"{SITE}/ecloud-data/out/t{n}.txt").read_text().strip() for n in range(4)}
    assert names == {there.name}
    assert away.address in lab.admin("status")
