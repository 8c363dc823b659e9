"""A host that is there already, reached by SSH as an ordinary user: the same start script, everything in one folder."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from tests.worlds.hosts import network
from tests.worlds.hosts.bootstrap_site import HOME, PLAIN_PYTHON, STATE, BootstrapSite

pytestmark = [
    pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "sshd", "ssh", "ssh-keygen", "rsync", "mosquitto"),
    pytest.mark.timeout(400),
]

TASKS = [
    {"id": "double", "requirements": ["in.txt"], "commands": ["cat in.txt in.txt > out.txt"], "results": ["out.txt"]}
]


def fingerprint(host_key: str) -> str:
    digest = hashlib.sha256(base64.b64decode(host_key.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def test_a_fixed_host_becomes_a_worker_and_outlives_its_boss() -> None:
    with network() as net:
        lab = net.host("lab", program="none")
        host = {"address": lab.address, "user": "ecloud", "fingerprint": fingerprint(lab.host_key)}
        site = BootstrapSite(net, {"provider": "static", "hosts": [{**host, "python": PLAIN_PYTHON}]})
        site.prepare()
        site.admin("init")
        lab.authorize(site.boss.path(f"{STATE}/keys/boss.pub").read_text())
        site.start_boss()
        site.wait(lambda: len(site.online()) == 1, "the worker has said hello", seconds=120)
        site.boss.write(f"{HOME}/site/in.txt", "twice\n")
        site.boss.write(f"{HOME}/site/tasks.json", json.dumps(TASKS))
        site.push("tasks.json")
        assert site.boss.path(f"{HOME}/site/ecloud-data/out.txt").read_text() == "twice\ntwice\n"

        agent = site.agent_of(lab)
        variables = site.variables_of(agent)
        assert variables["ECLOUD_HALT_WHEN_ORPHANED"] == "0"
        assert variables["HOME"] == HOME and variables["ECLOUD_WORKER_HOME"].startswith(f"{HOME}/")
        for folder in ("/opt/ecloud/programs", "/etc/ecloud", "/var/lib/ecloud"):
            assert not lab.path(folder).exists(), "it is an ordinary user's"
        assert "ecloud-datastore" in lab.path(f"{HOME}/.ssh/authorized_keys").read_text()

        site.stop_boss()
        site.start_boss()
        site.wait(lambda: len(site.online()) == 1, "the worker is known again", seconds=120)
        assert site.agent_of(lab) == agent
