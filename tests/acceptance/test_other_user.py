"""Another user of the same machine gets nothing: not by HTTP, not from the broker, not from the state directory.

The other user is uid 65534, by setpriv; that takes root, or sudo without a password.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.worlds.deployment import Deployment, deployment
from tests.worlds.waiting import scaled, wait_for

__all__ = ["deployment"]

pytestmark = pytest.mark.needs("setpriv")

_HTTP = """
import json, sys, urllib.error, urllib.request
base = sys.argv[1]
for path, headers in (("/api/v1/status", {}), ("/api/v1/status", {"Authorization": "Bearer guessed"})):
    try:
        urllib.request.urlopen(urllib.request.Request(base + path, headers=headers), timeout=20)
        print("accepted")
    except urllib.error.HTTPError as error:
        print(error.code)
"""

#: CONNECT of MQTT 3.1.1 written out (the packages of the tests may lie where another user cannot read them).
_MQTT = """
import socket, sys
def text(value):
    return len(value).to_bytes(2, "big") + value
tried = ((None, b""), (b"boss", b"guessed"), (b"local-1", b""), (b"@datastore", b"guessed"))
if len(sys.argv) > 2:
    tried = ((b"boss", sys.argv[2].encode()),)
for username, password in tried:
    login = b"" if username is None else text(username) + text(password)
    body = text(b"MQTT") + bytes([4, 0x02 if username is None else 0xC2, 0, 60]) + text(b"other") + login
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20) as connection:
        connection.sendall(bytes([0x10, len(body)]) + body)
        answer = connection.recv(4)
    print("accepted" if answer[3:] == bytes([0]) else "refused")
"""


def as_other(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    values = [f"{name}={value}" for name, value in {"PATH": os.environ["PATH"], **variables}.items()]
    become = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"]
    return subprocess.run(
        [*_power(), *become, "env", "-i", *values, *command],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )


def _power() -> list[str]:
    """What makes a command root's: nothing if we are, else sudo, which asks for no password in CI."""
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


@pytest.fixture(params=["mosquitto", "amqtt"])
def running(deployment: Deployment, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A boss with a finished task, below a directory that everybody may pass."""
    if subprocess.run([*_power(), "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root can become another user: run this test as root, or let sudo ask for no password")
    opened = []
    for directory in (deployment.directory, *deployment.directory.parents):
        mode = directory.stat().st_mode & 0o777
        if not mode & 0o001:
            opened.append((directory, mode))
            directory.chmod(mode | 0o011)
    deployment.settings["embedded_broker"] = request.param
    deployment.start_boss()
    assert deployment.push(deployment.write("tasks.json", [{"id": "a", "commands": "echo secret"}])).returncode == 0
    yield deployment
    for directory, mode in opened:
        directory.chmod(mode)


def test_another_user_is_refused_by_http(running: Deployment) -> None:
    url = json.loads((running.home / "boss.json").read_text())["url"]
    done = as_other("python3", "-I", "-c", _HTTP, url)
    assert done.stdout.split() == ["401", "401"], done.stderr


def test_another_user_is_refused_by_the_broker(running: Deployment) -> None:
    port = next(line.rpartition(" ")[2] for line in running.log().splitlines() if "embedded broker:" in line)
    done = as_other("python3", "-I", "-c", _MQTT, port)
    assert done.stdout.splitlines() == ["refused"] * 4, done.stderr
    password = (running.home / "logins" / "mqtt_boss").read_text().strip()
    assert as_other("python3", "-I", "-c", _MQTT, port, password).stdout.split() == ["accepted"]


def test_another_user_cannot_read_the_state_directory(running: Deployment) -> None:
    assert running.home.stat().st_mode & 0o777 == 0o700
    for name in ("", "ecloud.sqlite", "boss.json", "logs/boss.log", "logins"):
        target = running.home / name
        assert target.exists()
        done = as_other("/bin/sh", "-c", f"ls {target} && cat {target}")
        assert done.returncode != 0 and "Permission denied" in done.stderr, (name, done.stdout)


def test_what_the_children_keep_is_readable_by_their_owner_only(running: Deployment) -> None:
    """Not only the directory's mode protects the logins."""
    wait_for(lambda: (running.home / "logins").is_dir(), "logins")
    files = [path for path in (running.home / "logins").rglob("*") if path.is_file()]
    files += [path for path in (running.home / "broker").iterdir() if path.name in ("passwords", "access")]
    assert files
    assert [path for path in files if path.stat().st_mode & 0o077] == []
