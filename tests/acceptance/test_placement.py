"""Inputs as links, with an agent that is not root, on a host of its own: whatever a task does to them, others get them
as they were."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.worlds.hosts import network
from tests.worlds.hosts.cluster import WORKER_HOME, Cluster

pytestmark = [
    pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "mosquitto", "sshd", "ssh", "rsync"),
    pytest.mark.timeout(180),
]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with network() as net:
        made = Cluster(net, workers=1)
        made.start(worker={"placement": "link"})
        yield made


def test_inputs_that_are_linked_reach_every_task_as_they_were_whatever_one_does_to_them(cluster: Cluster) -> None:
    cluster.write("net.inp", "original")
    scripts = {
        "is_linked": 'test "$(stat -c %h net.inp)" = 2',
        "may_not_write": "! sh -c 'printf x > net.inp'",
        "puts_another_there": "cp net.inp x && chmod u+w x && printf x > x && mv -f x net.inp",
        "forces_it": "chmod u+w net.inp && printf CHANGED! > net.inp",
        "forces_it_unseen": "touch -r net.inp t; chmod u+w net.inp; printf CHANGED! > net.inp; touch -r t net.inp",
        "reads": "grep -qx original net.inp",
    }
    tasks = []
    for name, script in scripts.items():
        before = [tasks[-1]["id"]] if tasks else []
        commands = ["grep -qx original net.inp", script]
        tasks.append({"id": name, "commands": commands, "requirements": ["net.inp"], "dependencies": before})
    said = cluster.push(cluster.write("tasks.json", tasks))
    assert f"{len(tasks)} of {len(tasks)} tasks succeeded" in said, said
    cached = list((cluster.workers[0].path(WORKER_HOME) / "cache").iterdir())
    assert [path.read_text() for path in cached] == ["original"]
