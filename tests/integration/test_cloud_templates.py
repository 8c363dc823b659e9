"""Templates in the cloud: made, compared, brought up to date, never another's; the broker's at a Mosquitto."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

import settings
from boss.deploy.templates import render
from boss.embedded.logins import hashed
from boss.embedded.ports import choose_port
from tests.worlds.brokers import wait_for_broker
from tests.worlds.opennebula.commands import User, front, user
from tests.worlds.opennebula.front_end import FrontEnd
from tests.worlds.waiting import scaled, wait_for

__all__ = ["front", "user"]


Templates = Callable[..., tuple[int, str]]


@pytest.fixture
def templates(user: User) -> Templates:
    """`admin.py templates ...`: exit code, and all that is printed."""
    user.given |= {"opennebula_image": "debian-12", "opennebula_network": "private"}
    del user.given["opennebula_template"]  # it is what the command is there for

    def type_it(*words: str) -> tuple[int, str]:
        typed = user.type("templates", *words)
        return typed.code, typed.output + typed.errors

    return type_it


def test_they_are_made_once_compared_and_brought_up_to_date(templates: Templates, user: User, front: FrontEnd) -> None:
    code, said = templates("diff", "worker")
    assert code == 1 and "it is not in the cloud: admin.py templates register" in said
    code, said = templates("register")
    assert (
        code == 0 and 'ecloud-worker: made, template 1. In the settings: opennebula_template = "ecloud-worker"' in said
    )
    assert [template.name for template in front.templates.values()][1:] == [
        "ecloud-worker", "ecloud-boss", "ecloud-datastore",
    ]  # fmt: skip
    assert templates("diff")[0] == 0
    assert "template 1 is as it should be" in templates("register", "worker")[1]

    user.given["opennebula_memory_bytes"] = "4GiB"
    front.templates[1].attributes["SCHED_REQUIREMENTS"] = "x"
    code, said = templates("diff", "worker")
    assert code == 1
    assert '- MEMORY = "2048"' in said and '+ MEMORY = "4096"' in said and '- SCHED_REQUIREMENTS = "x"' in said
    assert "brought up to date (3 lines differed)" in templates("register", "worker")[1]
    assert front.templates[1].attributes["MEMORY"] == "4096" and len(front.templates) == 4
    assert templates("diff")[0] == 0


def test_a_template_of_that_name_that_is_none_of_ours_is_left_alone(templates: Templates, front: FrontEnd) -> None:
    front.add_template("ecloud-worker", {"CPU": "9"})
    code, said = templates("register", "worker")
    assert code == 3 and "none of ours" in said
    assert front.templates[1].attributes == {"CPU": "9"}


def test_one_of_another_account_does_not_count(templates: Templates, front: FrontEnd) -> None:
    front.add_template("ecloud-worker", {"CPU": "9"}, owner="other")
    assert templates("register", "worker")[0] == 0
    assert [(t.name, t.owner) for t in front.templates.values()][1:] == [
        ("ecloud-worker", "other"), ("ecloud-worker", "ecloud"),
    ]  # fmt: skip


def test_a_machine_can_be_made_from_what_was_registered(templates: Templates, front: FrontEnd) -> None:
    templates("register", "worker")
    number = front.instantiate(front.users["ecloud"], 1)
    assert front.machines[number].template["CONTEXT"]["ETH0_IP"] == front.machines[number].address


def test_rendering_asks_no_program_and_files_of_the_broker_are_only_rendered(
    templates: Templates, front: FrontEnd
) -> None:
    front.knobs.down = True
    code, said = templates("render", "boss", "mosquitto.acl")
    assert code == 0 and 'NAME = "ecloud-boss"' in said and "pattern read" in said
    code, said = templates("register", "mosquitto.conf")
    assert code == 2 and "only rendered" in said
    assert templates("render", "nonsense")[0] == 3


# --- the broker's ----------------------------------------------------------------------------------

ALL = ("boss", "@datastore", "w1", "w2")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    """A Mosquitto with the rendered files, every login's password being its name; its port."""
    port = choose_port("127.0.0.1")
    values = settings.load(None, {"broker_port": port}, environment={}, system_file=tmp_path / "none")
    (tmp_path / "ecloud.passwords").write_text("".join(f"{name}:{hashed(name)}\n" for name in ALL))
    (tmp_path / "ecloud.acl").write_text(render("mosquitto.acl", values))
    text = render("mosquitto.conf", values).replace("/etc/mosquitto", str(tmp_path))
    (tmp_path / "mosquitto.conf").write_text(text + ("user root\n" if os.geteuid() == 0 else ""))
    for name in ("ecloud.passwords", "ecloud.acl"):
        (tmp_path / name).chmod(0o600)
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    assert program is not None
    with (tmp_path / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen([program, "-c", str(tmp_path / "mosquitto.conf")], stderr=log)
    wait_for_broker(process, port, tmp_path / "mosquitto.log")
    yield port
    process.send_signal(signal.SIGTERM)
    process.wait(scaled(20))


class MqttClient:
    """A login at the broker that subscribes and publishes."""

    def __init__(self, port: int, name: str, password: str = "") -> None:
        self.codes: list[int] = []
        self.granted: dict[int, list[int]] = {}
        self.heard: list[tuple[str, bytes]] = []
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"t-{name}")
        self.client.username_pw_set(name, password or name)
        self.client.on_connect = lambda _c, _u, _f, code, _p: self.codes.append(code.value)
        self.client.on_subscribe = lambda _c, _u, mid, codes, _p: self.granted.update({mid: [c.value for c in codes]})
        self.client.on_message = lambda _c, _u, message: self.heard.append((message.topic, message.payload))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.wait(lambda: self.codes)

    def may_read(self, topic: str) -> bool:
        _, number = self.client.subscribe(topic, 1)
        assert number is not None
        self.wait(lambda: number in self.granted)
        return self.granted[number][0] < 128

    def wait(self, condition) -> None:
        wait_for(condition, "the broker answers")

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.mark.needs("mosquitto")
def test_the_broker_s_template_gives_each_login_its_own_topics_and_nothing_else(broker: int) -> None:
    clients = {name: MqttClient(broker, name) for name in ALL}
    wrong = MqttClient(broker, "w1", "wrong")
    assert wrong.codes[0] != 0 and all(each.codes == [0] for each in clients.values())
    assert clients["boss"].may_read("ecloud/#")
    for name, topic, expected in (
        ("w1", "ecloud/workers/w1/orders", True), ("w1", "ecloud/boss/presence", True),
        ("@datastore", "ecloud/datastore/orders", True), ("@datastore", "ecloud/boss/presence", True),
        ("w2", "ecloud/workers/w2/orders", True),
    ):  # fmt: skip
        assert clients[name].may_read(topic) is expected, (name, topic)
    for name, topic in (
        ("w1", "ecloud/workers/w1/reports"), ("w1", "ecloud/workers/w2/reports"), ("w1", "ecloud/workers/w2/orders"),
        ("@datastore", "ecloud/datastore/reports"), ("w2", "ecloud/datastore/reports"), ("w1", "ecloud/boss/presence"),
        ("boss", "ecloud/workers/w1/orders"),
    ):  # fmt: skip
        clients[name].client.publish(topic, name, 1).wait_for_publish(scaled(20))
    clients["boss"].client.publish("ecloud/workers/w2/orders", "last", 1).wait_for_publish(scaled(20))
    clients["w2"].wait(lambda: ("ecloud/workers/w2/orders", b"last") in clients["w2"].heard)
    heard = {topic for topic, _ in clients["boss"].heard}
    assert heard == {
        "ecloud/workers/w1/reports", "ecloud/datastore/reports", "ecloud/workers/w1/orders", "ecloud/workers/w2/orders",
    }  # fmt: skip
    assert clients["w2"].heard == [("ecloud/workers/w2/orders", b"last")], "it hears nothing of the others"
    for each in (*clients.values(), wrong):
        each.close()
