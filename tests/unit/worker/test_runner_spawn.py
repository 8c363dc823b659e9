"""How a command becomes an argument list and an environment, and whom a failed start is blamed on."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from tests.worlds.agent import run
from worker.runner.sessions import Sessions, read_sessions
from worker.runner.spawn import arguments_of, base_environment, blame, mark_of, task_environment

ROOT = Path(__file__).resolve().parents[3]


def test_a_line_goes_to_the_shell_and_a_list_is_taken_as_it_is() -> None:
    assert arguments_of("echo $HOME", None, "/x", 0) == ["/bin/sh", "-c", "echo $HOME"]
    assert arguments_of(["echo", "$HOME"], None, "/x", 0) == ["echo", "$HOME"]


def test_a_very_long_line_goes_through_a_file(tmp_path: Path) -> None:
    line = "echo ä" * 40_000
    arguments = arguments_of(line, None, str(tmp_path), 3)
    assert arguments == ["/bin/sh", f"{tmp_path}/command-3.sh"]
    assert (tmp_path / "command-3.sh").read_text(encoding="utf-8") == line


def test_a_limit_of_memory_is_set_by_the_shell_before_the_command_begins() -> None:
    arguments = arguments_of(["prog", "a b"], 4096 * 1024, "/x", 0)
    assert arguments[:2] == ["/bin/sh", "-c"]
    assert arguments[3:] == ["4096", "prog", "a b"]


def test_the_environment_has_the_tasks_words_and_none_of_the_agents() -> None:
    environ = {"PATH": "/bin", "ECLOUD_WORKER_PASSWORD_FILE": "secret", "HOME": "/h", "PYTHONPATH": f"{ROOT}:/p"}
    base = base_environment(environ, "/module")
    assert "ECLOUD_WORKER_PASSWORD_FILE" not in base
    assert base["PATH"] == f"{os.path.dirname(sys.executable)}:/bin"
    assert base["PYTHONPATH"] == "/module:/p"
    environment = task_environment(base, run(7, attempt=2, inits=[]), "w1", mark_of("/home"))
    assert (environment["ECLOUD_TASK"], environment["ECLOUD_ATTEMPT"], environment["ECLOUD_TASK_ID"]) == (
        "7",
        "2",
        "t7",
    )
    assert (environment["ECLOUD_WORKER"], environment["ECLOUD_PROJECT"], environment["ECLOUD_BATCH"]) == (
        "w1",
        "default",
        "1",
    )


def test_a_tasks_own_variables_cannot_hide_its_mark() -> None:
    environment = task_environment({}, run(7, env={"ECLOUD_MARK": "x", "A": "b=c"}), "w1", mark_of("/home"))
    assert environment["ECLOUD_MARK"] == "/home:7.1"
    assert environment["A"] == "b=c"


def test_who_is_to_blame_for_a_failed_start() -> None:
    assert blame(FileNotFoundError(errno.ENOENT, "no", "prog"), "/work") == 127
    assert blame(PermissionError(errno.EACCES, "no", "prog"), "/work") == 126
    assert blame(ValueError("embedded null byte"), "/work") == 126
    assert blame(FileNotFoundError(errno.ENOENT, "no", "/work"), "/work") is None
    assert blame(OSError(errno.EAGAIN, "no"), "/work") is None


def test_sessions_on_record_are_those_begun_and_not_ended(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "sessions")
    sessions.began(10, 1000)
    sessions.began(11, 1001)
    sessions.ended([10])
    sessions.began(10, 2000)
    sessions.close()
    with (tmp_path / "sessions").open("a") as file:
        file.write("77 12")
    assert read_sessions(tmp_path / "sessions") == {11: 1001, 10: 2000}
    assert read_sessions(tmp_path / "none") == {}
