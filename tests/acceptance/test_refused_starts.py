"""Starts that cannot be: a sentence and an exit code, never a traceback, and nothing that ran before is disturbed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from boss.cli.command import ExitCode
from tests.worlds.deployment import TOP, Deployment, deployment
from tests.worlds.parts import need
from tests.worlds.waiting import scaled, wait_for

__all__ = ["deployment"]

GOOD = [{"id": "good", "commands": ["true"]}]
OTHER_USER = 65534


def boss(deployment: Deployment, *before: str) -> subprocess.CompletedProcess[str]:
    """`python -m boss` that is expected to end automatically; `before` stands before the command."""
    return subprocess.run(
        [*before, sys.executable, "-P", "-m", "boss"],
        cwd=deployment.directory,
        env={**deployment.environment(), "PYTHONPATH": str(TOP), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    output = done.stdout + done.stderr
    assert done.returncode == ExitCode.NO_BOSS, output
    assert not [word for word in words if word not in output], output
    assert "Traceback" not in output, output


def test_a_second_boss_is_refused_and_the_first_one_goes_on(deployment: Deployment) -> None:
    first = deployment.start_boss()
    assert_refused(boss(deployment), "a boss runs on the state directory", f"process {first.pid}", "http://127.0.0.1:")
    assert deployment.push(deployment.write("tasks.json", GOOD)).returncode == ExitCode.OK


def test_a_taken_http_port_is_reported_with_the_settings_that_choose_it(deployment: Deployment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = deployment.settings["http_port"] = taken.getsockname()[1]
        assert_refused(boss(deployment), f"127.0.0.1:{port}", "in use", "http_port")
        done = deployment.push(deployment.write("tasks.json", GOOD))
        assert_refused(done, "the boss that was started ended", f"127.0.0.1:{port}")
    assert deployment.wait_until_alone() == {}
    assert deployment.push("tasks.json").returncode == ExitCode.OK


def test_a_kept_port_that_another_program_has_taken_is_given_up(deployment: Deployment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        deployment.home.mkdir(mode=0o700)
        (deployment.home / "http_port").write_text(f"{taken.getsockname()[1]}\n")
        assert deployment.push(deployment.write("tasks.json", GOOD)).returncode == ExitCode.OK


def test_a_database_file_that_is_garbage_is_reported_and_left_as_it_is(deployment: Deployment) -> None:
    deployment.home.mkdir(mode=0o700)
    path = deployment.home / "ecloud.sqlite"
    path.write_bytes(os.urandom(50_000))
    before = path.read_bytes()
    assert_refused(boss(deployment), str(path), "no SQLite database")
    assert_refused(deployment.push(deployment.write("tasks.json", GOOD)), str(path), "no SQLite database")
    assert_refused(deployment.admin("status"), str(path), "no SQLite database")
    assert path.read_bytes() == before
    path.unlink()
    assert deployment.push("tasks.json").returncode == ExitCode.OK


def test_a_boss_file_that_is_stale_or_damaged_counts_as_none(deployment: Deployment) -> None:
    deployment.home.mkdir(mode=0o700)
    stale = '{"pid": 1, "start_time": 5, "url": "http://127.0.0.1:9"}'
    for left in ("garbage", '{"pid": 99999999}', "[" * 100_000, "", stale):
        (deployment.home / "boss.json").write_text(left)
        status = deployment.admin("status")
        assert status.returncode == ExitCode.OK, status.stderr
    assert deployment.push(deployment.write("tasks.json", GOOD)).returncode == ExitCode.OK


def test_invalid_settings_are_reported_all_at_once(deployment: Deployment) -> None:
    deployment.home.mkdir(mode=0o700)
    (deployment.home / "settings.toml").write_text('slots = "many"\nslot = 3\n')
    words = ("settings.toml, line 1: slots", "settings.toml, line 2: there is no setting 'slot'")
    deployment.settings.clear()
    assert_refused(boss(deployment), *words)
    for done in (deployment.push(deployment.write("tasks.json", GOOD)), deployment.admin("status")):
        assert done.returncode == ExitCode.BAD_INPUT and "Traceback" not in done.stderr
        assert not [word for word in words if word not in done.stderr], done.stderr


def status_lines(deployment: Deployment) -> str:
    return "\n".join(line for line in deployment.admin("status").stdout.splitlines() if "ended and is started" in line)


@pytest.fixture
def outsider(deployment: Deployment) -> Iterator[list[str]]:
    """Words before a command that make it another user's, who may go where the test's directories are."""
    if os.geteuid() != 0:
        pytest.fail("this test takes another user's part: run it as root")
    for directory in (deployment.directory, *deployment.directory.parents):
        if not directory.stat().st_mode & 1:
            directory.chmod(directory.stat().st_mode | 0o011)
    yield [need("setpriv"), f"--reuid={OTHER_USER}", f"--regid={OTHER_USER}", "--clear-groups"]


@pytest.mark.needs("setpriv")
def test_a_directory_without_permission_is_reported_with_the_way_out(
    deployment: Deployment, outsider: list[str]
) -> None:
    deployment.write("tasks.json", GOOD)
    push = [*outsider, sys.executable, str(TOP / "push_tasks.py"), "tasks.json"]

    def pushed() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            push,
            cwd=deployment.directory,
            env={**deployment.environment(), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=scaled(60),
            check=False,
        )

    assert_refused(pushed(), "cannot be made: Permission denied", "Set ECLOUD_HOME")
    assert_refused(boss(deployment, *outsider), "cannot be made: Permission denied", "Set ECLOUD_HOME")
    deployment.home.mkdir(mode=0o755)
    assert_refused(pushed(), "you may not write into the state directory", "Set ECLOUD_HOME")
    assert_refused(boss(deployment, *outsider), "you may not write into the state directory", "Set ECLOUD_HOME")
    assert list(deployment.home.iterdir()) == []
    assert deployment.push("tasks.json").returncode == ExitCode.OK


def test_a_datastore_tree_without_permission_is_reported_in_status(deployment: Deployment) -> None:
    """The datastore's program cannot start: tasks without files run, `status` says why the others wait."""
    deployment.tree.write_text("a file, no directory")
    deployment.start_boss()
    assert deployment.push(deployment.write("tasks.json", GOOD)).returncode == ExitCode.OK
    words = f"{deployment.tree}"
    wait_for(lambda: words in status_lines(deployment), "status says it")
    log = deployment.log("datastore")
    assert "Traceback" not in log and str(deployment.tree) in log, log


def test_damaged_files_of_a_worker_and_of_the_datastore_are_reported_and_the_push_goes_on(
    deployment: Deployment,
) -> None:
    """The worker goes on without what it cannot read; the datastore says which file to move away."""
    deployment.write("in.txt", "x")
    task = {"id": "a", "commands": ["cp in.txt out"], "requirements": ["in.txt"], "results": ["out"]}
    assert deployment.push(deployment.write("tasks.json", [task])).returncode == ExitCode.OK
    assert deployment.wait_until_alone() == {}
    index = deployment.tree / ".ecloud" / "index.sqlite"
    home = deployment.home / "workers" / "local-1"
    damaged = [index, *(path for path in home.rglob("*") if path.is_file())]
    for path in damaged:
        path.chmod(0o600)
        path.write_bytes(os.urandom(5000))
    again = deployment.start_push("tasks.json", "--project", "again")
    wait_for(lambda: f"index {index} cannot be used" in status_lines(deployment), "status says it")
    for path in index.parent.glob("index.sqlite*"):
        path.unlink()
    assert again.wait(scaled(60)) == ExitCode.OK
    assert (deployment.tree / "projects" / "again" / "out").read_text() == "x"
