"""The next version of a file, as a user pushes it: what runs, what is kept, what is said, and what is refused."""

from __future__ import annotations

import json
import os
import pty
import shutil

import pytest

from tests.worlds.deployment import Deployment, deployment, lines_of
from tests.worlds.waiting import scaled, wait_for

__all__ = ["deployment"]

pytestmark = pytest.mark.timeout(240)


def write(deployment: Deployment, name: str = "tasks.json", **commands: str) -> None:
    """pre hands its result to two runs, and both to post; each writes its id into a log beside the state directory."""
    said = {"pre": "echo 1 > pre.txt", "sim-1": "cat pre.txt > s1.txt", "sim-2": "cat pre.txt > s2.txt"}
    said |= {"post": "cat s1.txt s2.txt > all.txt"} | commands
    needs = {"sim-1": ["pre.txt"], "sim-2": ["pre.txt"], "post": ["s1.txt", "s2.txt"]}
    makes = {"pre": ["pre.txt"], "sim-1": ["s1.txt"], "sim-2": ["s2.txt"], "post": ["all.txt"]}
    tasks = [
        {
            "id": id,
            "commands": [f'echo {id} >> "$LOG"', command],
            "requirements": needs.get(id, []),
            "results": makes.get(id, []),
        }
        for id, command in said.items()
        if command
    ]
    deployment.write(name, {"defaults": {"env": {"LOG": str(deployment.directory / "log")}}, "tasks": tasks})


def ran(deployment: Deployment) -> list[str]:
    """What ran since this was asked last."""
    lines = sorted(lines_of(deployment.directory / "log"))
    (deployment.directory / "log").unlink(missing_ok=True)
    return lines


def test_only_what_changed_and_what_gets_other_inputs_runs_again(deployment: Deployment) -> None:
    write(deployment)
    first = deployment.push("tasks.json")
    assert first.returncode == 0 and ran(deployment) == ["post", "pre", "sim-1", "sim-2"]
    again = deployment.push("tasks.json")
    assert again.returncode == 0 and ran(deployment) == []
    assert "4 tasks: 4 unchanged" in again.stderr and "All of it is done already" in again.stderr

    write(deployment, **{"pre": "sleep 0; echo 1 > pre.txt"})  # makes the same
    planned = deployment.push("tasks.json", "--dry_run")
    assert planned.returncode == 0 and ran(deployment) == []
    assert "4 tasks: 1 changed (pre: commands), 3 depend on them" in planned.stdout
    assert deployment.push("tasks.json").returncode == 0
    assert ran(deployment) == ["pre"]
    assert "came out the same" in deployment.asked("show_task", "post")["task"]["reason"]

    write(deployment, **{"pre": "echo 2 > pre.txt", "more": "true"})
    done = deployment.push("tasks.json")
    assert "1 changed (pre: commands), 1 new (more), 3 depend on them" in done.stderr
    assert done.returncode == 0 and ran(deployment) == ["more", "post", "pre", "sim-1", "sim-2"]
    assert (deployment.tree / "all.txt").read_text() == "2\n2\n"


def test_the_next_version_is_known_without_a_boss_and_before_there_is_any(deployment: Deployment) -> None:
    write(deployment)
    first = deployment.push("tasks.json", "--dry_run", "--json")
    assert first.returncode == 0 and json.loads(first.stdout)["plan"] == ["4 tasks: 4 new"]
    assert deployment.push("tasks.json").returncode == 0
    assert deployment.wait_until_alone() == {}
    write(deployment, post="cat s2.txt s1.txt > all.txt")
    said = json.loads(deployment.push("tasks.json", "--dry_run", "--json").stdout)
    assert said["plan"] == ["4 tasks: 3 unchanged, 1 changed (post: commands)"]
    assert said["numbers"]["changed"] == {"count": 1, "ids": ["post"]}


def test_results_that_were_deleted_are_made_again(deployment: Deployment) -> None:
    write(deployment)
    assert deployment.push("tasks.json").returncode == 0
    ran(deployment)
    (deployment.tree / "s1.txt").unlink()
    done = deployment.push("tasks.json")
    assert done.returncode == 0 and "1 whose results are gone" in done.stderr
    assert ran(deployment) == ["sim-1"]
    assert (deployment.tree / "s1.txt").read_text() == "1\n"
    (deployment.tree / "all.txt").write_text("cut o")
    assert deployment.push("tasks.json", "--merge_strategy", "keep_succeeded").returncode == 0
    assert (deployment.tree / "all.txt").read_text() == "1\n1\n"


def test_an_edit_and_its_way_back_give_the_files_of_the_way_back(deployment: Deployment) -> None:
    options = ("--create_ids", "--allow_shared_results")
    for word in ("one", "two", "one"):
        deployment.write("tasks.json", [{"commands": [f"echo {word} > out"], "results": ["out"]}])
        assert deployment.push("tasks.json", *options).returncode == 0
        assert (deployment.tree / "out").read_text() == f"{word}\n"


def test_keep_succeeded_is_never_green_with_a_stale_dependant(deployment: Deployment) -> None:
    write(deployment)
    assert deployment.push("tasks.json").returncode == 0
    assert deployment.admin("redo_task", "pre").returncode == 0
    for _ in range(2):
        kept = deployment.push("tasks.json", "--merge_strategy", "keep_succeeded")
        assert kept.returncode == 1
        assert "Not up to date: sim-1, sim-2" in kept.stdout
    ran(deployment)
    done = deployment.push("tasks.json")
    assert done.returncode == 0 and "2 whose inputs were made again (sim-1, sim-2)" in done.stderr
    assert ran(deployment) == [], "they came out the same"
    assert deployment.push("tasks.json", "--merge_strategy", "keep_succeeded").returncode == 0


def test_what_runs_now_is_ended_only_with_yes_and_its_time_is_said(deployment: Deployment) -> None:
    write(deployment, pre="sleep 100; echo 1 > pre.txt")
    first = deployment.start_push("tasks.json")
    wait_for(lambda: lines_of(deployment.directory / "log"), "the task executes")
    write(deployment)
    refused = deployment.push("tasks.json")
    assert refused.returncode == 2
    assert "1 task runs now, is ended and begins again: pre has run for" in refused.stderr
    assert "--yes" in refused.stderr
    assert deployment.push("tasks.json", "--yes").returncode == 0
    assert first.wait(timeout=scaled(60)) == 0
    assert ran(deployment) == ["post", "pre", "pre", "sim-1", "sim-2"]


@pytest.mark.parametrize("answer", ["y", "n"])
def test_on_a_terminal_it_is_asked_first(deployment: Deployment, answer: str) -> None:
    write(deployment, pre="sleep 100; echo 1 > pre.txt" if answer == "y" else "sleep 3; echo 1 > pre.txt")
    first = deployment.start_push("tasks.json")
    wait_for(lambda: lines_of(deployment.directory / "log"), "the task executes")
    write(deployment)
    ours, theirs = pty.openpty()
    push = deployment.start_push("tasks.json", terminal=os.ttyname(theirs))
    seen = b""
    while b"run them again as the file says now?" not in seen:
        seen += os.read(ours, 4096)
    assert b"pre has run for" in seen
    os.write(ours, f"{answer}\n".encode())
    assert push.wait(timeout=scaled(60)) == (0 if answer == "y" else 2)
    assert first.wait(timeout=scaled(60)) == 0
    assert ran(deployment).count("pre") == (2 if answer == "y" else 1)
    os.close(ours)
    os.close(theirs)


def test_what_is_no_longer_in_the_file_is_listed_and_pruned(deployment: Deployment) -> None:
    write(deployment, old="true")
    assert deployment.push("tasks.json").returncode == 0
    write(deployment)
    listed = deployment.push("tasks.json")
    assert listed.returncode == 0 and "1 task no longer in the file: old; --prune drops them" in listed.stderr
    assert "dropped (--prune)" in deployment.push("tasks.json", "--prune").stderr
    assert "no longer" not in deployment.push("tasks.json").stderr
    assert [one["id"] for one in deployment.asked("show_succeeded") if one["id"] == "old"] == []


def test_another_file_and_another_name_are_refused_with_the_way_out(deployment: Deployment) -> None:
    write(deployment)
    assert deployment.push("tasks.json").returncode == 0
    (deployment.directory / "moved").mkdir()
    shutil.copy(deployment.directory / "tasks.json", deployment.directory / "moved" / "tasks.json")
    refused = deployment.push("moved/tasks.json")
    assert refused.returncode == 3
    assert "batch 1, which is batch 'tasks'" in refused.stderr and "--name tasks" in refused.stderr
    assert deployment.push("moved/tasks.json", "--name", "tasks").returncode == 0
    named = deployment.push("tasks.json", "--name", "other")
    assert named.returncode == 3 and "this batch 'other'" in named.stderr and "--project NAME" in named.stderr
    assert deployment.push("tasks.json", "--project", "other").returncode == 0


def test_cancelled_tasks_stay_cancelled_and_the_push_says_what_to_type(deployment: Deployment) -> None:
    write(deployment, pre="false")
    assert deployment.push("tasks.json").returncode == 1
    assert deployment.admin("cancel", "sim-1").returncode == 0
    write(deployment)
    again = deployment.push("tasks.json")
    assert again.returncode == 1
    assert "1 task was cancelled and stays so (sim-1)" in again.stderr and "admin.py redo_task sim-1" in again.stderr
    assert deployment.admin("redo_task", "sim-1").returncode == 0
    assert deployment.push("tasks.json").returncode == 0


def test_a_failed_init_task_is_seen_by_its_id(deployment: Deployment) -> None:
    fetch = {"id": "fetch", "init": True, "commands": ["echo nothing there >&2; exit 3"]}
    deployment.write("tasks.json", [fetch, {"id": "a", "commands": ["true"]}])
    assert deployment.push("tasks.json", "--detach").returncode == 0
    wait_for(
        lambda: any(one["ended"] == "failed" for one in deployment.asked("show_task", "fetch")["attempts"]),
        "its execution has failed",
    )
    shown = deployment.admin("show_task", "fetch").stdout
    assert "exit code 3" in shown and "nothing there" in shown
    story = deployment.admin("story", "fetch")
    assert story.returncode == 0 and "-> failed" in story.stdout, story.stdout + story.stderr
    mended = {**fetch, "commands": ["true"]}
    deployment.write("tasks.json", [mended, {"id": "a", "commands": ["true"]}])
    assert deployment.push("tasks.json", timeout=150.0).returncode == 0
