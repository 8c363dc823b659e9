"""From an empty account to results and back to an empty account: everything real but the cloud's front-end.

A user's machine with nothing but the checkout; a boss, a datastore and workers on machines that the front-end makes,
which are hosts with an sshd and a Python and nothing of ours; the study's data goes by rsync over SSH.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.worlds.hosts import HOME, PYTHON, Host, network
from tests.worlds.hosts.host import AGENT
from tests.worlds.opennebula.cloud import Cloud

pytestmark = [
    pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "sshd", "ssh", "ssh-keygen", "rsync", "mosquitto"),
    pytest.mark.timeout(900),
]
SITE = f"{HOME}/site"
SETTINGS = """
opennebula_endpoint = "{endpoint}"
opennebula_user = "ecloud"
opennebula_password = "secret"
opennebula_template = "worker"
opennebula_network = "private"
lease_seconds = 20

[pools.cloud]
min = 1
max = 2
"""
TASKS = [
    {"id": "make", "commands": ["hostname >made"], "results": ["made"]},
    {"id": "use", "commands": ["cat made - </dev/null >used"], "dependencies": ["make"], "requirements": ["made"],
     "results": ["used"]},
]  # fmt: skip


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with network() as net, Cloud(net) as made:
        yield made


class User:
    def __init__(self, host: Host) -> None:
        self.host = host

    def type(self, *words: str, seconds: float = 300.0) -> str:
        """A command of the checkout, in the directory where the user works."""
        script, *arguments = words
        return self.host.run([PYTHON, "-P", f"{AGENT}/{script}", *arguments], folder=SITE, seconds=seconds)


def test_a_cloud_user_gets_from_an_empty_account_to_results_and_leaves_it_empty(cloud: Cloud) -> None:
    user = User(cloud.net.host("user", program="boss"))
    user.host.write(f"{SITE}/.ecloud/settings.toml", SETTINGS.format(endpoint=cloud.endpoint))
    user.host.write(f"{SITE}/tasks.json", json.dumps(TASKS))
    try:
        said = user.type("admin.py", "deploy")
        [boss] = cloud.alive("boss")
        assert f"Address:  http://{boss.address}:8080" in said
        assert f"The boss runs on machine {boss.id}" in user.type("admin.py", "deploy"), "again: the same"
        assert "2 tasks" in user.type("push_tasks.py", "tasks.json")
        assert {m.user_template["ECLOUD_ROLE"] for m in cloud.alive()} == {"boss", "datastore", "worker"}
        assert user.type("admin.py", "get", "used", "out") and user.host.path(f"{SITE}/out/used").read_text()
        [store] = cloud.alive("datastore")
        assert (cloud.disk("ecloud-data") / "data" / "used").exists(), "results are on the disk that stays"
        assert store.images, "it has the persistent image"
        said = user.type("admin.py", "teardown", "--yes")
        assert "The disk ecloud-data stays" in said and "All of it is removed." in said
        assert cloud.alive() == []
        assert (cloud.disk("ecloud-data") / "data" / "used").exists()
        assert cloud.faults == []
    except AssertionError as fault:
        boss_log = [cloud.host(m).path("/var/log/ecloud-boss.log").read_text()[-6000:] for m in cloud.alive("boss")]
        raise AssertionError(f"{fault}\n{cloud.logs()}\n{boss_log}") from fault
