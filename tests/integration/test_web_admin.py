"""admin.py where no boss runs: it reads the state directory, changes it in one turn, and leaves it to the next boss."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import admin
from boss.core.events import Submitted
from boss.core.model import TaskState
from boss.core.policy import Policy
from boss.core.rows import AttemptRow, Changes, InstanceRow, Known, ResultRow, TaskRow, WorkerRow
from boss.core.scheduler import Scheduler
from boss.database import Database
from boss.database.store import DatabaseStore
from boss.intake.collector import Collector
from boss.intake.reader import encode_stream, read_file
from boss.turn import decide, record
from tests.worlds.digests import digest
from tests.worlds.waiting import scaled

TOP = Path(__file__).resolve().parents[2]
TASKS = """[
  {"id": "0", "commands": ["echo on-stderr >&2; exit 3"]},
  {"id": "1", "commands": "cat x", "dependencies": ["0"]},
  {"id": "2", "commands": ["true", "sleep 5"], "dependencies": []},
  {"id": "3", "commands": ["sleep 9"]}
]"""


@pytest.fixture
def state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Task 0 failed, so 1 is blocked; 2 is running on a worker; 3 is queued. Its boss is gone."""
    path = tmp_path / ".ecloud"
    path.mkdir()
    (tmp_path / "tasks.json").write_text(TASKS)
    database = Database.open(f"sqlite:///{path / 'ecloud.sqlite'}")
    database.take_over("a-host", 1)
    store, scheduler = DatabaseStore(database, path / "spool"), Scheduler(Policy())
    scheduler.restore(store.load(), 1.0, 1000.0)
    collector = Collector()
    for chunk in encode_stream(read_file(tmp_path / "tasks.json")):
        collector.feed(chunk)
    submission = collector.finish()
    pushed = Submitted(submission=submission, known=Known())
    decided = decide(scheduler, store, [pushed], 1.0, 1000.0, settle=Scheduler.settle_rows)
    record(decided, store, 1000.0)
    batch = decided.changes.accepted[0].batch
    batch.counts = [0, 1, 1, 0, 1, 0, 1]
    states = {0: TaskState.FAILED, 1: TaskState.BLOCKED, 2: TaskState.RUNNING}
    rows = {batch.first + at: _task(batch.first + at, state) for at, state in states.items()}
    attempts = {(batch.first, 1): _failed(batch.first), (batch.first + 2, 1): _running(batch.first + 2)}
    worker = WorkerRow("local-1", "i1", "online", "local", 2, 0, {}, b"", "127.0.0.1")
    turn = Changes(tasks=rows, attempts=attempts, batches={batch.number: batch}, workers={"local-1": worker})
    store.commit(turn, 1001.0)
    database.close()
    monkeypatch.setenv("ECLOUD_HOME", str(path))
    return path


def _task(number: int, state: TaskState) -> TaskRow:
    attempt = 0 if state == TaskState.BLOCKED else 1
    reason = "dependencies failed" if state == TaskState.BLOCKED else ""
    return TaskRow(number, state, attempt, 0, 0, reason, False, 1001.0)


def _failed(task: int) -> AttemptRow:
    row = AttemptRow(task, 1, "local-1", "i1", "executing", "failed", "exit code 3 of command 1", "task", 3)
    row.command, row.stderr_tail, row.seconds, row.ended_at = "echo on-stderr >&2; exit 3", "on-stderr\n", 0.1, 1001.0
    row.commands = b'[{"command":"echo on-stderr >&2; exit 3","exit_code":3,"seconds":0.1}]'
    return row


def _running(task: int) -> AttemptRow:
    return AttemptRow(task, 1, "local-1", "i1", "executing", began_at=1000.5)


def run(*arguments: str, code: int = 0) -> Result:
    """Runs admin.py in this process."""
    result = CliRunner().invoke(admin.app, list(arguments))
    assert result.exit_code == code, (result.output, result.exception)
    return result


def as_json(*arguments: str) -> object:
    return json.loads(run(*arguments, "--json").stdout)


def test_status_has_the_four_lines_and_says_that_nothing_goes_on(state_directory: Path) -> None:
    assert run("status").stdout.splitlines() == [
        "1 workers created.",
        "1 tasks in queue of which 1 are currently available.",
        "1 tasks in progress.",
        "2 tasks finished. 0 succeeded and 2 failed.",
        "No boss is running: nothing goes on until `push_tasks.py` or `python -m boss` starts one.",
    ]
    status = as_json("status")
    assert isinstance(status, dict) and status["running"] is False


def test_each_list_shows_its_tasks(state_directory: Path) -> None:
    assert run("show_queued").stdout == "ID: 3\n\tsleep 9\n"
    in_progress = "Task 2 is being performed by local-1 (127.0.0.1)\n\ttrue\n\tsleep 5\n"
    assert run("show_in_progress").stdout == in_progress
    assert run("show_succeeded").stdout == ""
    assert run("show_failed").stdout.splitlines() == [
        "ID: 0\tWorker ID: local-1\tWorker address: 127.0.0.1\tExit code: 3\tReason: exit code 3 of command 1",
        "\techo on-stderr >&2; exit 3",
        "ID: 1\tExit code: \tReason: dependencies failed",
        "\tcat x",
    ]
    assert "Doing: 2  Persistent: False" in run("show_workers").stdout
    assert run("show_batches").stdout.startswith("Batch 1 tasks (project default): unfinished, 2/4 done, 1 running")


def test_one_task_is_shown_with_the_end_of_its_stderr(state_directory: Path) -> None:
    shown = run("show_task", "0").stdout
    assert "Status: failed" in shown
    assert "[3] 0.10 s  echo on-stderr" in shown
    assert shown.endswith("End of stderr of attempt 1:\n\ton-stderr\n")
    assert "Success: False\tExit code: 3" in run("show_task_status", "0").stdout
    assert run("show_task_dependencies", "1").stdout == "0\n"
    assert run("show_task_commands", "2").stdout.splitlines()[:2] == ["run\ttrue", "run\tsleep 5"]


@pytest.mark.parametrize(
    "arguments",
    [
        *(["status"], ["show_workers"], ["show_queued"], ["show_in_progress"], ["show_succeeded"], ["show_failed"]),
        *(["show_batches"], ["show_task", "0"], ["show_task_status", "0"], ["show_task_dependencies", "1"]),
        *(
            ["show_task_commands", "2"],
            ["settings"],
            ["scaling"],
            ["retry_failed"],
            ["redo_task", "0"],
            ["cancel", "3"],
        ),
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_command_prints_json_on_request(state_directory: Path, arguments: list[str]) -> None:
    assert isinstance(as_json(*arguments), dict | list)


def test_every_command_has_help_with_an_example() -> None:
    for command in admin.app.registered_commands:
        assert command.name is not None
        assert f"Example: admin.py {command.name}" in run(command.name, "--help").stdout


def test_retry_puts_failed_tasks_and_what_they_blocked_back(state_directory: Path) -> None:
    done = run("retry_failed").stdout
    assert done.startswith("1 task queued to run again.\nNo boss is running here")
    assert "2 are currently available" in run("status").stdout  # 0 and 3; 1 waits for 0 again
    detail = as_json("show_task", "1")
    assert isinstance(detail, dict) and detail["task"]["state"] == "pending"
    assert run("retry_failed").stdout == "There is nothing to do.\n"


def test_a_change_requeues_and_ends_nothing_else(state_directory: Path) -> None:
    before = as_json("show_task", "2")
    run("retry_failed", "0")
    assert as_json("show_task", "2") == before
    database = Database.open_to_read(f"sqlite:///{state_directory / 'ecloud.sqlite'}")
    assert database.reads.instances() == []
    database.close()


def test_cancel_takes_the_queued_and_marks_the_running_for_the_next_boss(state_directory: Path) -> None:
    done = run("cancel", "--all").stdout
    assert done.startswith("2 tasks cancelled, 1 task being cancelled.")
    assert "1 tasks in progress." in run("status").stdout
    database = Database.open(f"sqlite:///{state_directory / 'ecloud.sqlite'}")
    database.take_over("next", 2)
    (batch,) = database.load().batches
    database.close()
    assert batch.cancelling == {batch.row.first + 2}


def test_tasks_are_dropped_by_state_id_or_all(state_directory: Path) -> None:
    assert run("drop_tasks", "failed", "blocked").stdout == "2 tasks dropped.\n"
    assert as_json("show_failed") == []
    assert "there is no task '0'" in run("show_task", "0", code=2).stderr
    assert run("drop_tasks", "--task", "3").stdout == "1 task dropped.\n"
    assert run("drop_tasks", "2").stdout == "There is nothing to do.\n"
    done = run("drop_tasks", code=2).stderr
    assert done == (
        "Error: Drop all tasks of all projects (1 task)? There is no terminal to confirm on: give --yes, or "
        "name states, --task, --batch or --project\n"
    )
    assert run("drop_tasks", "--yes").stdout.startswith("1 task being cancelled, 1 task dropped.\n")
    assert as_json("show_batches") == []


def test_redo_runs_an_ended_task_again(state_directory: Path) -> None:
    assert run("redo_task", "0").stdout.startswith("1 task queued to run again.")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["show_task", "nope"], "there is no task 'nope'"),
        (["redo_task", "0", "nope"], "there is no task 'nope'"),
        (["cancel"], "name tasks"),
        (["cancel", "--all", "3"], "not both"),
        (["cancel", "--batch", "9"], "there is no batch 9"),
        (["drop_tasks", "faild"], "'faild' is no state of a task"),
        (["drop_tasks", "--task", "nope"], "there is no task 'nope'"),
        (["show_failed", "--batch", "9"], "there is no batch 9"),
        (["show_task", ".."], "there is no task '..'"),
        (["show_task", "a/../b?c#d%2e"], "there is no task 'a/../b?c#d%2e'"),
        (["drain", "../a b#/drain"], "there is no worker '../a b#/drain'"),
        (["statsu"], "Did you mean"),
        (["show_task"], "Missing argument"),
        (["status", "--jsn"], "No such option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_a_clear_error_with_exit_code_2(
    state_directory: Path, arguments: list[str], word: str
) -> None:
    assert word in run(*arguments, code=2).stderr


def test_every_command_refuses_an_option_that_it_has_not(state_directory: Path) -> None:
    for command in admin.app.registered_commands:
        assert "No such option: --nope" in run(str(command.name), "--nope", code=2).stderr


def test_a_login_of_an_odd_name_is_asked_of_a_running_boss(state_directory: Path) -> None:
    for more in ([], ["--remove"]):
        assert "only a running boss does this" in run("login", "a b/#", *more, code=3).stderr


def test_pools_are_shown_from_the_settings_and_the_database(
    state_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECLOUD_LOCAL_WORKERS", "1")
    (state_directory / "settings.toml").write_text('[pools.cloud]\nprovider = "paper"\nmax = 7\nvm_hours_month = 9\n')
    database = Database.open(f"sqlite:///{state_directory / 'ecloud.sqlite'}")
    database.take_over("a-host", 1)
    now = time.time()
    rows = [
        InstanceRow(1, "cloud-1", "cloud", "paper", "gone", requested_at=now - 7200, changed_at=now - 3600),
        InstanceRow(2, "cloud-2", "cloud", "paper", "booting", "vm 7", address="10.0.0.2", requested_at=now),
        InstanceRow(3, "old-3", "old", "paper", "running", keep_alive=True, requested_at=now),
    ]
    database.commit(Changes(instances={row.number: row for row in rows}), now)
    database.close()
    shown = run("scaling").stdout
    assert "Pool local (local): no instances; at least 1, at most 1\n\tPlan: the settings keep it at 1\n" in shown
    assert "Pool cloud (paper): 1 booting; at least 0, at most 7\n\tPlan: no boss runs that would decide\n" in shown
    assert "Spent in 30 days: 1.00 worker-hours; the budget leaves 8.00" in shown
    assert "Pool old (paper): 1 running;" in shown and "pool 'old' is no longer in the settings" in shown
    only = as_json("scaling", "--pool", "cloud")
    assert isinstance(only, list) and [pool["name"] for pool in only] == ["cloud"]
    assert "there is no pool 'clod' (there are: local, cloud, old)" in run("scaling", "--pool", "clod", code=2).stderr
    listed = run("show_workers").stdout
    assert "ID: cloud-2  IP: 10.0.0.2  Doing: nothing  Persistent: False  State: booting\n" in listed
    assert "ID: old-3  IP:   Doing: nothing  Persistent: True  State: running\n" in listed


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["instantiate_worker", "2"], 3, "only a running boss does this"),
        (["terminate_workers", "--yes"], 3, "only a running boss does this"),
        (["drop_workers"], 3, "only a running boss does this"),
        (["add_worker", "lab"], 3, "only a running boss does this"),
        (["add_worker", "datastore"], 2, "the datastore is no worker"),
        (["instantiate_worker", "0"], 2, "Invalid value for 'N'"),
        (["instantiate_worker", "two"], 2, "Invalid value for 'N'"),
        (["instantiate_worker", "2", "for_ever"], 2, "only keep_alive may follow the number"),
        (["drop_workers", "--all", "w1"], 2, "not both"),
        (["terminate_workers_by_template"], 2, "Did you mean"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_users_ask_of_pools_requires_a_running_boss_and_sense(
    state_directory: Path, arguments: list[str], code: int, word: str
) -> None:
    assert word in run(*arguments, code=code).stderr


def test_while_a_boss_is_starting_a_change_is_refused_and_reading_works(state_directory: Path) -> None:
    descriptor = os.open(state_directory / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert "try again" in run("retry_failed", code=3).stderr
        run("status")
    finally:
        os.close(descriptor)


def test_a_state_directory_without_a_database_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ecloud").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run("status").stdout.startswith("0 workers created.\n0 tasks in queue")
    assert run("show_workers").stdout == ""
    assert "there is nothing to change" in run("retry_failed", code=3).stderr


def test_without_a_state_directory_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECLOUD_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert "there is no .ecloud" in run("status", code=3).stderr
    assert "http_port" in run("settings").stdout


def test_results_are_listed_fetched_and_summed_up_without_a_boss(state_directory: Path, tmp_path: Path) -> None:
    content = b"0123456789" * 500_000
    wanted = digest(content)
    database = Database.open(f"sqlite:///{state_directory / 'ecloud.sqlite'}")
    database.take_over("a-host", 1)
    row = ResultRow("default", "out/large\n.bin", 1, 1, wanted, len(content))
    database.commit(Changes(results={("default", row.name): row}), 1002.0)
    database.close()
    target = tmp_path / "ecloud-data" / row.name
    target.parent.mkdir(parents=True)
    target.write_bytes(content)
    assert run("ls", "out").stdout == "out/large\\n.bin\n"
    assert as_json("get", "**", str(tmp_path / "here")) == {
        "fetched": 1, "there": 0, "bytes": len(content), "failed": [], "directory": str(tmp_path / "here"),
        "exit_code": 0,
    }  # fmt: skip
    assert (tmp_path / "here" / row.name).read_bytes() == content
    usage = as_json("du")
    assert isinstance(usage, dict) and usage["."]["bytes"] == len(content)


def test_settings_show_origin_and_hide_secrets(state_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLOUD_TOKEN", "do-not-show")
    shown = run("settings").stdout
    assert "do-not-show" not in shown
    assert "ECLOUD_TOKEN in the environment" in shown
    monkeypatch.setenv("ECLOUD_HTTP_PORT", "many")
    assert "ECLOUD_HTTP_PORT" in run("settings", code=2).stderr


def test_it_answers_soon_and_imports_no_heavy_package(state_directory: Path) -> None:
    script = (
        "import sys, admin, typer.testing\n"
        "result = typer.testing.CliRunner().invoke(admin.app, ['status'])\n"
        "assert result.exit_code == 0, result.output\n"
        "heavy = {'pyarrow', 'networkx', 'alembic', 'numpy', 'paho', 'amqtt', 'paramiko', 'matplotlib'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], cwd=TOP, capture_output=True, text=True, timeout=scaled(60))
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - began < scaled(30)


def test_a_python_without_the_packages_is_reported_with_the_set_up_command(tmp_path: Path) -> None:
    environment = {"ECLOUD_VENV": str(tmp_path / "none"), "PATH": os.environ["PATH"]}
    for program in ("admin.py", "push_tasks.py"):
        # -S leaves site-packages out, as in a fresh checkout.
        command = [sys.executable, "-S", str(TOP / program), "--help"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=scaled(60), env=environment)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "run_example.sh" in done.stderr
