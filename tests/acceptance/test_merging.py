"""Pushing again, as a user does it: strategies, projects, created ids, results that exist already."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.worlds.deployment import Deployment, deployment, lines_of
from tests.worlds.waiting import scaled, wait_for

__all__ = ["deployment"]

pytestmark = pytest.mark.timeout(180)


def task(id: str, command: str = "", *after: str, **more: object) -> dict[str, object]:
    """A task that writes its id into the side-effect log, beside the state directory."""
    said = f'echo {id} >> "$LOG"'
    return {"id": id, "commands": f"{said}; {command}" if command else said, "dependencies": list(after), **more}


def file_of(deployment: Deployment, *tasks: dict[str, object]) -> Path:
    return deployment.write("tasks.json", {"defaults": {"env": {"LOG": str(log(deployment))}}, "tasks": list(tasks)})


def log(deployment: Deployment) -> Path:
    return deployment.directory / "log"


def ran(deployment: Deployment) -> list[str]:
    """What ran since this was asked last."""
    lines = sorted(lines_of(log(deployment)))
    log(deployment).unlink(missing_ok=True)
    return lines


def summary(deployment: Deployment, *options: str) -> dict[str, object]:
    done = deployment.push("tasks.json", *options, "--json")
    assert done.stdout.startswith("{"), done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_a_done_task_that_is_replaced_runs_again_with_its_dependants_and_is_listed_once(deployment: Deployment) -> None:
    file_of(deployment, task("a"), task("b", "", "a"), task("apart"))
    assert deployment.push("tasks.json").returncode == 0
    assert ran(deployment) == ["a", "apart", "b"]
    assert deployment.push("tasks.json").returncode == 0
    assert ran(deployment) == []  # the same content: attached, nothing to do
    file_of(deployment, task("a"))
    done = deployment.push("tasks.json", "--merge_strategy", "replace")
    assert done.returncode == 0, done.stderr
    assert "1 task: 1 run again (a)" in done.stderr
    assert "1 task that this file does not name run again as well: b" in done.stderr
    listed = deployment.asked("show_succeeded")
    assert sorted(one["id"] for one in listed) == ["a", "apart", "b"]
    assert deployment.asked("show_task", "a")["task"]["attempt"] == 2
    assert ran(deployment) == ["a", "b"]


def test_of_ten_tasks_six_of_which_are_done_keep_succeeded_runs_four(deployment: Deployment) -> None:
    ids = [f"t{number}" for number in range(10)]
    file_of(deployment, *(task(id, "true" if number < 6 else "false") for number, id in enumerate(ids)))
    assert deployment.push("tasks.json").returncode == 1
    assert ran(deployment) == ids
    file_of(deployment, *(task(id) for id in ids))
    answer = summary(deployment, "--merge_strategy", "keep_succeeded")
    assert answer["exit_code"] == 0
    assert ran(deployment) == ids[6:]
    assert any("kept as they are" in str(line) for line in answer["warnings"])  # type: ignore[attr-defined]


def test_two_projects_have_the_same_ids_and_results_apart(deployment: Deployment) -> None:
    for project in ("default", "leaks"):
        file_of(deployment, task("a", f"echo {project} > out", results=["out"]))
        assert deployment.push("tasks.json", "--project", project).returncode == 0
    assert (deployment.tree / "out").read_text() == "default\n"
    assert (deployment.tree / "projects" / "leaks" / "out").read_text() == "leaks\n"
    assert ran(deployment) == ["a", "a"]


def test_skip_existing_runs_only_what_has_no_results_yet(deployment: Deployment) -> None:
    deployment.tree.mkdir(parents=True)
    (deployment.tree / "here").write_text("manual")
    file_of(deployment, task("a", "echo new > here", results=["here"]), task("b", "echo b > there", results=["there"]))
    assert deployment.push("tasks.json", "--skip_existing").returncode == 0
    assert ran(deployment) == ["b"]
    assert (deployment.tree / "here").read_text() == "manual"
    assert deployment.asked("show_task", "a")["task"]["reason"] == "Results exist"
    assert deployment.push("tasks.json", "--skip_existing", "--merge_strategy", "replace").returncode == 0
    assert ran(deployment) == ["a", "b"]
    assert (deployment.tree / "here").read_text() == "new\n"


def test_created_ids_run_a_changed_task_and_its_descendants_only(deployment: Deployment) -> None:
    def push(middle: str) -> list[str]:
        file_of(
            deployment,
            task("top"),
            task("middle", middle, "top"),
            task("end", "", "middle"),
            {"commands": 'echo nameless >> "$LOG"'},
        )
        assert deployment.push("tasks.json", "--create_ids").returncode == 0
        return ran(deployment)

    assert push("true") == ["end", "middle", "nameless", "top"]
    assert push("true") == []
    assert push("sleep 0") == ["end", "middle"]
    assert len(deployment.asked("show_succeeded")) == 6


def test_a_task_that_executes_is_killed_before_it_runs_as_its_new_description(deployment: Deployment) -> None:
    file_of(deployment, task("a", "sleep 100; echo never > out", results=["out"]), task("b", "", "a"))
    first = deployment.start_push("tasks.json")
    wait_for(lambda: lines_of(log(deployment)), "the task executes")
    file_of(deployment, task("a", "echo now > out", results=["out"]), task("b", "", "a"))
    assert deployment.push("tasks.json", "--merge_strategy", "replace").returncode == 0
    assert first.wait(timeout=scaled(60)) == 0  # what it follows has succeeded, as another description
    assert (deployment.tree / "out").read_text() == "now\n"
    assert ran(deployment) == ["a", "a", "b"]
    ended = [attempt["ended"] for attempt in deployment.asked("show_task", "a")["attempts"]]
    assert ended == ["superseded", "succeeded"]
    assert deployment.wait_until_alone() == {}


def test_a_replaced_task_gets_the_new_version_of_a_file_that_is_sent_again(deployment: Deployment) -> None:
    file_of(deployment, task("a", "cp net.inp out", requirements=["net.inp"], results=["out"]))
    deployment.write("net.inp", "one")
    assert deployment.push("tasks.json").returncode == 0
    deployment.write("net.inp", "two")
    done = deployment.push("tasks.json")
    assert done.returncode == 0 and "1 changed (a: net.inp)" in done.stderr
    assert (deployment.tree / "out").read_text() == "two"


def test_a_retry_in_a_finished_batch_lets_dependants_of_other_pushes_run(deployment: Deployment) -> None:
    file_of(deployment, task("a", 'test -e "$LOG.mended"'))
    assert deployment.push("tasks.json").returncode == 1
    file_of(deployment, task("b", "", "a"))
    assert deployment.push("tasks.json").returncode == 1  # blocked at once: its parent has failed
    assert ran(deployment) == ["a"]
    deployment.write("log.mended", "")
    assert deployment.admin("retry_failed").returncode == 0
    assert deployment.push("tasks.json").returncode == 0
    assert ran(deployment) == ["a", "b"]
