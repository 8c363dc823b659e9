"""The files that an administrator copies: they are well formed and speak of programs that there are."""

from __future__ import annotations

import configparser
import importlib.util
import subprocess
from pathlib import Path

import pytest

from boss.api.schema import LOGIN_FOLDER
from boss.bootstrap.addresses import Addresses
from boss.bootstrap.login_files import datastore_files, worker_files
from tests.worlds.waiting import scaled

ADDRESSES = Addresses("d", "ecloud", "boss", 1883, "http://boss:8080")
WORKER_FILES = worker_files("w1", "secret", ADDRESSES)
DATASTORE_FILES = datastore_files("@datastore", "secret", "token", "key", ADDRESSES)
TEMPLATES = Path(__file__).resolve().parents[3] / "templates"


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names keep their case
    parser.read_string((TEMPLATES / name).read_text())
    return parser


def test_the_unit_of_the_boss_starts_the_boss_and_leaves_its_workers_alone() -> None:
    service = unit("ecloud-boss.service")["Service"]
    program, *arguments = service["ExecStart"].split()
    assert program.startswith("/") and program.endswith("/.venv/bin/python")
    assert arguments == ["-m", "boss"]
    assert importlib.util.find_spec("boss.__main__") is not None
    assert service["KillMode"] == "process", "workers outlive a boss that died"
    assert service["Restart"] == "on-failure"
    assert service["Environment"].startswith("ECLOUD_HOME=/")


@pytest.mark.parametrize("program", ["worker", "datastore"])
def test_the_units_of_other_hosts_start_their_program_with_the_file_that_login_writes(program: str) -> None:
    service = unit(f"ecloud-{program}.service")["Service"]
    assert service["ExecStart"].split()[1:] == ["-m", program]
    assert importlib.util.find_spec(f"{program}.__main__") is not None
    files = WORKER_FILES if program == "worker" else DATASTORE_FILES
    assert service["EnvironmentFile"] == f"{LOGIN_FOLDER}/{program}.env" and f"{program}.env" in files
    assert service["Restart"] == "on-failure"


def test_a_worker_that_is_ordered_to_stop_may_finish_and_its_tasks_are_not_signalled() -> None:
    service = unit("ecloud-worker.service")["Service"]
    assert service["KillMode"] == "mixed"
    assert service["RestartPreventExitStatus"] == "2", "bad options: see python -m worker --help"


def test_the_transfers_of_a_datastore_end_with_it() -> None:
    assert unit("ecloud-datastore.service")["Service"]["KillMode"] == "control-group"


def test_what_the_files_of_a_login_keep_is_in_the_directory_that_the_units_make() -> None:
    for program, files in (("worker", WORKER_FILES), ("datastore", DATASTORE_FILES)):
        state = f"/var/lib/{unit(f'ecloud-{program}.service')['Service']['StateDirectory']}/"
        assert state in files[f"{program}.env"]


@pytest.mark.needs("systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for path in TEMPLATES.glob("*.service"):
        text = path.read_text().replace("/opt/ecloud/.venv/bin/python", "/bin/true")  # it wants the program to be there
        (tmp_path / path.name).write_text(text)
    paths = sorted(map(str, tmp_path.iterdir()))
    assert len(paths) >= 3
    done = subprocess.run(
        ["systemd-analyze", "verify", *paths], capture_output=True, text=True, timeout=scaled(60), check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
