"""A deployment that uses a Mosquitto which is not its own: fixture `broker`, with a password and with TLS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.embedded.children import start_child
from boss.embedded.logins import ACCESS, PASSWORDS, MqttLogin, write_files
from boss.embedded.ports import choose_port
from boss.embedded.programs import mosquitto_configuration
from tests.worlds.brokers import wait_for_broker
from tests.worlds.certificates import Authority
from tests.worlds.deployment import Deployment
from tests.worlds.parts import need
from wire.topics import Topics

SECRET = "only-the-boss-knows"


@pytest.fixture(params=["password", "tls"])
def broker(deployment: Deployment, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A deployment with a Mosquitto that knows one login, the boss's."""
    directory = tmp_path / "broker"
    directory.mkdir()
    port = choose_port()
    deployment.settings.update(broker_host="127.0.0.1", broker_port=port, mqtt_prefix="plant/ecloud")
    text = mosquitto_configuration(directory, port, os.geteuid() == 0)
    if request.param == "password":
        write_files(directory, [MqttLogin("plant-boss", SECRET, "boss")], Topics("plant/ecloud"))
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
