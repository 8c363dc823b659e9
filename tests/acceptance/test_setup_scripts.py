"""The set-up that both of README's commands do: what it finds, what it says, and that it is quick the second time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds.doc_blocks import TOP
from tests.worlds.waiting import scaled

#: Records its arguments; passes for pip.
FAKE_PYTHON = """#!/bin/sh
printf '%s\\n' "$*" >>"$(dirname "$0")/calls"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    directory = tmp_path / "checkout"
    (directory / "scripts").mkdir(parents=True)
    for name in ("scripts/setup.sh", "scripts/fetch_pip.py", "requirements.lock", "requirements-dev.lock"):
        (directory / name).write_bytes((TOP / name).read_bytes())
    return directory


@pytest.fixture
def ready(checkout: Path) -> Path:
    """A checkout whose environment is a fake that remembers how it was called."""
    program = checkout / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(FAKE_PYTHON)
    program.chmod(0o755)
    return checkout


def run(checkout: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ECLOUD_")}
    return subprocess.run(
        ["sh", "-c", f"set -eu\n. scripts/setup.sh\n{script}"],
        cwd=checkout,
        env={**kept, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=scaled(300),
    )


def calls(checkout: Path) -> list[str]:
    file = checkout / ".venv" / "bin" / "calls"
    return file.read_text().splitlines() if file.exists() else []


def installs(checkout: Path) -> list[str]:
    return [line.split("--requirement ")[1] for line in calls(checkout) if "--requirement" in line]


def test_the_second_set_up_does_and_says_nothing(ready: Path) -> None:
    first = run(ready, "set_up_python run")
    assert first.returncode == 0 and "installing" in first.stdout
    done_before = calls(ready)
    second = run(ready, "set_up_python run")
    assert (second.returncode, second.stdout) == (0, "")
    assert calls(ready) == done_before


def test_running_installs_less_than_testing_and_each_only_once(ready: Path) -> None:
    run(ready, "set_up_python run")
    assert installs(ready) == ["requirements.lock"]
    run(ready, "set_up_python dev; set_up_python run; set_up_python dev")
    assert installs(ready) == ["requirements.lock", "requirements-dev.lock"]


def test_a_changed_lock_is_installed_again(ready: Path) -> None:
    run(ready, "set_up_python run")
    with (ready / "requirements.lock").open("a") as file:
        file.write("another==1.0\n")
    run(ready, "set_up_python run")
    assert installs(ready) == ["requirements.lock", "requirements.lock"]


def test_an_installation_that_failed_is_reported_and_tried_again(ready: Path) -> None:
    program = ready / ".venv" / "bin" / "python"
    program.write_text('#!/bin/sh\ncase "$*" in *--requirement*) exit 1;; esac\n')
    for _ in range(2):
        done = run(ready, "set_up_python run; echo went on")
        assert done.returncode == 1
        assert "pip could not install requirements.lock" in done.stdout and "went on" not in done.stdout
    program.write_text(FAKE_PYTHON)
    assert run(ready, "set_up_python run").returncode == 0


def test_without_a_python_it_says_what_to_do(checkout: Path) -> None:
    done = run(checkout, "is_python() { false; }; set_up_python run")
    assert done.returncode == 1
    assert "no Python 3.11 or later was found" in done.stdout and "ECLOUD_PYTHON" in done.stdout


def test_python_versions_with_a_wheel_of_epanet_come_first(checkout: Path, tmp_path: Path) -> None:
    fakes = tmp_path / "fakes"
    fakes.mkdir()
    for name, limit in (("python3", "4,"), ("python3.12", "3, 13")):  # a python3 of 3.13 or later beside a 3.12
        (fakes / name).write_text(f'#!/bin/sh\ncase "$2" in *"< ({limit}))"*) exit 0;; esac\nexit 1\n')
        (fakes / name).chmod(0o755)
    path = f"{fakes}:/usr/bin:/bin"
    assert run(checkout, "find_python", PATH=path).stdout.strip() == str(fakes / "python3.12")


def test_a_chosen_python_is_taken_or_refused_but_never_replaced(checkout: Path) -> None:
    assert run(checkout, "find_python", ECLOUD_PYTHON=sys.executable).stdout.strip() == sys.executable
    done = run(checkout, "set_up_python run", ECLOUD_PYTHON="/nowhere/python")
    assert done.returncode == 1 and "ECLOUD_PYTHON=/nowhere/python: no Python 3.11 or later" in done.stdout


def test_parts_that_cannot_be_installed_are_named_with_the_command(checkout: Path) -> None:
    script = (
        "missing_parts() { printf 'mosquitto rsync'; }; apt_install() { return 1; }; set_up_test_parts; echo went on"
    )
    done = run(checkout, script)
    assert done.returncode == 1 and "went on" not in done.stdout
    assert "sudo apt-get install mosquitto rsync" in done.stdout


def test_missing_parts_are_installed_all_at_once(checkout: Path) -> None:
    script = """
    missing_parts() { [ -e done ] || printf 'mosquitto rsync'; }
    apt_install() { echo "asked for: $*"; touch done; }
    set_up_test_parts
    """
    done = run(checkout, script)
    assert done.returncode == 0 and "asked for: mosquitto rsync\n" in done.stdout


def test_stale_package_lists_are_renewed_once(checkout: Path) -> None:
    script = """
    may_be_root() { true; }
    apt_get() { echo "apt-get $*"; case $1 in update) touch fresh;; esac; [ -e fresh ]; }
    apt_install one two
    """
    lines = [
        line for line in run(checkout, script, PATH=os.environ["PATH"]).stdout.splitlines() if "set-up" not in line
    ]
    install = "apt-get install --no-install-recommends one two"
    assert lines == [install, "apt-get update", install]


@pytest.mark.timeout(300)
def test_without_the_venv_module_an_environment_is_made_all_the_same(checkout: Path) -> None:
    """Asks the package index, as every first set-up does."""
    (checkout / "requirements.lock").write_text("six\n")
    script = "has_venv() { false; }; apt_install() { false; }; set_up_python run"
    done = run(checkout, script, ECLOUD_PYTHON=sys.executable)
    assert done.returncode == 0, done.stdout
    python = checkout / ".venv" / "bin" / "python"
    asked = subprocess.run(
        [python, "-c", "import six, sys; print(sys.prefix)"], stdout=subprocess.PIPE, text=True, check=True
    )
    assert asked.stdout.strip() == str(checkout / ".venv")
