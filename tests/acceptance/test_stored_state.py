"""A state directory that an earlier release left when it was killed: today's boss opens it and its work goes on."""

from __future__ import annotations

from pathlib import Path

from tests.worlds.deployment import Deployment, deployment, wait_for
from tests.worlds.stored_release import stored_commands, unpack_state

__all__ = ["deployment"]

#: What is private to the state directory and may not change: others hold the other half of it.
KEPT = ("logins/http_token", "logins/mqtt_boss", "logins/mqtt_elsewhere", "keys/boss", "keys/boss.pub")


def opened(deployment: Deployment) -> dict[str, str]:
    """It in the deployment's place, with a boss; what stood in its private files."""
    deployment.settings = {}
    home = unpack_state(deployment.directory)
    # Its one host does not answer, and bundles for it need packages of the internet.
    settings = home / "settings.toml"
    settings.write_text(settings.read_text().replace("max = 1", "max = 0"))
    kept = secrets_of(home)
    deployment.start_boss()
    return kept


def secrets_of(home: Path) -> dict[str, str]:
    return {name: (home / name).read_text() for name in KEPT}


def states(deployment: Deployment) -> dict[str, str]:
    commands = ("show_queued", "show_in_progress", "show_succeeded", "show_failed")
    return {task["id"]: task["state"] for command in commands for task in deployment.asked(command)}


def test_what_was_ended_quarantined_or_paused_still_is_and_secrets_are_the_same(deployment: Deployment) -> None:
    kept = opened(deployment)
    (local_2,) = (each for each in deployment.asked("show_workers") if each["id"] == "local-2")
    assert "its disk makes noises" in local_2["quarantined"]
    finished, paused, _ = deployment.asked("show_batches")
    assert (finished["finished"], finished["counts"]["succeeded"], finished["counts"]["failed"]) == (True, 2, 1)
    assert (paused["project"], paused["paused"]) == ("leaks", "the network is needed")
    now = states(deployment)
    assert [now[id] for id in ("fail", "after the failed one", "1", "2")] == ["failed", "blocked", "queued", "pending"]
    assert [line["after"] for line in deployment.asked("story", "fail")["events"]][-1] == "failed"
    assert secrets_of(deployment.home) == kept
    warnings = [line for line in deployment.log().splitlines() if "thrift is now called cost_weight" in line]
    assert len([line for line in warnings if " WARNING " in line]) == len(warnings) == 1
    assert {pool["name"] for pool in deployment.asked("scaling")} == {"local", "lab"}


def test_its_unfinished_tasks_finish_and_its_results_are_there(deployment: Deployment) -> None:
    opened(deployment)
    wait_for(lambda: deployment.asked("show_batches")[2]["finished"], "the batch that was under way is finished")
    assert deployment.admin("resume_batch", "2").returncode == 0
    wait_for(lambda: deployment.asked("show_batches")[1]["finished"], "the batch that was paused is finished")
    now = states(deployment)
    assert {now[id] for id in ("make", "use", "1", "2", "long-1", "long-2", "queued", "pending")} == {"succeeded"}
    assert [each["attempt"] for each in deployment.asked("show_task", "long-1")["attempts"]] == [1, 2]
    assert (deployment.tree / "long.txt").read_text() == "ended\n"
    assert (deployment.tree / "projects" / "leaks" / "one.txt").read_text() == "one\n"
    assert deployment.admin("get", "out/*", str(deployment.directory / "here")).returncode == 0
    assert (deployment.directory / "here" / "out" / "use.txt").read_text() == "3.42\n"
    assert deployment.admin("release", "local-2").returncode == 0
    assert deployment.admin("retry_failed").returncode == 0
    wait_for(lambda: deployment.asked("show_batches")[0]["finished"], "the retried task has failed again")
    assert len(deployment.asked("show_task", "fail")["attempts"]) == 2


def test_a_push_of_the_same_file_finds_its_tasks_done(deployment: Deployment) -> None:
    opened(deployment)
    file = deployment.write("finished.json", stored_commands()["files"]["finished.json"])
    done = deployment.push(file, "--merge_strategy", "keep_succeeded", "--json")
    assert done.returncode == 1, done.stderr
    assert deployment.asked("show_task", "make")["task"]["batch"] == 1
    assert len(deployment.asked("show_task", "make")["attempts"]) == 1
