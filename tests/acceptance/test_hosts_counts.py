"""What must not grow with the tasks, counted on hosts: bytes sent of a shared input, connections, transfers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from boss.client.client import Client
from tests.worlds.hosts import HOME, Host, Network, network
from tests.worlds.hosts.cluster import TREE, Cluster

pytestmark = [
    pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "mosquitto", "sshd", "ssh", "ssh-keygen", "rsync"),
    pytest.mark.timeout(300),
]

HOSTS = 8
TASKS = 1000
MEGABYTE = 1_000_000


@pytest.fixture
def net() -> Iterator[Network]:
    with network() as made:
        yield made


def test_an_input_of_a_thousand_tasks_crosses_the_network_once_for_each_host(net: Network) -> None:
    size = 50 * MEGABYTE
    site = Cluster(net, workers=HOSTS)
    site.start(worker={"placement": "link"})  # a thousand copies of it would be 50 GB
    site.write("network.inp", os.urandom(size))
    command = f"[ $(stat -L -c %s network.inp) = {size} ]"
    tasks = [{"id": f"t{n}", "commands": command, "requirements": ["network.inp"]} for n in range(TASKS)]
    before = site.datastore.received_and_sent()[1]
    said = site.push(site.write("tasks.json", tasks))
    assert f"{TASKS:,} of {TASKS:,} tasks succeeded." in said
    sent = site.datastore.received_and_sent()[1] - before
    took_part = [host for host in site.workers if host.received_and_sent()[0] > size]
    assert len(took_part) == HOSTS  # else the count would prove less than it says
    assert HOSTS * size < sent <= (HOSTS + 0.5) * size, f"{sent / size:.2f} times the input"


def test_a_thousand_tasks_that_end_at_once_open_few_connections_and_never_more_transfers_than_allowed(
    net: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = 3
    site = Cluster(net, workers=HOSTS, slots=TASKS // HOSTS)
    site.measure_turns()
    site.start(datastore={"transfers": str(limit)})
    gates = [_gate(host) for host in site.workers]
    for host in site.workers:
        _note_transfers(host)
    command = f"read word <{HOME}/gate; read -r now _ </proc/uptime; echo $ECLOUD_TASK_ID $now >out/$ECLOUD_TASK_ID"
    tasks = [
        {"id": f"t{n}", "commands": ["mkdir out", command], "results": [f"out/t{n}"], "timeout": 200}
        for n in range(TASKS)
    ]
    site.push(site.write("tasks.json", tasks), "--detach")
    site.wait(lambda: site.look(Client.status)["in_progress"] == TASKS, "all tasks wait at the gate", seconds=120)
    site.forget_turns()
    with ExitStack() as opened:
        for gate in gates:
            opened.enter_context(_opened(gate))
        site.wait(lambda: site.look(Client.status)["in_progress"] == 0, "all tasks have ended", seconds=120)
    assert site.asked("status")["succeeded"] == TASKS
    tree = site.datastore.path(TREE)
    results = [(tree / f"out/t{n}").read_text().split() for n in range(TASKS)]
    assert [id for id, _ in results] == [f"t{n}" for n in range(TASKS)]
    ends = [float(moment) for _, moment in results]
    peak, count = _peak(site.workers)
    assert 1 <= peak <= limit
    for host in site.workers:
        assert _failed(host.sshd_log()) == []
    logins = sum(host.sshd_log().count("Accepted publickey") for host in site.workers)
    said = [
        f"{TASKS} tasks on {HOSTS} hosts ended within {max(ends) - min(ends):.1f} s:",
        f"{logins} logins, {count} transfers,",
        f"at most {peak} at once; half of the boss's turns took at most {1000 * site.turns(0.5):.0f} ms,",
        f"99 % at most {1000 * site.turns(0.99):.0f} ms",
    ]
    with capsys.disabled():
        print("", *said)  # noqa: T201


def _gate(host: Host) -> Path:
    """A pipe that holds everybody who reads from it until it is opened."""
    host.run(["mkfifo", f"{HOME}/gate"])
    return host.path(f"{HOME}/gate")


@contextmanager
def _opened(gate: Path) -> Iterator[None]:
    """A line for everybody; who comes late finds one as well."""
    with open(os.open(gate, os.O_RDWR), "wb", buffering=0) as pipe:
        pipe.write(b"open\n" * TASKS)
        yield


def _note_transfers(host: Host) -> None:
    """The host's rsync writes down when each transfer begins and ends."""
    lines = [
        "#!/bin/sh",
        f"note() {{ read -r now _ </proc/uptime; echo $now $1 >>{HOME}/transfers; }}",
        'note +; /usr/bin/rsync "$@"; code=$?; note -; exit $code',
    ]
    host.path("/usr/local/bin/rsync").write_text("\n".join(lines) + "\n")
    host.path("/usr/local/bin/rsync").chmod(0o755)


def _peak(hosts: list[Host]) -> tuple[int, int]:
    """How many transfers there were at once at most on all hosts together, and how many in all."""
    lines = [line.split() for host in hosts for line in host.path(f"{HOME}/transfers").read_text().splitlines()]
    moments = sorted((float(when), 1 if sign == "+" else -1) for when, sign in lines)
    now = peak = 0
    for _, step in moments:
        now += step
        peak = max(peak, now)
    return peak, len(lines) // 2


def _failed(log: str) -> list[str]:
    """What an sshd says of connections and sessions that did not come about."""
    said = r"MaxStartups|drop connection|(closed|reset|isconnected) .*\[preauth\]|^Failed|rror:|no more sessions"
    return [line for line in log.splitlines() if re.search(said, line)]
