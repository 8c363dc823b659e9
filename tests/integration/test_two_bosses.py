"""One boss a database: the second is refused by name, and one that was superseded can neither write nor be heard."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boss.client.client import Client
from boss.database import Database
from tests.worlds import brokers
from tests.worlds.agent import run
from tests.worlds.brokers import Links
from tests.worlds.deployment import Deployment, lines_of
from tests.worlds.mariadb import MariaDb
from tests.worlds.waiting import scaled, wait_for
from tests.worlds.worker import AgentProcess, ScriptedBoss
from wire.link import Connected

mosquitto, links = brokers.mosquitto, brokers.links

pytestmark = [pytest.mark.needs("mosquitto", "mariadb"), pytest.mark.timeout(180)]

#: Short, so that what is left of a first boss ends soon.
SETTINGS = {"heartbeat_seconds": 0.5, "lease_seconds": 3.0, "orphan_after_seconds": 8.0}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    """Deployments with state directories of their own."""
    made: list[Deployment] = []

    def one(name: str, database: str = "") -> Deployment:
        more = {"database": database} if database else {}
        made.append(Deployment(tmp_path / name, **SETTINGS, **more))
        return made[-1]

    yield one
    for deployment in made:
        deployment.end()
    assert not [left for deployment in made for left in deployment.processes()]


def refused(second: Deployment) -> str:
    """What a boss says that may not start."""
    process = second.start_boss(wait=False)
    assert process.wait(scaled(60)) == 3
    return second.log()


def names(first: subprocess.Popen[str], text: str) -> bool:
    return f"{socket.gethostname()}, process {first.pid}, since 20" in text


def test_a_second_boss_on_a_state_directory_reports_host_process_and_since_when(
    make: Callable[..., Deployment],
) -> None:
    deployment = make("one")
    first = deployment.start_boss()
    said = refused(deployment)
    assert names(first, said) and "nothing was changed" in said and "Traceback" not in said
    assert first.poll() is None
    first.terminate()
    assert first.wait(scaled(60)) == 0


def test_a_second_boss_on_a_database_server_reports_host_process_and_since_when(
    make: Callable[..., Deployment], mariadb_server: MariaDb
) -> None:
    url = mariadb_server.fresh_url()
    one, two = make("one", url), make("two", url)
    first = one.start_boss()
    said = refused(two)
    assert names(first, said) and "one boss a database" in said and "Traceback" not in said
    assert one.push(one.write("t.json", {"tasks": [{"id": "a", "commands": ["true"]}]})).returncode == 0
    assert first.poll() is None


def superseded(process: subprocess.Popen[str], deployment: Deployment, by: subprocess.Popen[str]) -> None:
    """It ends automatically, with a sentence that names who did it."""
    assert process.wait(scaled(90)) == 3
    said = deployment.log()
    assert f"was taken over by the boss on {socket.gethostname()}, process {by.pid}" in said
    assert "this boss writes nothing more and ends" in said and "Traceback" not in said


def task_file(deployment: Deployment, log: Path, tasks: int, seconds: float) -> Path:
    command = f'echo "$ECLOUD_TASK_ID $ECLOUD_ATTEMPT" >> {log}; sleep {seconds}'
    return deployment.write("t.json", {"tasks": [{"id": f"t{n}", "commands": [command]} for n in range(tasks)]})


def test_a_boss_that_was_stopped_superseded_and_woken_again_writes_nothing_and_ends(
    make: Callable[..., Deployment], mariadb_server: MariaDb, tmp_path: Path
) -> None:
    url = mariadb_server.fresh_url()
    one, two = make("one", url), make("two", url)
    first = one.start_boss()
    log = tmp_path / "log"
    assert one.push(task_file(one, log, 8, 1.0), "--detach").returncode == 0
    wait_for(lambda: lines_of(log), "the first task")
    os.kill(first.pid, signal.SIGSTOP)
    end_connections(mariadb_server, url.rpartition("/")[2])  # and with them the early lock
    second = two.start_boss()
    wait_for(lambda: two.look(Client.status)["succeeded"] == 8, "the second boss's end of the work")
    before = read(url)
    os.kill(first.pid, signal.SIGCONT)
    superseded(first, one, second)
    assert read(url) == before  # what the first boss had in mind came to nothing
    assert second.poll() is None
    second.terminate()
    assert second.wait(scaled(60)) == 0


def test_two_state_directories_with_one_sqlite_file_have_one_boss_in_the_end(
    make: Callable[..., Deployment], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'shared.sqlite'}"
    one, two = make("one", url), make("two", url)
    first = one.start_boss()
    second = two.start_boss()
    superseded(first, one, second)  # automatically, without a request
    assert two.push(two.write("t.json", {"tasks": [{"id": "a", "commands": ["true"]}]})).returncode == 0
    second.terminate()
    assert second.wait(scaled(60)) == 0


def end_connections(server: MariaDb, name: str) -> None:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (name,))
        for (number,) in cursor.fetchall():
            cursor.execute(f"KILL CONNECTION {number:d}")


def read(url: str) -> tuple[int, list[str], int]:
    """Epoch, states and the number of journal rows that a task has."""
    database = Database.open_to_read(url)
    try:
        tasks = database.reads.tasks_of()
        moves = sum(len(database.reads.story(task.number)) for task in tasks)
        return database.load().epoch, [f"{task.id} {task.state} {task.attempt}" for task in tasks], moves
    finally:
        database.close()


def test_what_a_superseded_boss_still_says_is_heard_by_no_worker(
    mosquitto: brokers.EmbeddedBroker, links: Links, tmp_path: Path
) -> None:
    """Its orders lie in the broker's or its own queue and arrive after those of its successor: on a real broker."""
    boss = ScriptedBoss(mosquitto, links, epoch=2)
    wait_for(lambda: boss.listener.has(Connected), "the boss's connection")
    boss.online()
    agent = AgentProcess(mosquitto, tmp_path / "worker")
    try:
        boss.hello()
        boss.order(run(1, commands=["true"], init=False))
        assert boss.outcome(1).ended == "succeeded"
        made = tmp_path / "made"
        boss.epoch = 1
        boss.order(run(2, commands=[f"touch {made}"]), number=1_000)
        boss.epoch = 2
        boss.order(run(2, commands=[f"touch {made}"]), number=1)  # and of its own: one that came late
        boss.order(run(3, commands=["true"]))
        assert boss.outcome(3).ended == "succeeded"
        assert not made.exists() and not boss.outcomes(2)
        confirmed = [number for message in boss.messages for number in message.confirms if message.epoch == 1]
        assert confirmed == []
    finally:
        agent.end()
