"""The main job as users do it: the legacy task files pushed unchanged, the Net3 study, and what is seen afterwards."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from boss.client.client import Client
from examples.net3_study import make_tasks
from tests.worlds.deployment import TOP, Deployment, deployment, lines_of
from tests.worlds.net3_study import compare, computed_directly
from tests.worlds.waiting import scaled, wait_for

__all__ = ["deployment"]

TASKS = TOP / "tests" / "tasks"
STUDY = TOP / "examples" / "net3_study"


@pytest.mark.parametrize("name", ["legacy.json", "legacy-db-era.json"])
def test_a_legacy_task_file_ends_exactly_as_it_always_did(deployment: Deployment, name: str) -> None:
    done = deployment.push(TASKS / name)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("2 of 5 tasks succeeded, 2 failed, 1 not run (dependencies failed).\n")
    assert deployment.wait_until_alone() == {}  # the boss that the push started has ended with it
    shown = {id: deployment.asked("show_task", id)["task"] for id in "01234"}
    states = {id: task["state"] for id, task in shown.items()}
    assert states == {"0": "failed", "1": "blocked", "2": "failed", "3": "succeeded", "4": "succeeded"}
    assert shown["0"]["reason"].startswith("fetching required files failed: 'no-such-file'")
    assert shown["0"]["reason"].count("no-such-file") == 1
    assert (shown["1"]["attempt"], shown["1"]["reason"]) == (0, "dependencies failed")
    assert "Reason: dependencies failed" in deployment.admin("show_task", "1").stdout
    assert shown["2"]["exit_code"] == 1
    files = {str(path.relative_to(deployment.tree)): path.read_text() for path in visible_files(deployment.tree)}
    assert files == {"intermediate-result": "3.42\n", "TEST_SUCCEEDED": "3.42\n"}
    status = deployment.asked("status")
    assert (status["in_queue"], status["in_progress"], status["succeeded"], status["failed"]) == (0, 0, 2, 3)
    assert_stderr_of_the_second_task_is_seen(deployment)
    said = "ID: 2\tWorker ID: local-1\tWorker address: 127.0.0.1\tExit code: 1\tReason: "
    assert said in deployment.admin("show_failed").stdout


def assert_stderr_of_the_second_task_is_seen(deployment: Deployment) -> None:
    """By `admin.py show_task`, although the boss of the push has ended."""
    assert "End of stderr of attempt 1:\n\ton-stderr" in deployment.admin("show_task", "2").stdout
    attempt = deployment.asked("show_task", "2")["attempts"][0]
    assert attempt["stderr_tail"] == "on-stderr\n" and attempt["exit_code"] == 1


def visible_files(tree: Path) -> list[Path]:
    """The files in the tree but the datastore's own."""
    return [path for path in tree.rglob("*") if path.is_file() and ".ecloud" not in path.parts]


@pytest.mark.timeout(300)
def test_the_study_runs_to_its_picture_and_agrees_with_a_direct_loop(deployment: Deployment) -> None:
    done = deployment.push(STUDY / "tasks.json", timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{make_tasks.BATCHES + 3} of {make_tasks.BATCHES + 3} tasks succeeded." in done.stdout
    results = deployment.tree / make_tasks.HOME
    assert (results / "net3_study.png").read_bytes().startswith(b"\x89PNG")
    if sys.version_info >= (3, 13):
        return  # owa-epanet has no wheel for it, and nothing else computes independently here
    compare(results, *computed_directly(results / "scenarios.csv", deployment.directory / "direct.npz"))


def test_roots_run_in_parallel_on_the_slots(deployment: Deployment) -> None:
    """Each of four tasks waits until all four have begun: one after another, none would ever end."""
    deployment.settings["slots"] = 4
    meeting = deployment.directory / "meeting"
    meeting.mkdir()
    command = f"touch {meeting}/$ECLOUD_TASK_ID; until [ $(ls {meeting} | wc -l) = 4 ]; do sleep 0.1; done"
    path = deployment.write("tasks.json", [{"id": str(n), "commands": command, "timeout": 40} for n in range(4)])
    done = deployment.push(path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("count", [6, 45, 1001])
def test_the_whole_file_arrives_however_many_tasks_it_has(deployment: Deployment, count: int) -> None:
    path = deployment.write("tasks.json", [{"id": f"t{n}", "commands": "true"} for n in range(count)])
    done = deployment.push(path, "--json")
    summary = json.loads(done.stdout)
    assert (done.returncode, summary["new"], summary["counts"]["succeeded"]) == (0, count, count)
    assert deployment.asked("status")["finished"] == count


def test_a_graph_of_ten_thousand_tasks_is_accepted_and_counted_right(deployment: Deployment) -> None:
    graph: list[dict[str, object]] = [{"id": "t0", "commands": "sleep 600"}]
    for n in range(1, 10_000):
        dependencies = sorted({f"t{(n - 1) // 2}", f"t{n // 3}"})
        graph.append({"id": f"t{n}", "commands": "true", "dependencies": dependencies})
    done = deployment.push(deployment.write("tasks.json", graph), "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    wait_for(lambda: deployment.look(Client.status)["in_progress"] == 1, "its root runs")
    status = deployment.asked("status")
    assert (status["in_queue"], status["available"], status["finished"]) == (9_999, 0, 0)
    assert deployment.admin("cancel", "t0").returncode == 0
    assert deployment.wait_until_alone() == {}
    status = deployment.asked("status")
    assert (status["counts"]["cancelled"], status["counts"]["blocked"]) == (1, 9_999)


def test_an_init_task_runs_once_on_each_worker_before_its_first_task(deployment: Deployment) -> None:
    deployment.settings.update(local_workers=3, slots=1)
    log = deployment.directory / "log"
    meeting = deployment.directory / "meeting"
    meeting.mkdir()
    # The first three tasks wait for one another, so that all three workers get one.
    together = f"touch {meeting}/$ECLOUD_TASK_ID; until [ $(ls {meeting} | wc -l) -ge 3 ]; do sleep 0.1; done"
    tasks: list[dict[str, object]] = [{"id": "prepare", "init": True, "commands": f"echo init $ECLOUD_WORKER >> {log}"}]
    tasks += [{"id": f"t{n}", "commands": f"echo task $ECLOUD_WORKER >> {log}; {together}"} for n in range(12)]
    done = deployment.push(deployment.write("tasks.json", tasks))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in lines_of(log)]
    inits = [worker for word, worker in lines if word == "init"]
    assert len(inits) == 3 and len(set(inits)) == 3
    for worker in inits:
        assert next(word for word, its in lines if its == worker) == "init"
    assert len(lines) == 3 + 12


def test_a_running_command_that_is_cancelled_is_killed_with_all_that_it_started(deployment: Deployment) -> None:
    log = deployment.directory / "log"
    path = deployment.write("tasks.json", [{"id": "long", "commands": f"echo began >> {log}; sleep 777 & sleep 777"}])
    push = deployment.start_push(path)
    wait_for(lambda: lines_of(log), "the command has begun")
    assert deployment.pids("command")
    assert deployment.admin("cancel", "long").returncode == 0
    wait_for(lambda: not deployment.pids("command"), "its processes are gone", 30)
    assert push.wait(timeout=scaled(60)) == 1
    assert deployment.asked("show_task", "long")["task"]["state"] == "cancelled"


def test_tasks_that_run_wait_or_ended_are_dropped_and_pushed_again(deployment: Deployment) -> None:
    log = deployment.directory / "log"
    graph = [
        {"id": "made", "commands": f"echo made >> {log}; echo 1 > out", "results": ["out"]},
        {"id": "wrong", "commands": "false"},
        {"id": "below", "commands": f"echo below >> {log}", "dependencies": ["wrong"]},
        {"id": "long", "commands": f"echo long >> {log}; sleep 777"},
    ]
    push = deployment.start_push(deployment.write("tasks.json", graph))
    wait_for(lambda: len(lines_of(log)) == 2, "two tasks have begun")
    wait_for(lambda: deployment.asked("status")["finished"] == 3, "all but one have ended")
    assert deployment.admin("drop_tasks", "--yes").stdout == "1 task being cancelled, 4 tasks dropped.\n"
    wait_for(lambda: not deployment.pids("command"), "what ran is ended", 30)
    assert push.wait(timeout=scaled(60)) == 1
    assert deployment.asked("status")["finished"] == 0 and deployment.asked("ls") == []
    mended = [task | {"commands": f"echo {task['id']} again >> {log}; echo 2 > out"} for task in graph]
    done = deployment.push(deployment.write("tasks.json", mended))
    assert done.returncode == 0 and "4 of 4 tasks succeeded." in done.stdout, done.stdout + done.stderr
    assert sorted(lines_of(log)[2:]) == ["below again", "long again", "made again", "wrong again"]
    assert deployment.asked("show_task", "long")["task"]["attempt"] == 2
    deployment.wait_until_alone()
    boss = deployment.start_boss("--check", wait=False)
    assert boss.wait(timeout=scaled(60)) == 0, deployment.log()


def test_a_killed_worker_process_comes_back_and_its_task_runs_again(deployment: Deployment) -> None:
    log = deployment.directory / "log"
    tasks = [{"id": "once", "commands": f"echo $ECLOUD_ATTEMPT >> {log}; [ $ECLOUD_ATTEMPT = 2 ] || sleep 600"}]
    push = deployment.start_push(deployment.write("tasks.json", tasks))
    wait_for(lambda: lines_of(log), "the task has begun")
    killed = deployment.kill("worker")
    fresh = wait_for(lambda: set(deployment.pids("worker")) - set(killed), "a new worker process", 30)
    assert fresh
    assert push.wait(timeout=scaled(90)) == 0
    assert lines_of(log) == ["1", "2"]
    ended = [attempt["ended"] for attempt in deployment.asked("show_task", "once")["attempts"]]
    assert ended == ["lost", "succeeded"]


def test_each_task_has_a_working_directory_of_its_own_that_is_removed_afterwards(deployment: Deployment) -> None:
    log = deployment.directory / "log"
    tell = f"sleep 0.3; echo $(pwd) $(cat same-name) >> {log}"
    tasks = [
        {"id": str(n), "commands": [f'[ -z "$(ls -A)" ] && echo {n} > same-name', tell, f"[ {n} != 3 ]"]}
        for n in range(4)
    ]
    assert deployment.push(deployment.write("tasks.json", tasks)).returncode == 1
    lines = sorted(lines_of(log), key=lambda line: line.split()[1])
    assert [line.split()[1] for line in lines] == ["0", "1", "2", "3"]
    directories = [Path(line.split()[0]) for line in lines]
    assert len(set(directories)) == 4
    for directory in directories:
        assert directory.is_relative_to(deployment.home / "workers")
    assert deployment.wait_until_alone() == {}
    assert [directory for directory in directories if directory.exists() and any(directory.iterdir())] == []


def test_the_report_of_a_failed_task_has_the_code_of_each_command(deployment: Deployment) -> None:
    commands = ["echo out", "echo err >&2; exit 7", "echo never"]
    path = deployment.write("tasks.json", [{"id": "three", "commands": commands}])
    assert deployment.push(path).returncode == 1
    attempt = deployment.asked("show_task", "three")["attempts"][0]
    assert (attempt["stdout_tail"], attempt["stderr_tail"]) == ("out\n", "err\n")
    assert (attempt["exit_code"], attempt["command"]) == (7, commands[1])
    assert [run["exit_code"] for run in attempt["commands"]] == [0, 7]
    assert "err" in deployment.admin("show_task", "three").stdout


def test_a_result_of_the_project_comes_before_a_file_of_that_name_beside_the_task_file(deployment: Deployment) -> None:
    log = deployment.directory / "log"
    first = [{"id": "make", "commands": "echo made > data.csv", "results": ["data.csv"]}]
    assert deployment.push(deployment.write("first.json", first)).returncode == 0
    deployment.write("data.csv", "lies beside the task file")
    second = [{"id": "use", "commands": f"cat data.csv >> {log}", "requirements": ["data.csv"]}]
    done = deployment.push(deployment.write("second.json", second))
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines_of(log) == ["made"]
    assert "the file `data.csv` was not taken" in done.stderr
    again = deployment.push(deployment.directory / "second.json")
    assert again.returncode == 0 and "1 task: 1 unchanged" in again.stderr


def test_the_log_of_the_boss_is_about_the_boss_and_old_sent_files_that_are_not_needed_are_swept(
    deployment: Deployment,
) -> None:
    spool = deployment.home / "spool"
    spool.mkdir(parents=True, mode=0o700)
    old, fresh = spool / ("0" * 64), spool / ("1" * 64)
    for path, age in ((old, 25 * 3600), (fresh, 3600)):
        path.write_bytes(b"sent")
        os.utime(path, (time.time() - age,) * 2)
    deployment.start_boss()
    wait_for(lambda: not old.exists(), "the old file is removed")
    assert fresh.exists()
    assert {line.split()[3] for line in deployment.log().splitlines()} <= {
        "boss.program:",
        "boss.api.sweep:",
        "boss.embedded.broker:",
    }
