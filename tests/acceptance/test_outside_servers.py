"""A boss with servers of others: a real Mosquitto with a login or with TLS, a real MariaDB.

In both cases the boss is killed in mid-run, and the next one goes on: what computes is not started again, and no
process is left in the end.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.worlds.deployment import Deployment, deployment, lines_of
from tests.worlds.external_broker import SECRET, broker
from tests.worlds.mariadb import MariaDb, largest_packet, mariadb_server
from tests.worlds.waiting import scaled, wait_for

__all__ = ["broker", "deployment", "mariadb_server"]


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


@pytest.mark.needs("mariadb")
def test_a_task_with_more_result_files_than_the_server_takes_in_a_row_fails_alone(
    deployment: Deployment, mariadb_server: MariaDb
) -> None:
    with largest_packet(mariadb_server, 131_072):
        deployment.settings["database"] = mariadb_server.fresh_url()
        many = "mkdir out; cd out; seq -f file-%g 1500 | xargs touch"
        tasks = [
            {"id": "many", "commands": many, "results": ["out/"], "retries": 0},
            {"id": "few", "commands": "echo x > few.txt", "results": ["few.txt"]},
        ]
        done = deployment.push(deployment.write("tasks.json", tasks))
        said = done.stdout + done.stderr
        assert done.returncode == 1 and "its outcome cannot be recorded" in said, said
        assert "max_allowed_packet" in deployment.admin("show_task", "many").stdout
        assert (deployment.tree / "few.txt").read_text() == "x\n"
        again = deployment.push(deployment.write("more.json", [{"id": "more", "commands": "true"}]))
        assert again.returncode == 0, again.stdout + again.stderr
