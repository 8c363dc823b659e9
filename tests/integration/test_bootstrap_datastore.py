"""A datastore on a machine that the boss started: the same script and CONTEXT, another role; files go by rsync."""

from __future__ import annotations

import json

import pytest

from boss.client.client import Client
from tests.worlds.hosts import network
from tests.worlds.hosts.bootstrap_site import HOME, BootstrapSite

pytestmark = [
    pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "sshd", "ssh", "ssh-keygen", "rsync", "mosquitto"),
    pytest.mark.timeout(400),
]

TASKS = [
    {"id": "double", "requirements": ["in.txt"], "commands": ["cat in.txt in.txt > out.txt"], "results": ["out.txt"]}
]


def test_datastore_and_worker_are_machines_of_the_boss() -> None:
    with network() as net:
        site = BootstrapSite(net, datastore=True)
        site.start()
        start_data = site.start_data("datastore")
        assert start_data.variables["ECLOUD_ROLE"] == "datastore"
        assert start_data.variables["ECLOUD_HALT_WHEN_ORPHANED"] == "0"
        store, worker = site.machine("store"), site.machine("vm")
        assert site.bootstrap(store, start_data) == ""
        site.wait(lambda: site.look(Client.status)["datastore_connected"], "the datastore has said hello")
        data = store.path("/var/lib/ecloud/data")
        assert data.stat().st_uid == store.path("/var/lib/ecloud").stat().st_uid != 0
        site.bootstrap(worker, site.start_data_of_pool())
        site.wait(lambda: len(site.online()) == 1, "the worker has said hello")
        site.boss.write(f"{HOME}/site/in.txt", "twice\n")
        site.boss.write(f"{HOME}/site/tasks.json", json.dumps(TASKS))
        site.push("tasks.json")
        assert store.path("/var/lib/ecloud/data/out.txt").read_text() == "twice\ntwice\n"
        site.admin("get", "out.txt", f"{HOME}/got")
        assert site.boss.path(f"{HOME}/got/out.txt").read_text() == "twice\ntwice\n"
        listed = store.run(["ls", "-ln", "/etc/ecloud"], user="root").splitlines()[1:]
        assert all(line.startswith("-rw-------") for line in listed), listed
        assert store.run(["ls", "-l", "/etc/ecloud/datastore.key"], user="root").split()[2] == "ecloud"
        again = site.bootstrap(store, start_data)
        assert again.endswith("it runs already")
