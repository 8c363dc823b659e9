"""The first and the last step of a command: settings and login files that are wrong, and output that goes nowhere."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from boss.cli.command import ExitCode
from boss.client.find import boss_of
from boss.state_directory.known_deployment import FILE
from boss.state_directory.tokens import TOKEN_FILE
from tests.worlds.deployment import TOP, Deployment, deployment
from tests.worlds.waiting import scaled, wait_for

__all__ = ["deployment"]

TASKS = [{"id": "a", "commands": "echo done"}]


def test_a_token_of_the_settings_works_with_the_boss_beside_it_and_so_do_commands_without_it(
    deployment: Deployment,
) -> None:
    tasks = deployment.write("tasks.json", TASKS)
    deployment.settings["token"] = "one-of-the-settings"
    deployment.start_boss()
    pushed = deployment.push(tasks)
    assert pushed.returncode == ExitCode.OK, pushed.stderr
    for token in ("another-one", ""):  # empty: not set
        deployment.settings["token"] = token
        assert [task["id"] for task in deployment.asked("show_succeeded")] == ["a"]


@pytest.mark.parametrize("torn", [b"", b"\0\0\0\0\0\0\0\0"])
def test_login_files_that_are_empty_or_torn_are_made_again(deployment: Deployment, torn: bytes) -> None:
    tasks = deployment.write("tasks.json", TASKS)
    boss = deployment.start_boss()
    assert deployment.push(tasks).returncode == ExitCode.OK
    boss.terminate()
    boss.wait(timeout=scaled(60))
    files = sorted((deployment.home / "logins").iterdir())
    assert deployment.home / TOKEN_FILE in files and len(files) >= 4
    for file in files:
        file.write_bytes(torn)
    pushed = deployment.push(deployment.write("tasks.json", [{"id": "b", "commands": "true"}]))
    assert pushed.returncode == ExitCode.OK, pushed.stderr
    assert all(len(file.read_text().strip()) > 20 for file in files)


@pytest.mark.parametrize("command", ["push", "admin"])
def test_no_word_of_a_password_is_printed_where_the_databases_address_is_wrong(
    deployment: Deployment, command: str
) -> None:
    deployment.home.mkdir(mode=0o700, exist_ok=True)
    tasks = deployment.write("tasks.json", TASKS)
    for address in ("mysql://user:geh@ei/x:m@host/name", "mysql://user:geh@ei:m@host/name"):
        deployment.settings["database"] = address
        done = deployment.push(tasks) if command == "push" else deployment.admin("status")
        assert done.returncode == ExitCode.NO_BOSS
        assert "the database's address" in done.stderr and "%40" in done.stderr
        assert not any(word in done.stderr + done.stdout + deployment.log() for word in ("Traceback", "geh", "ei:m"))


def test_a_task_file_without_an_end_is_refused_with_a_sentence(deployment: Deployment) -> None:
    done = deployment.push("/dev/zero", "--check")
    assert done.returncode == ExitCode.BAD_INPUT
    assert done.stderr.splitlines()[-1].strip() == "/dev/zero: is a device, not a task file"


def test_an_emptied_database_is_refused_with_both_ids_until_it_is_reset(deployment: Deployment) -> None:
    tasks = deployment.write("tasks.json", TASKS)
    assert deployment.push(tasks).returncode == ExitCode.OK
    wait_for(lambda: boss_of(deployment.home) is None, "the boss of the push has ended")
    known = (deployment.home / FILE).read_text().strip()
    for file in deployment.home.glob("ecloud.sqlite*"):
        file.unlink()
    looked = deployment.admin("status")
    assert looked.returncode == ExitCode.NO_BOSS and "is not there" in looked.stderr and known in looked.stderr
    for command in (lambda: deployment.push(tasks), lambda: deployment.admin("status")):
        done = command()
        assert done.returncode == ExitCode.NO_BOSS and "Traceback" not in done.stderr
        ids = set(re.findall(r"deployment ([0-9a-f]{32})", done.stderr))
        assert len(ids) == 2 and known in done.stderr and "--reset" in done.stderr, done.stderr
    assert (deployment.home / FILE).read_text().strip() == known
    deployment.start_boss("--reset")
    assert deployment.push(tasks).returncode == ExitCode.OK
    assert (deployment.home / FILE).read_text().strip() != known


@pytest.mark.parametrize(
    ("redirection", "code"),
    [(">&-", ExitCode.OK), ("2>&-", ExitCode.OK), (">&- 2>&-", ExitCode.OK), (">/dev/full", ExitCode.NO_BOSS),
     ("2>/dev/full", ExitCode.OK), ("| true", ExitCode.OK)],
)  # fmt: skip
@pytest.mark.parametrize("program", ["push_tasks.py tasks.json", "admin.py show_succeeded --json"])
def test_output_that_goes_nowhere_changes_nothing_of_what_is_done(
    deployment: Deployment, program: str, redirection: str, code: ExitCode
) -> None:
    deployment.write("tasks.json", TASKS)
    deployment.start_boss()
    script = f"set -o pipefail; exec 3>&2; {sys.executable} {TOP}/{program} {redirection}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=deployment.directory,
        env=deployment.environment(),
        capture_output=True,
        text=True,
        timeout=scaled(60),
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if redirection == ">/dev/full":
        assert "the output could not be written (No space left on device)" in done.stderr
    if program.startswith("push"):
        assert [task["id"] for task in deployment.asked("show_succeeded")] == ["a"]


def test_an_encoding_without_our_characters_shows_them_escaped(deployment: Deployment) -> None:
    tasks = deployment.write("tasks.json", [{"id": "größe", "commands": "true"}])
    assert deployment.push(tasks).returncode == ExitCode.OK
    shown = subprocess.run(
        [sys.executable, str(TOP / "admin.py"), "show_succeeded"],
        cwd=deployment.directory,
        env={**deployment.environment(), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=scaled(60),
    )
    assert shown.returncode == ExitCode.OK and rb"gr\xf6\xdfe" in shown.stdout, shown.stderr
