"""Mistakes of single tasks with real programs: they fail by their name, and every other task runs."""

from __future__ import annotations

import pytest

from boss.cli.command import ExitCode
from tests.worlds.deployment import Deployment, deployment

__all__ = ["deployment"]

SOCKET = "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"out\")'"
LINKED = 'cd .. && mv work mine && mkdir other && echo x > other/out && ln -s "$PWD/other" work'
MISTAKES = {
    "socket": (SOCKET, "result 'out' cannot be read: No such device or address"),
    "fifo": ("mkfifo out", "result 'out' is not a regular file"),
    "linked": (LINKED, "the task has removed its working directory, or put something else in its place"),
    "removed": ("rm -rf ../work", "the task has removed its working directory, or put something else in its place"),
    "loop": ("ln -s out out", "result 'out' is a symbolic link to nothing"),
}


@pytest.mark.timeout(120)
def test_tasks_that_leave_no_results_fail_and_set_nothing_aside(deployment: Deployment) -> None:
    bad = [
        {"id": f"{kind}-{number}", "commands": [command], "results": [["out", f"{kind}{number}"]]}
        for number in range(3)
        for kind, (command, _) in MISTAKES.items()
    ]
    honest = [{"id": f"h{number}", "commands": ["echo x > out"], "results": [["out", f"h{number}"]]}
              for number in range(30)]  # fmt: skip
    done = deployment.push(deployment.write("tasks.json", bad + honest), timeout=100)
    assert done.returncode == ExitCode.TASKS_FAILED, done.stdout + done.stderr
    assert sorted(path.name for path in deployment.tree.glob("h*")) == sorted(f"h{number}" for number in range(30))
    for kind, (_, why) in MISTAKES.items():
        task = deployment.asked("show_task", f"{kind}-1")
        assert task["task"]["state"] == "failed" and why in task["task"]["reason"], task
        assert len(task["attempts"]) == 1, "not tried again"
    events = deployment.admin("events", "--json").stdout
    assert "quarantined" not in events
