"""Runs docs/opennebula.md as its reader would: its files, then its commands in order, against a stand-in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.worlds.doc_blocks import FRONT_END, TOP, Block, all_blocks
from tests.worlds.hosts import HOME, PYTHON, Host, HostFault, network
from tests.worlds.hosts.host import AGENT
from tests.worlds.opennebula.cloud import Cloud

pytestmark = [
    pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "sshd", "ssh", "ssh-keygen", "rsync", "mosquitto"),
    pytest.mark.timeout(1500),
]
PAGE = "docs/opennebula.md"
SITE = f"{HOME}/site"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with network() as net, Cloud(net) as made:
        yield made


def blocks(language: str) -> list[Block]:
    return [block for block in all_blocks() if block.page == PAGE and block.language == language]


def reader(cloud: Cloud) -> Host:
    """A machine with a checkout, in a directory with the files that the page has the reader make."""
    host = cloud.net.host("reader", program="boss")
    [settings], [tasks] = blocks("toml"), blocks("json")
    text = settings.text.replace("https://cloud.example:2633/RPC2", cloud.endpoint)
    assert text != settings.text
    host.write(f"{SITE}/.ecloud/settings.toml", text, 0o600)
    host.write(f"{SITE}/.ecloud/opennebula.password", "secret\n", 0o600)
    host.write(f"{SITE}/tasks.json", tasks.text)
    host.write(f"{SITE}/Net3.inp", (TOP / "examples" / "net3_study" / "Net3.inp").read_text())
    for script in ("admin.py", "push_tasks.py"):
        host.write(f"{SITE}/bin/{script}", f'#!/bin/sh\nexec {PYTHON} -P {AGENT}/{script} "$@"\n', 0o755)
    return host


def test_every_command_of_other_pages_that_wants_a_front_end_is_run_as_well() -> None:
    assert {block.page for block in all_blocks() if block.kind == FRONT_END} == {PAGE}


def test_the_page_leads_from_an_empty_account_to_results_and_back(cloud: Cloud) -> None:
    host = reader(cloud)
    path = f"{SITE}/bin:/usr/bin:/bin"
    try:
        for block in [each for each in blocks("sh") if each.kind == FRONT_END]:
            said = host.run(["sh", "-e", "-u", "-c", block.text], folder=SITE, seconds=900.0, PATH=path)
            if "get --batch" in block.text:
                roles = {machine.user_template["ECLOUD_ROLE"] for machine in cloud.alive()}
                assert {"boss", "datastore"} <= roles, said
                assert "high/pressure.parquet" in host.path(f"{SITE}/results/sizes.txt").read_text()
    except (AssertionError, HostFault) as fault:
        boss = [cloud.host(m).path("/var/log/ecloud-boss.log").read_text()[-6000:] for m in cloud.alive("boss")]
        raise AssertionError(f"{fault}\n{cloud.logs()}\n{boss}") from fault
    assert cloud.alive() == [] and cloud.faults == []
    assert (cloud.disk("ecloud-data") / "data" / "low" / "pressure.parquet").exists()
