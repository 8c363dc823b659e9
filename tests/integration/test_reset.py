"""`python -m boss --reset`: counts are zero afterwards, all that was there is kept aside, and workers join anew."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.core.rows import Changes, InstanceRow
from boss.database import Busy, Database, Held
from boss.database.aside import set_aside
from boss.reset import reset
from boss.state_lock import Refused, lock
from tests.acceptance.deployment import TOP, Deployment, deployment, wait_for
from tests.acceptance.test_outside_servers import broker
from tests.integration.database_world import push, taken_over

__all__ = ["broker", "deployment"]


@pytest.fixture
def used(database_url: str) -> str:
    """A database with two tasks."""
    database = taken_over(database_url)
    push(database, {"a": [], "b": ["a"]})
    database.close()
    return database_url


def left_in(url: str) -> tuple[int, str]:
    """How many tasks there are, and whose."""
    database = Database.open(url)
    try:
        return sum(database.reads.counts()), database.deployment
    finally:
        database.close()


@pytest.mark.needs("mariadb")
def test_the_next_boss_begins_with_nothing_and_the_old_rows_are_kept(used: str, tmp_path: Path) -> None:
    tasks, before = left_in(used)
    sentence = reset(tmp_path, used)
    assert "begins with nothing" in sentence and "before" in sentence
    assert tasks == 2
    now, deployment_id = left_in(used)
    assert now == 0 and deployment_id != before
    if used.startswith("sqlite"):
        (kept,) = tmp_path.glob("ecloud.before-*.sqlite")
        assert left_in(f"sqlite:///{kept}") == (2, before)
        assert str(kept) in sentence


@pytest.mark.needs("mariadb")
def test_where_there_is_nothing_nothing_is_done(database_url: str, tmp_path: Path) -> None:
    assert "nothing to put aside" in reset(tmp_path, database_url)
    assert set_aside(database_url, "now") == ""


@pytest.mark.needs("mariadb")
def test_what_a_boss_has_started_must_end_before(used: str, tmp_path: Path) -> None:
    database = taken_over(used)
    rows = {1: InstanceRow(1, "local-1", "local", "local", "running"), 2: InstanceRow(2, "x", "local", "local", "gone")}
    database.commit(Changes(instances=rows), 2.0)
    database.close()
    with pytest.raises(Refused, match=r"1 workers .*\(local-1\).*nothing was changed"):
        reset(tmp_path, used)
    assert left_in(used)[0] == 2


def test_a_boss_that_runs_is_left_alone(tmp_path: Path) -> None:
    descriptor = lock(tmp_path)
    try:
        with pytest.raises(Refused, match="a boss runs on the state directory"):
            reset(tmp_path, f"sqlite:///{tmp_path / 'ecloud.sqlite'}")
    finally:
        os.close(descriptor)


def test_a_file_that_is_being_read_is_left_as_it_is(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ecloud.sqlite'}"
    database = taken_over(url)
    push(database, {"a": []})
    database.close()
    reader = sqlite3.connect(tmp_path / "ecloud.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM deployment").fetchall()
    try:
        with pytest.raises(Busy, match="locked"):
            reset(tmp_path, url)
    finally:
        reader.close()
    assert left_in(url)[0] == 1


@pytest.mark.needs("mariadb")
def test_a_server_that_a_boss_elsewhere_uses_is_left_as_it_is(mariadb_server: object, tmp_path: Path) -> None:
    url = mariadb_server.fresh_url()  # type: ignore[attr-defined]
    database = taken_over(url)
    try:
        push(database, {"a": []})
        with pytest.raises(Held, match="in use by a boss"):
            reset(tmp_path, url)
    finally:
        database.close()
    assert left_in(url)[0] == 1


@pytest.fixture
def hand_started(broker: Deployment, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A worker that a person started, at the deployment's broker."""
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
    process.wait(60)


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("broker", ["password"], indirect=True)
def test_a_worker_that_a_person_started_goes_on_with_the_same_id_after_the_boss_was_away_and_began_anew(
    broker: Deployment, hand_started: subprocess.Popen[str], tmp_path: Path
) -> None:
    broker.settings["local_workers"] = 0
    tasks = broker.write("tasks.json", [{"id": "one", "commands": f"echo $ECLOUD_WORKER >> {tmp_path}/ran"}])
    boss = broker.start_boss()
    assert broker.push(tasks).returncode == 0
    boss.terminate()
    assert boss.wait(60) == 0
    broker.start_boss("--reset")
    status = broker.asked("status")
    assert (status["in_queue"], status["finished"]) == (0, 0)
    assert broker.asked("show_batches") == []
    wait_for(lambda: [worker["id"] for worker in broker.asked("show_workers")] == ["lab"], "it says hello again")
    done = broker.push(tasks)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "ran").read_text() == "lab\nlab\n"
    assert hand_started.poll() is None
    assert "all that it knew is kept in" in broker.log()
