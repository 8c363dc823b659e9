"""Whoever has a login of a deployment's own broker, and what must hold after all that it published."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client as mqtt

from boss.cli.command import ExitCode
from tests.worlds.deployment import Deployment
from tests.worlds.waiting import scaled
from wire.topics import Topics

TOPICS = Topics()


@contextmanager
def publisher(deployment: Deployment, login: str) -> Iterator[mqtt.Client]:
    """A client with this login of the deployment's own broker."""
    found = re.search(r"embedded broker: \w+, process \d+, on port (\d+)", deployment.log())
    assert found
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"outsider-{login.strip('@')}")
    client.username_pw_set(login, (deployment.home / "logins" / f"mqtt_{login}").read_text().strip())
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect("127.0.0.1", int(found[1]))
    client.loop_start()
    try:
        assert connected.wait(scaled(20))
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def assert_well(deployment: Deployment, before: dict[int, str], name: str) -> None:
    """The same processes as before, no traceback anywhere, and a push with files and results succeeds."""
    deployment.write("in.txt", name)
    first = {
        "id": f"{name} 1",
        "commands": ["cp in.txt one"],
        "requirements": ["in.txt"],
        "results": [["one", f"{name}/one"]],
    }
    second = {
        "id": f"{name} 2",
        "commands": ["cp one two"],
        "requirements": [[f"{name}/one", "one"]],
        "results": [["two", f"{name}/two"]],
        "dependencies": [f"{name} 1"],
    }
    done = deployment.push(deployment.write(f"{name}.json", [first, second]), "--project", name)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert (deployment.tree / "projects" / name / name / "two").read_text() == name
    now = deployment.processes()
    assert {
        pid: role for pid, role in before.items() if role in ("boss", "worker", "datastore", "broker")
    }.items() <= now.items()
    for log in (deployment.home / "logs").glob("*.log"):
        assert "Traceback" not in log.read_text(errors="replace"), log.read_text(errors="replace")
