"""Pools by a real boss and admin.py: plans, workers that operators start, end, drop and add. Machines are on paper."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boss.client.client import Client
from tests.worlds.deployment import TOP, Deployment
from tests.worlds.looking import workers
from tests.worlds.waiting import wait_for

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(180)]

#: A provider of another package: it notes what it was asked in a file, and cannot grow beyond `room`.
PROVIDER = """
from boss.providers.provider import Limits
from boss.core.events import InstanceEnded, InstanceStarted, InstanceStartFailed

class Paper:
    def __init__(self, pool, services):
        self.warning, self.notify, self.made = "", services.notify, {}
        self.room = int(pool.options["options"].get("room", 100))

    def adopt(self, recorded):
        self.made = {one.instance: one.worker for one in recorded}

    def start(self, instance, worker):
        if len(self.made) >= self.room:
            self.notify(InstanceStartFailed(instance=instance, reason=f"quota: only {self.room} machines", full=True))
            return
        self.made[instance] = worker
        self.notify(InstanceStarted(instance=instance, reference=f"sheet {instance}", address=f"192.0.2.{instance}"))

    def stop(self, instance, worker, reference):
        self.made.pop(instance, None)
        self.notify(InstanceEnded(instance=instance, reason="thrown away"))

    def limits(self):
        return Limits(more=self.room - len(self.made), reason=f"{self.room} sheets")

    def close(self):
        pass

def make(pool, services):
    return Paper(pool, services)
"""
SETTINGS = """
local_workers = 1
[pools.cloud]
provider = "paper"
max = 4
vm_hours_month = 100
options = { room = 3 }
[pools.spare]
provider = "paper"
max = 2
cost = 9
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(tmp_path / "user", heartbeat_seconds=0.5, lease_seconds=20, orphan_after_seconds=20)
    brought = tmp_path / "package"
    (brought / "paper-1.dist-info").mkdir(parents=True)
    (brought / "paper_provider.py").write_text(PROVIDER)
    (brought / "paper-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: paper\nVersion: 1\n")
    (brought / "paper-1.dist-info" / "entry_points.txt").write_text("[ecloud.providers]\npaper = paper_provider:make\n")
    made.python_path = [TOP, brought]
    made.home.mkdir(mode=0o700)
    (made.home / "settings.toml").write_text(SETTINGS)
    made.start_boss()
    yield made
    made.end()
    assert not made.processes()


def states(world: Deployment) -> dict[str, str]:
    return {worker["id"]: worker["state"] for worker in world.look(workers)}


def pool(world: Deployment, name: str) -> dict[str, Any]:
    (only,) = [each for each in world.look(Client.pools) if each["name"] == name]
    assert isinstance(only, dict)
    return only


def test_workers_are_started_up_to_the_limit_and_the_quota_and_shown_before_they_speak(world: Deployment) -> None:
    wait_for(lambda: states(world) == {"local-1": "online"}, "the boss's own worker")
    assert pool(world, "local")["plan"]["reason"] == "the settings keep it at 1"
    done = world.admin("instantiate_worker", "2", "keep_alive")
    first, second = done.stdout.split()
    assert (done.returncode, done.stderr) == (0, "") and first.startswith("cloud-"), "the cheaper pool comes first"
    wait_for(lambda: states(world) == {"local-1": "online", first: "booting", second: "booting"}, "both are made")
    shown = world.admin("show_workers").stdout
    number = first.rpartition("-")[2]
    assert f"ID: {first}  IP: 192.0.2.{number}  Doing: nothing  Persistent: True  State: booting\n" in shown
    # The limit is 4, and the provider's quota 3.
    done = world.admin("instantiate_worker", "5", "--pool", "cloud")
    assert len(done.stdout.split()) == 2 and "Note: 3 do not fit: pool cloud has its limit of 4" in done.stderr
    wait_for(lambda: pool(world, "cloud")["full"], "the quota is reported")
    (shown,) = world.asked("scaling", "--pool", "cloud")
    assert shown["instances"] == {"booting": 3} and shown["full"] == "quota: only 3 machines"
    assert (shown["more"], shown["limited_by"]) == (0, "3 sheets") and 99 < shown["hours_left"] <= 100
    assert shown["retry_at"] > shown["plan"]["decided_at"]
    text = world.admin("scaling", "--pool", "cloud").stdout
    assert "It cannot grow: quota: only 3 machines; the boss retries at 20" in text
    wait_for(
        lambda: any(
            line.startswith("pool cloud cannot grow: quota: only 3 machines; work goes on with the workers there are")
            for line in world.look(Client.status)["warnings"]
        ),
        "status says so",
    )
    kept = world.admin("instantiate_worker", "--pool", "local")
    assert kept.returncode == 3 and kept.stdout == ""
    assert "Note: 1 do not fit" in kept.stderr and "no worker was started in pool local" in kept.stderr


def test_a_pool_grows_automatically_and_the_journal_says_why(world: Deployment) -> None:
    """The worker is on paper, so the task waits until it is cancelled; then what boots is not wanted any more."""
    tasks = [{"id": "a", "commands": "true", "labels": {}, "pool": "spare", "expect": "300s"}]
    pushed = world.push(world.write("t.json", {"tasks": tasks}), "--detach")
    assert pushed.returncode == 0, pushed.stdout + pushed.stderr
    wait_for(lambda: pool(world, "spare")["instances"] == {"booting": 1}, "one is started")
    plan = pool(world, "spare")["plan"]
    assert plan["numbers"]["runnable_slots"] > 0 and plan["decided_at"] > 1.6e9
    lines = [json.loads(line) for line in world.admin("events", "--last", "500", "--json").stdout.splitlines()]
    (decision,) = [line for line in lines if line["what"] == "pool"]
    assert (decision["key"], decision["before"], decision["after"]) == ("spare", "0 workers", "1 worker")
    instances = [(line["before"], line["after"], line["cause"]) for line in lines if line["what"] == "instance"]
    assert ("new", "requested", f"pool spare: {decision['cause']}") in instances
    assert ("requested", "booting", "the provider made it") in instances
    text = world.admin("events").stdout
    assert f"pool spare  0 workers -> 1 worker: {decision['cause']}" in text


def test_workers_are_ended_by_id_by_pool_and_all_only_after_asking(world: Deployment) -> None:
    ids = world.admin("instantiate_worker", "2", "--keep-alive").stdout.split()
    others = world.admin("instantiate_worker", "2", "--keep-alive", "--pool", "spare").stdout.split()
    wait_for(lambda: list(states(world).values()).count("booting") == 4, "four are made")
    assert world.asked("terminate_workers", ids[0])["ended"] == [ids[0]]
    wait_for(lambda: ids[0] not in states(world), "it is gone")
    refused = world.admin("terminate_workers")
    assert refused.returncode == 2 and "Terminate 3 workers (pools: cloud, spare) and their machines?" in refused.stderr
    assert "give --yes" in refused.stderr and set(states(world)) >= {ids[1], *others}
    done = world.admin("terminate_workers", "--pool", "spare")
    assert done.stdout == f"Terminated: {', '.join(others)}\n"
    wait_for(lambda: not set(others) & states(world).keys(), "the pool is empty")
    assert world.admin("terminate_workers", "--yes").stdout == f"Terminated: {ids[1]}\n"
    wait_for(lambda: states(world) == {"local-1": "online"}, "the boss's own worker is spared")
    assert world.admin("terminate_workers", "--yes").stdout == "There is nothing to terminate.\n"
    unknown = world.admin("terminate_workers", "--pool", "clod")
    assert unknown.returncode == 2
    assert "no pool 'clod'; did you mean 'cloud'? (there are: cloud, local, spare)" in unknown.stderr


def test_a_dropped_worker_lives_on_and_comes_back(world: Deployment) -> None:
    wait_for(lambda: states(world) == {"local-1": "online"}, "the worker")
    assert world.admin("drop_workers").stdout == "There is nothing to drop.\n"
    done = world.admin("drop_workers", "local-1")
    assert done.stdout.startswith("Dropped: local-1\nNote: what 1 of them run in lives on and says hello again")
    assert "terminate_workers stops it" in done.stdout
    assert world.admin("drop_workers", "absent").returncode == 2
    wait_for(lambda: states(world) == {"local-1": "online"}, "it said hello again")
    assert world.push(world.write("t.json", {"tasks": [{"id": "a", "commands": "true"}]})).returncode == 0


def test_a_worker_of_ones_own_is_added_by_its_login(world: Deployment) -> None:
    done = world.admin("add_worker", "lab", "--write", str(world.directory / "lab"))
    assert done.returncode == 0 and "Login lab at the broker: created." in done.stdout
    assert "\tset -a; . /etc/ecloud/worker.env; set +a\n\t.venv/bin/python -m worker\n" in done.stdout
    assert (world.directory / "lab" / "worker.env").exists()
    taken = world.admin("add_worker", "local-1")
    assert taken.returncode == 3 and "the boss starts itself" in taken.stderr
    assert world.admin("add_worker", "datastore").returncode == 2
