"""A cable that is pulled while a result is under way: what is in flight goes on when it is back, nothing runs twice."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from boss.client.client import Client
from tests.worlds.hosts import HOME, Host, network
from tests.worlds.hosts.cluster import TREE, Cluster

pytestmark = [
    pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "tc", "mosquitto", "sshd", "ssh", "ssh-keygen", "rsync"),
    pytest.mark.timeout(300),
]

SIZE = 6_000_000


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with network() as net:
        made = Cluster(net, workers=2, heartbeat_seconds=0.5, lease_seconds=20)
        made.start()
        yield made


def test_a_cable_that_is_pulled_in_mid_file_delays_the_result_and_repeats_nothing(cluster: Cluster) -> None:
    command = f"echo $ECLOUD_WORKER >>{HOME}/began; head -c {SIZE} /dev/urandom >big; cksum <big >sum"
    tasks = [{"id": "slow", "commands": command, "results": ["big", "sum"]}]
    for host in cluster.workers:
        cluster.net.limit(host, 16)  # three seconds for the result
    cluster.push(cluster.write("tasks.json", tasks), "--detach")
    cut = cluster.wait(lambda: next(filter(is_sending, cluster.workers), None), "a result is under way")
    cluster.net.cut(cut)
    before = cut.received_and_sent()[1]
    time.sleep(2)
    assert not (cluster.datastore.path(TREE) / "big").exists()
    assert before < SIZE, "the cable was pulled too late"
    cluster.net.mend(cut)
    cluster.wait(lambda: cluster.look(Client.status)["succeeded"] == 1, "the result has arrived")
    tree = cluster.datastore.path(TREE)
    assert (tree / "big").stat().st_size == SIZE
    assert cluster.datastore.run(["sh", "-c", f"cksum <{TREE}/big"]) == (tree / "sum").read_text().strip()
    assert [attempt["ended"] for attempt in cluster.asked("show_task", "slow")["attempts"]] == ["succeeded"]
    assert cut.path(f"{HOME}/began").read_text().split() == [cut.name]


def is_sending(host: Host) -> bool:
    """Has some of the result left the host already?"""
    return host.received_and_sent()[1] > SIZE // 10
