"""Retries, time limits, poison and bad workers with real processes: a boss, its broker, datastore and workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.deployment import Deployment
from tests.worlds.looking import task_named, workers
from tests.worlds.waiting import wait_for

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(180)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(tmp_path / "user", heartbeat_seconds=0.5, lease_seconds=20, orphan_after_seconds=20, slots=2)
    yield made
    made.end()
    assert not made.processes()


def push(world: Deployment, *tasks: dict[str, Any]) -> int:
    return world.push(world.write("t.json", {"tasks": list(tasks)})).returncode


def ends(world: Deployment, id: str) -> list[str]:
    return [attempt["ended"] for attempt in world.asked("show_task", id)["attempts"]]


def journal(world: Deployment) -> list[dict[str, Any]]:
    return [json.loads(line) for line in world.admin("events", "--last", "5000", "--json").stdout.splitlines()]


def online(world: Deployment) -> int:
    return sum(worker["state"] == "online" for worker in world.look(workers))


def test_failures_are_tried_again_after_growing_pauses_if_they_are_worth_it(world: Deployment) -> None:
    flaky = 'test "$ECLOUD_ATTEMPT" = 3 || exit 75'
    world.start_boss()
    code = push(
        world,
        {"id": "flaky", "commands": flaky, "retries": 5, "retry_delay": 0.4, "retry_on": [75]},
        {"id": "other code", "commands": "exit 3", "retries": 5, "retry_on": [75]},
        {"id": "slow", "commands": "sleep 60", "timeout": 0.3, "retries": 1, "retry_delay": 0.1, "retry_on": [124]},
        {"id": "by signal", "commands": "kill -9 $$", "retries": 1, "retry_delay": 0.1, "retry_on": [-9]},
        {"id": "never", "commands": "exit 1"},
        {"id": "all codes", "commands": "exit $ECLOUD_ATTEMPT", "retries": 2, "retry_delay": 0},
    )
    assert code == 1
    assert ends(world, "flaky") == ["failed", "failed", "succeeded"]
    assert ends(world, "other code") == ["failed"] == ends(world, "never")
    assert ends(world, "slow") == ["timed_out", "timed_out"]
    assert ends(world, "by signal") == ["failed", "failed"]
    assert [one["exit_code"] for one in world.asked("show_task", "all codes")["attempts"]] == [1, 2, 3]
    first, second, third = world.asked("show_task", "flaky")["attempts"]
    # The pause is shortened by at most a quarter (jitter), so that not all come back at one moment.
    assert second["began_at"] - first["ended_at"] > 0.4 * 0.75 * 0.9
    assert third["began_at"] - second["ended_at"] > 0.8 * 0.75 * 0.9
    causes = [event["cause"] for event in world.asked("story", "flaky")["events"]]
    assert any(cause.startswith("retry 2 of 5 after: ") for cause in causes)


def test_a_task_that_kills_its_workers_fails_after_three_and_costs_the_others_nothing(world: Deployment) -> None:
    """The agent is the parent of a command's shell. Its successors come after pauses of 1, 2 and 4 seconds."""
    world.settings["slots"] = 1
    world.start_boss()
    code = push(
        world,
        {"id": "poison", "commands": "kill -9 $PPID; sleep 60", "retries": 9, "priority": 5},
        {"id": "good", "commands": "true"},
    )
    assert code == 1
    detail = world.asked("show_task", "poison")
    assert detail["task"]["reason"] == "poison: 3 workers in a row died while they executed it"
    assert ends(world, "poison") == ["lost"] * 3
    assert world.asked("show_task", "good")["task"]["state"] == "succeeded"


def test_a_bad_worker_is_quarantined_with_a_reason_and_released_by_a_probe(world: Deployment) -> None:
    """What makes it bad: something in its home stands where its attempts' directories should."""
    world.settings |= {"local_workers": 2, "slots": 1, "probe_seconds": 2}
    world.start_boss()
    home = world.home / "workers" / "local-1"
    wait_for(lambda: online(world) == 2, "both workers")
    (home / "attempts").rename(home / "kept")
    (home / "attempts").write_text("in the way")
    tasks = [{"id": f"t{number}", "commands": "sleep 0.1", "retries": 0} for number in range(20)]
    assert push(world, *tasks) == 0  # none was failed by the bad worker's doing
    (bad,) = [worker for worker in world.asked("show_workers") if worker["id"] == "local-1"]
    assert "attempts in a row failed by its own fault" in bad["quarantined"]
    assert "cannot prepare the attempt" in bad["quarantined"]
    assert "local-1 is quarantined" in world.admin("status").stdout
    assert {event["after"] for event in journal(world) if event["what"] == "attempt"} == {"staged", "lost", "succeeded"}
    (home / "attempts").unlink()
    (home / "kept").rename(home / "attempts")
    more = [{"id": f"more{number}", "commands": "sleep 0.3"} for number in range(20)]
    assert push(world, *more) == 0
    wait_for(lambda: not any(worker["quarantined"] for worker in world.look(workers)), "the probe's success")
    moves = [event["after"] for event in journal(world) if event["key"] == "local-1"]
    assert moves.index("quarantined") < moves.index("probed") < moves.index("released")


def test_a_bad_worker_is_released_manually(world: Deployment) -> None:
    world.settings |= {"probe_seconds": 0}
    world.start_boss()
    wait_for(lambda: online(world), "the worker")
    said = world.admin("quarantine", "local-1", "its disk makes noises")
    assert said.stdout == "Worker local-1 is quarantined: manual: its disk makes noises\n"
    assert world.push(world.write("t.json", {"tasks": [{"id": "a", "commands": "true"}]}), "--detach").returncode == 0
    assert "manual: its disk makes noises" in world.admin("show_workers").stdout
    assert world.asked("show_task_status", "a")["state"] == "queued"
    assert world.admin("release", "local-1").returncode == 0
    wait_for(lambda: world.look(task_named("a"))["task"]["state"] == "succeeded", "the task's end")
    wrong = world.admin("release", "local-9")
    assert (wrong.returncode, "there is no worker 'local-9'" in wrong.stderr) == (2, True)
