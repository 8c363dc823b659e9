"""A worker started manually, at a Mosquitto whose log shows what crossed it: seen to go, and kept while it works.

The boss knows no instance of it; it comes by its hello and goes by its lease.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds.deployment import TOP, Deployment, deployment, lines_of
from tests.worlds.external_broker import broker
from tests.worlds.looking import task_named, workers
from tests.worlds.waiting import scaled, wait_for
from wire.link import LinkOptions

__all__ = ["broker", "deployment"]

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.parametrize("broker", ["password"], indirect=True)]

#: Of the link; a silent client is thrown out after one and a half of it.
KEEPALIVE_SECONDS = LinkOptions.keepalive_seconds


@pytest.fixture
def hand_started(broker: Deployment, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A worker that was started manually, at the deployment's broker."""
    environment = {
        **broker.environment(),
        "ECLOUD_WORKER_ID": "lab",
        "ECLOUD_WORKER_HOME": str(tmp_path / "lab"),
        "ECLOUD_WORKER_USERNAME": str(broker.settings["broker_username"]),
        "ECLOUD_WORKER_PASSWORD_FILE": str(broker.settings["broker_password_file"]),
        "PYTHONPATH": str(TOP),
    }
    with open(tmp_path / "lab.log", "w") as log:
        process = subprocess.Popen([sys.executable, "-P", "-m", "worker"], env=environment, stdout=log, stderr=log)
    yield process
    process.kill()
    process.wait(scaled(60))


def test_a_worker_that_was_started_manually_goes_on_with_the_same_id_after_the_boss_was_away_and_began_again(
    broker: Deployment, hand_started: subprocess.Popen[str], tmp_path: Path
) -> None:
    broker.settings["local_workers"] = 0
    tasks = broker.write("tasks.json", [{"id": "one", "commands": f"echo $ECLOUD_WORKER >> {tmp_path}/ran"}])
    boss = broker.start_boss()
    assert broker.push(tasks).returncode == 0
    boss.terminate()
    assert boss.wait(scaled(60)) == 0
    broker.start_boss("--reset")
    status = broker.asked("status")
    assert (status["in_queue"], status["finished"]) == (0, 0)
    assert broker.asked("show_batches") == []
    wait_for(lambda: [worker["id"] for worker in broker.look(workers)] == ["lab"], "it says hello again")
    done = broker.push(tasks)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "ran").read_text() == "lab\nlab\n"
    assert hand_started.poll() is None
    assert "all that it knew is kept in" in broker.log()


def test_a_killed_worker_is_shown_as_not_connected_long_before_its_lease_ends(
    broker: Deployment, hand_started: subprocess.Popen[str]
) -> None:
    broker.settings.update(local_workers=0, lease_seconds=600)
    broker.start_boss()

    def shown() -> list[tuple[str, str, bool]]:
        return [(one["id"], one["state"], one["connected"]) for one in broker.look(workers)]

    wait_for(lambda: shown() == [("lab", "online", True)], "it says hello")
    hand_started.kill()
    wait_for(lambda: shown() == [("lab", "online", False)], "its last will is heard")
    assert broker.admin("show_workers").stdout.endswith("State: online (not connected)\n")


@pytest.mark.timeout(180)
def test_a_task_longer_than_the_keepalive_costs_no_connection_and_orders_and_reports_are_of_qos_1(
    broker: Deployment, hand_started: subprocess.Popen[str], tmp_path: Path
) -> None:
    broker.settings["local_workers"] = 0
    task = {"id": "long", "commands": f"sleep {KEEPALIVE_SECONDS * 1.5 + 3}"}
    done = broker.push(broker.write("tasks.json", [task]), timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    log = (tmp_path / "broker" / "log").read_text()
    connected = re.findall(r"New client connected from \S+ as (\S+)", log)
    assert len([client for client in connected if "lab" in client]) == 1
    assert len(connected) == 3, "boss, datastore and worker, once each"
    assert "exceeded timeout" not in log
    for topic in ("workers/lab/orders", "workers/lab/reports"):
        levels = set(re.findall(rf"PUBLISH (?:from|to) \S+ \(d\d, (q\d), .*'plant/ecloud/{topic}'", log))
        assert levels == {"q1"}, topic


def test_the_task_of_a_killed_worker_is_queued_again_after_its_lease(
    broker: Deployment, hand_started: subprocess.Popen[str], tmp_path: Path
) -> None:
    broker.settings.update(local_workers=0, lease_seconds=3, heartbeat_seconds=0.5)
    ran = tmp_path / "ran"
    push = broker.start_push(broker.write("tasks.json", [{"id": "one", "commands": f"echo began >> {ran}; sleep 600"}]))
    wait_for(lambda: lines_of(ran), "the task has begun")
    wait_for(lambda: broker.look(task_named("one"))["task"]["state"] == "running", "the boss has heard of it")
    hand_started.kill()
    wait_for(lambda: broker.look(task_named("one"))["task"]["state"] == "queued", "its lease has ended")
    assert [one["state"] for one in broker.asked("show_workers")] == ["lost"]
    assert broker.admin("show_queued").stdout.startswith("ID: one\n")
    assert push.poll() is None
