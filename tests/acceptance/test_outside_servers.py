"""A boss with servers that somebody else runs: a real Mosquitto with a login or with TLS, a real MariaDB.

In both cases the boss is killed in mid-run, and the next one goes on: what computes is not started again, and no
process is left in the end.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.embedded.children import start_child
from boss.embedded.logins import ACCESS, PASSWORDS, Login, write_files
from boss.embedded.ports import choose_port
from boss.embedded.programs import mosquitto_configuration
from tests.acceptance.deployment import Deployment, deployment, lines_of
from tests.integration.test_link_tls import Authority
from tests.worlds.brokers import wait_for_broker
from tests.worlds.mariadb import MariaDb, mariadb_server
from tests.worlds.parts import need
from tests.worlds.waiting import scaled, wait_for
from wire.topics import Topics

__all__ = ["deployment", "mariadb_server"]

SECRET = "only-the-boss-knows"


@pytest.fixture(params=["password", "tls"])
def broker(deployment: Deployment, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A deployment told of a Mosquitto that knows one login, the boss's."""
    directory = tmp_path / "broker"
    directory.mkdir()
    port = choose_port()
    deployment.settings.update(broker_host="127.0.0.1", broker_port=port, mqtt_prefix="plant/ecloud")
    text = mosquitto_configuration(directory, port, os.geteuid() == 0)
    if request.param == "password":
        write_files(directory, [Login("plant-boss", SECRET, "boss")], Topics("plant/ecloud"))
        password = tmp_path / "password"
        password.write_text(SECRET + "\n")
        deployment.settings.update(broker_username="plant-boss", broker_password_file=password)
    else:
        ours = Authority(directory, "ours")
        server, client = ours.issue("server"), ours.issue("client")
        text = text.replace("allow_anonymous false", "use_identity_as_username true\nrequire_certificate true")
        text = text.replace(f"password_file {directory / PASSWORDS}\n", "").replace(
            f"acl_file {directory / ACCESS}\n", ""
        )
        text += f"cafile {ours.ca_file}\ncertfile {server}\nkeyfile {server.with_suffix('.key')}\n"
        deployment.settings.update(
            broker_tls_ca=ours.ca_file, broker_tls_cert=client, broker_tls_key=client.with_suffix(".key")
        )
    (directory / "mosquitto.conf").write_text(text + "log_type all\n")
    log = directory / "log"
    command = [need("mosquitto"), "-c", str(directory / "mosquitto.conf")]
    child = start_child(command, log_path=log, die_with_parent=True)
    wait_for_broker(child, port, log)
    yield deployment
    deployment.end()
    child.terminate(grace=5.0)


def task_file(deployment: Deployment) -> Path:
    """A long task that a killed boss must not disturb, short ones before and after it, results in between."""
    log, go = deployment.directory / "log", deployment.directory / "go"
    commands = {
        "first": f"echo first >> {log}; echo 1 > one",
        "long": f"echo long >> {log}; until [ -e {go} ]; do sleep 0.1; done; echo 2 > two",
        "last": f"echo last >> {log}; cat two > three",
    }
    results = {"first": "one", "long": "two", "last": "three"}
    needs = {"first": [], "long": ["one"], "last": ["two"]}
    return deployment.write(
        "tasks.json",
        [
            {"id": id, "commands": line, "results": [results[id]], "requirements": needs[id]}
            for id, line in commands.items()
        ],
    )


def kill_in_mid_run_and_go_on(deployment: Deployment) -> None:
    path = task_file(deployment)
    push = deployment.start_push(path)
    wait_for(lambda: "long" in lines_of(deployment.directory / "log"), "the long task has begun")
    deployment.kill("boss")
    (deployment.directory / "go").touch()
    again = deployment.push(path)
    assert again.returncode == 0, again.stdout + again.stderr + deployment.log()
    assert push.wait(timeout=scaled(60)) == 0, "the first push follows the next boss"
    assert Counter(lines_of(deployment.directory / "log")) == {"first": 1, "long": 1, "last": 1}
    assert (deployment.tree / "three").read_text() == "2\n"
    assert deployment.wait_until_alone() == {}


@pytest.mark.needs("mosquitto")
def test_a_configured_broker_serves_boss_datastore_and_workers_over_a_killed_boss(broker: Deployment) -> None:
    kill_in_mid_run_and_go_on(broker)
    assert "embedded" not in broker.log()


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("broker", ["password"], indirect=True)
def test_the_password_of_a_configured_broker_is_on_no_command_line_and_in_no_childs_environment(
    broker: Deployment,
) -> None:
    broker.start_boss()
    for role in ("worker", "datastore"):
        process = Path(f"/proc/{broker.pid(role)}")
        assert SECRET.encode() not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    assert (broker.home / "logins" / "broker").stat().st_mode & 0o777 == 0o600


@pytest.mark.needs("mariadb")
@pytest.mark.timeout(180)
def test_a_mariadb_holds_the_state_over_a_killed_boss(deployment: Deployment, mariadb_server: MariaDb) -> None:
    deployment.settings["database"] = mariadb_server.fresh_url()
    kill_in_mid_run_and_go_on(deployment)
    assert not (deployment.home / "ecloud.sqlite").exists()
    deployment.kill("boss")
    assert deployment.asked("status")["succeeded"] == 3
