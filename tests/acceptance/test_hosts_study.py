"""The example study, unchanged, with boss, datastore and 8 workers on hosts of their own: results as on one machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from examples.net3_study import make_tasks
from tests.worlds.deployment import TOP, Deployment, deployment
from tests.worlds.hosts import AGENT, USER, network
from tests.worlds.hosts.cluster import SITE, TREE, WORKER_HOME, Cluster

__all__ = ["deployment"]

pytestmark = [
    pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "mosquitto", "sshd", "ssh", "ssh-keygen", "rsync"),
    pytest.mark.timeout(300),
]

STUDY = "examples/net3_study/tasks.json"
#: How long a simulation took is the only thing that two runs need not agree on.
TIMES = ["wall_ms"]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with network() as net:
        made = Cluster(net, workers=8)
        made.start()
        yield made


def test_the_study_runs_on_eight_hosts_as_on_one_machine(cluster: Cluster, deployment: Deployment) -> None:
    said = cluster.push(f"{AGENT}/{STUDY}", seconds=200)
    assert f"{make_tasks.BATCHES + 3} of {make_tasks.BATCHES + 3} tasks succeeded." in said
    done = deployment.push(TOP / STUDY, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    ours, theirs = deployment.tree, cluster.datastore.path(TREE)
    assert names_in(ours) == names_in(theirs)
    different = [name for name in names_in(ours) if content(ours / name) != content(theirs / name)]
    assert different == []
    assert_all_hosts_took_part(cluster)
    assert_workers_hold_no_keys(cluster)
    assert_results_are_fetched(cluster)
    assert_transfers_are_shown(cluster)


def names_in(tree: Path) -> list[str]:
    """Of the files in the tree but the datastore's own."""
    names = (str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file())
    return sorted(name for name in names if not name.startswith(".ecloud/"))


def content(path: Path) -> object:
    """What must be the same in both runs."""
    if path.suffix != ".parquet":
        return hashlib.blake2b(path.read_bytes()).hexdigest()
    table: pa.Table = pq.read_table(path)
    return table.drop_columns([name for name in TIMES if name in table.column_names]).to_pydict()


def assert_all_hosts_took_part(cluster: Cluster) -> None:
    tasks = json.loads((TOP / STUDY).read_text())["tasks"]
    shown = [cluster.asked("show_task", task["id"]) for task in (tasks[0], tasks[-1])]
    ends = [sorted(attempt["ended"] for attempt in one["attempts"]) for one in shown]
    assert all(states.count("succeeded") == 1 and set(states) <= {"succeeded", "returned"} for states in ends), ends
    for host in cluster.workers:
        assert "Accepted publickey" in host.sshd_log(), f"nothing was moved to or from {host.name}"


def assert_workers_hold_no_keys(cluster: Cluster) -> None:
    """A worker's host has its own login at the broker and nothing that opens another host."""
    for host in cluster.workers:
        places = ["/home", "/tmp", "/var/tmp", "/run", AGENT]
        found = host.run(["grep", "-rIl", "--devices=skip", "PRIVATE KEY-----", *places], user="root", check=False)
        assert found == ""


def assert_results_are_fetched(cluster: Cluster) -> None:
    """Over HTTP, by way of the boss, from the datastore's host."""
    cluster.admin("get", "net3_study/summary.json", f"{SITE}/got")
    fetched = cluster.boss.path(f"{SITE}/got/net3_study/summary.json").read_bytes()
    assert fetched == cluster.datastore.path(f"{TREE}/net3_study/summary.json").read_bytes()


def assert_transfers_are_shown(cluster: Cluster) -> None:
    """As commands that name user, host and path."""
    (task, *_) = json.loads((TOP / STUDY).read_text())["tasks"]
    last = cluster.asked("show_task", task["id"])["attempts"][-1]
    host = next(host for host in cluster.workers if host.name == last["worker"])
    shown = cluster.admin("show_task_commands", task["id"])
    assert f"upload\trsync -a --mkpath -- {USER}@{host.address}:{WORKER_HOME}/attempts/" in shown, shown
