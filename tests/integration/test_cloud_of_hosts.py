"""The cloud of the tests: its machines are real hosts, which run their context's script and end as machines do."""

from __future__ import annotations

import base64
import xmlrpc.client
from collections.abc import Iterator
from typing import Any

import pytest

from tests.worlds.hosts import network
from tests.worlds.opennebula.cloud import FIRST, Cloud
from tests.worlds.opennebula.objects import Machine

pytestmark = [pytest.mark.needs("unshare", "nsenter", "ip", "sshd")]

SCRIPT = """#!/bin/sh
[ "$ECLOUD_A" = "it's \\$5" ] || exit 1
echo "$ECLOUD_A in $(hostname)" >>/root/said
id -u >>/root/said
command -v python3 >>/root/said
"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with network() as net, Cloud(net) as made:
        yield made


def make(cloud: Cloud, script: str = SCRIPT) -> Machine:
    user = cloud.front.users["ecloud"]
    context = {"SSH_PUBLIC_KEY": cloud.net.public_key, "NETWORK": "YES", "ECLOUD_A": "it's $X5"}
    context["START_SCRIPT_BASE64"] = base64.b64encode(script.encode()).decode()
    body = "".join(f"<{name}>{value}</{name}>" for name, value in context.items())
    extra = f"<TEMPLATE><X5>$5</X5><CONTEXT>{body}</CONTEXT></TEMPLATE>"
    number = cloud.front.instantiate(user, 0, "vm", False, extra)
    return cloud.front.machines[number]


def said(cloud: Cloud, machine: Machine) -> list[str]:
    path = cloud.host(machine).path("/root/said")
    return cloud.wait(
        lambda: path.exists() and len(lines := path.read_text().splitlines()) >= 3 and lines, "it said so"
    )  # type: ignore[return-value]


def test_a_machine_is_a_host_that_runs_its_script_as_root_with_its_context(cloud: Cloud) -> None:
    machine = make(cloud)
    assert machine.address == f"10.77.0.{FIRST}"
    assert said(cloud, machine)[:2] == ["it's $5 in vm", "0"]
    host = cloud.host(machine)
    assert host.address == machine.address
    assert not host.path("/opt/ecloud/agent/boss").exists() and "\necloud:" not in host.run(
        ["cat", "/etc/passwd"], "root"
    )
    assert cloud.net.public_key in host.path("/root/.ssh/authorized_keys").read_text()


def test_a_host_of_the_network_asks_the_front_end(cloud: Cloud) -> None:
    asker = cloud.net.host("asker", program="none")
    call = f"import xmlrpc.client as x; print(x.ServerProxy({cloud.endpoint!r}).one.system.version('ecloud:secret'))"
    assert "7.2.0" in asker.run(["/usr/bin/env", "python3", "-c", call])
    with xmlrpc.client.ServerProxy(cloud.front.endpoint) as here:
        answer: Any = here.one.system.version("ecloud:secret")
    assert answer[:2] == [True, "7.2.0"]


def test_one_that_halts_itself_is_seen_as_switched_off_and_one_that_is_ended_is_gone(cloud: Cloud) -> None:
    machine = make(cloud)
    said(cloud, machine)
    host = cloud.host(machine)
    sleeper = host.start(["sleep", "1000"], user="root", folder="/")
    host.start(["poweroff"], user="root", folder="/")
    cloud.wait(lambda: cloud.front.state(machine) == (8, 0), "it is switched off")
    assert sleeper.wait() != 0
    cloud.front.act(cloud.front.users["ecloud"], "terminate", machine.id)
    cloud.wait(lambda: cloud.front.state(machine) == (6, 0), "it is done")


@pytest.mark.parametrize("action", ["terminate", "terminate-hard"])
def test_its_end_stops_its_programs_and_only_then_its_address_is_free(cloud: Cloud, action: str) -> None:
    machine = make(cloud)
    said(cloud, machine)
    host = cloud.host(machine)
    tell: Any = host.start(
        ["sh", "-c", "trap 'echo politely; exit' TERM; echo ready; while :; do sleep 100 & wait; done"],
        "tell",
        "root",
        "/",
    )
    cloud.wait(lambda: "ready" in tell.output(), "it waits")
    cloud.front.act(cloud.front.users["ecloud"], action, machine.id)
    cloud.wait(lambda: cloud.front.state(machine) == (6, 0), "it is done")
    assert host.process.poll() is not None
    assert ("politely" in tell.output()) is (action == "terminate")


def test_a_second_nic_comes_and_goes_and_the_context_is_run_again(cloud: Cloud) -> None:
    machine = make(cloud)
    said(cloud, machine)
    host, user = cloud.host(machine), cloud.front.users["ecloud"]
    cloud.front.attach(user, machine.id, 'NIC = [ NETWORK = "internet", NETWORK_UNAME = "oneadmin" ]')
    assert f"inet {machine.nics[1][1]}" in host.run(["ip", "addr", "show", "eth1"], user="root")
    cloud.wait(lambda: len(host.path("/root/said").read_text().splitlines()) >= 6, "the script ran again")
    cloud.wait(lambda: cloud.front.state(machine) == (3, 3), "it is plugged in")
    cloud.front.detach(user, machine.id, 1)
    assert "eth1" not in host.run(["ip", "link"], user="root")


def test_a_silent_one_runs_no_program(cloud: Cloud) -> None:
    cloud.knobs.silent = 1
    machine = make(cloud)
    cloud.wait(lambda: cloud.front.state(machine) == (3, 3), "it runs")
    assert not machine.os_runs
    assert cloud.faults == []
