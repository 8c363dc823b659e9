"""A state directory that was copied while its boss runs: a boss on the copy leaves all of the original alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.client.client import Client
from tests.worlds.deployment import Deployment, deployment
from tests.worlds.looking import workers
from tests.worlds.waiting import wait_for

__all__ = ["deployment"]


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(tmp_path / "copy")
    yield made
    made.end()


def online(running: Deployment) -> bool:
    return [one["state"] for one in running.look(workers)] == ["online"]


def test_a_boss_on_the_copy_ends_nothing_of_the_original(deployment: Deployment, copy: Deployment) -> None:
    deployment.start_boss()
    wait_for(lambda: online(deployment), "the worker is there")
    before = deployment.processes()
    shutil.copytree(deployment.home, copy.home, ignore=shutil.ignore_patterns("*.sock", "progress"))
    copy.start_boss()
    wait_for(lambda: online(copy) and copy.look(Client.status)["datastore_connected"], "the copy has its own", 60)
    assert {"boss", "broker", "worker", "datastore"} <= set(copy.processes().values())
    copy.end()
    assert deployment.processes() == before
    tasks = [{"id": "a", "commands": ["echo a > a"], "results": ["a"]}]
    done = deployment.push(deployment.write("tasks.json", tasks))
    assert done.returncode == 0, done.stderr
    assert deployment.processes() == before
