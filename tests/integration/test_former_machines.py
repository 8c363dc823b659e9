"""Machines that an earlier release started, with its start script and its worker, go on with the boss of today."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds.digests import digest
from tests.worlds.hosts import Host, network
from tests.worlds.hosts.bootstrap_site import HOME, STATE, BootstrapSite, StartData
from tests.worlds.stored_release import worker_files

pytestmark = [
    pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "sshd", "ssh", "ssh-keygen", "rsync", "mosquitto"),
    pytest.mark.timeout(400),
]

FORMER = worker_files()
SCRIPT = FORMER["worker/startup.sh"].decode()


@pytest.fixture(scope="module")
def site() -> Iterator[BootstrapSite]:
    with network() as net:
        made = BootstrapSite(net, {"min": 2, "max": 2})
        made.start()
        yield made


def log_of(machine: Host) -> str:
    return machine.path("/var/log/ecloud.log").read_text()


def kind_and_digest(site: BootstrapSite, data: StartData) -> tuple[str, str]:
    """Of the one bundle that its boss has."""
    (bundle,) = data.variables["ECLOUD_BUNDLES"].split()
    kind, _, of_today = bundle.partition("=")
    return kind, of_today


def former_bundle(today: Path) -> bytes:
    """The packages of today's, with the worker of the earlier release."""
    content = io.BytesIO()
    with tarfile.open(today) as source, tarfile.open(fileobj=content, mode="w:gz") as archive:
        for entry in source:
            if entry.isfile() and not entry.name.startswith(("wire/", "worker/")) and entry.name != "ecloud.py":
                archive.addfile(entry, source.extractfile(entry))
        for name, text in FORMER.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    return content.getvalue()


def test_its_start_script_starts_the_program_of_today(site: BootstrapSite) -> None:
    data = dataclasses.replace(site.start_data("vm-1"), script=SCRIPT)
    machine = site.machine("vm-1")
    assert site.bootstrap(machine, data) == ""
    site.wait(lambda: "vm-1" in site.online(), "the worker has said hello")
    variables = site.variables_of(site.agent_of(machine))
    assert variables["ECLOUD_BUNDLE"] == "=".join(kind_and_digest(site, data))
    assert machine.path(f"{variables['PYTHONPATH']}/worker/bootstrap/keeper.py").exists()
    keepers = [line for line in machine.processes().values() if "worker.guest" in line]
    assert len(keepers) == 1, "started by the name that the script knows"


def test_its_agent_is_replaced_by_that_of_today_under_its_own_keeper(site: BootstrapSite) -> None:
    data = site.start_data("vm-2")
    kind, of_today = kind_and_digest(site, data)
    (today,) = site.boss.path(f"{STATE}/bundles").glob(f"*.{of_today.removeprefix('b2:')}.tar.gz")
    former = former_bundle(today)
    variables = {**data.variables, "ECLOUD_BUNDLES": f"{kind}={digest(former)}", "ECLOUD_BUNDLE_FILE": "/root/former"}
    machine = site.machine("vm-2")
    machine.path("/root/former").write_bytes(former)
    assert site.bootstrap(machine, dataclasses.replace(data, script=SCRIPT, variables=variables)) == ""

    def replaced() -> bool:
        number = site.agent_of(machine)
        return number != 0 and site.variables_of(number)["ECLOUD_BUNDLE"] == f"{kind}={of_today}"

    site.wait(replaced, "an agent of today runs", seconds=180)
    site.wait(lambda: "vm-2" in site.online(), "the worker has said hello")
    assert "the agent has fetched the boss's version, which is started" in log_of(machine)
    assert "a message of protocol version 2; this program speaks version 1" in log_of(machine)
    folder = site.variables_of(site.agent_of(machine))["PYTHONPATH"]
    assert folder.startswith("/var/lib/ecloud/worker/programs/")
    keeper = next(line for line in machine.processes().values() if "worker.guest" in line)
    assert keeper.endswith(" /etc/ecloud"), "its keeper is still that of the earlier release"
    site.boss.write(f"{HOME}/site/two.json", json.dumps([{"id": str(n), "commands": ["sleep 1"]} for n in range(2)]))
    site.push("two.json")
