"""What a keeper makes of the end of its agent: start it again, start another version, give one up, halt, end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds.parts import find
from tests.worlds.waiting import scaled, wait_for
from worker.bootstrap import keeper as keeping
from worker.bootstrap.account import Account
from worker.bootstrap.bootstrap import UNIT, kind
from worker.bootstrap.keeper import CURRENT, PROGRAMS, AgentKeeper

TOLD = {
    "ECLOUD_DEPLOYMENT": "d",
    "ECLOUD_WORKER_ID": "cloud-1",
    "ECLOUD_INSTANCE": "7",
    "ECLOUD_HALT_WHEN_ORPHANED": "1",
}
MARK = ["d", "cloud-1", "7"]
OWN, NEW = "a" * 64, "b" * 64


class Stage:
    """Agents that end as they are told: each life takes the next line of a file, `code` or `seconds code`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.lives = folder / "lives"
        self.home = folder / "home"
        self.evidence = folder / "guest.json"
        self.program(folder / OWN)
        (self.home / PROGRAMS).mkdir(parents=True)
        self.evidence.write_text(json.dumps(TOLD))
        self.evidence.chmod(0o600)
        self.said: list[str] = []
        self.halted: list[str] = []
        monkeypatch.setattr(keeping, "say", self.said.append)
        monkeypatch.setattr(keeping, "halt", lambda command: self.halted.append(command) or "")
        monkeypatch.setattr(AgentKeeper, "_pause", lambda self, seconds: None)
        monkeypatch.setattr(signal, "signal", lambda number, handler: None)
        account = Account("me", os.getuid(), os.getgid(), folder)
        self.keeper = AgentKeeper(TOLD, account, {}, self.home, folder / OWN, self.evidence)

    def program(self, folder: Path) -> None:
        """What notes who it is, and ends as it is told."""
        (folder / "worker").mkdir(parents=True)
        (folder / "worker" / "__main__.py").write_text(
            "import os, pathlib, sys, time\n"
            f"path = pathlib.Path({str(self.lives)!r})\n"
            "first, *rest = path.read_text().splitlines()\n"
            "path.write_text('\\n'.join(rest))\n"
            f"with open({str(self.folder / 'lived')!r}, 'a') as file:\n"
            "    print(os.environ['ECLOUD_BUNDLE'], os.environ['ECLOUD_GIVEN_UP'] or '-', file=file)\n"
            "*seconds, code = first.split()\n"
            "time.sleep(float(seconds[0]) if seconds else 0)\n"
            "sys.exit(int(code))\n"
        )

    def run(self, *lives: str) -> int:
        self.lives.write_text("\n".join(lives))
        return self.keeper.run()

    def lived(self) -> list[str]:
        path = self.folder / "lived"
        return path.read_text().splitlines() if path.exists() else []

    def replace(self, of: list[str] = MARK) -> None:
        self.program(self.home / PROGRAMS / NEW)
        (self.home / PROGRAMS / CURRENT).write_text(json.dumps({"of": of, "digest": f"b2:{NEW}"}))


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    yield Stage(tmp_path, monkeypatch)


FIRST, SECOND = f"{kind()}=b2:{OWN}", f"{kind()}=b2:{NEW}"


def test_one_that_dies_is_started_again_later_each_time_and_one_that_was_stopped_is_not(stage: Stage) -> None:
    assert stage.run("1", "1", "3", "0") == 0
    assert stage.lived() == [f"{FIRST} -"] * 4
    assert stage.said == [
        "the agent ended with 1; it is started again in 1 s",
        "the agent ended with 1; it is started again in 2 s",
        "the agent ended with 3; it is started again in 4 s",
    ]


def test_one_that_was_told_what_cannot_serve_is_not_started_again(stage: Stage) -> None:
    assert stage.run("2", "0") == 2


def test_another_version_is_started_from_where_the_agent_has_put_it(stage: Stage) -> None:
    stage.replace()
    assert stage.run("4", "0") == 0
    assert stage.lived() == [f"{SECOND} -"] * 2


def test_what_another_instance_of_this_worker_had_fetched_is_not_started(stage: Stage) -> None:
    stage.replace(["d", "cloud-1", "6"])
    stage.run("0")
    assert stage.lived() == [f"{FIRST} -"]


@pytest.mark.parametrize("digest", ["b2:../../evil", "", "b2:", f"b2:{'c' * 64}", NEW])
def test_what_is_no_bundle_is_not_started(digest: str, stage: Stage) -> None:
    (stage.home / PROGRAMS / CURRENT).write_text(json.dumps({"of": MARK, "digest": digest}))
    stage.run("0")
    assert stage.lived() == [f"{FIRST} -"]


def test_another_version_that_ends_at_once_is_given_up_and_the_one_before_runs_on(stage: Stage) -> None:
    stage.replace()
    assert stage.run("1", "1", "1", "0") == 0
    assert stage.lived() == [f"{SECOND} -"] * 3 + [f"{FIRST} b2:{NEW}"]
    assert any("is given up, the one before is started" in line for line in stage.said)


def test_one_that_was_cut_off_for_too_long_halts_its_machine(stage: Stage) -> None:
    assert stage.run("5") == 0
    assert stage.halted == [""]


def test_the_command_that_halts_is_the_one_that_the_machine_was_told(stage: Stage) -> None:
    stage.keeper.context = {**TOLD, "ECLOUD_HALT_COMMAND": "poweroff now"}
    stage.run("5")
    assert stage.halted == ["poweroff now"]


def test_a_machine_that_was_not_told_so_is_not_halted_and_its_agent_started_again(stage: Stage) -> None:
    stage.evidence.write_text(json.dumps({**TOLD, "ECLOUD_HALT_WHEN_ORPHANED": "0"}))
    assert stage.run("5", "0") == 0
    assert stage.halted == [] and "this machine is not halted: " in stage.said[0]
    assert len(stage.lived()) == 2


def test_stopped_it_passes_the_signal_to_its_agent_and_ends_with_it(stage: Stage) -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(stage.run("60 0")))
    thread.start()
    wait_for(stage.lived, "its agent runs")
    stage.keeper._stop(signal.SIGTERM)
    thread.join(scaled(30))
    assert codes == [0] and len(stage.lived()) == 1


def test_stopped_while_it_waits_it_waits_no_longer(tmp_path: Path) -> None:
    account = Account("me", os.getuid(), os.getgid(), tmp_path)
    keeper = AgentKeeper(TOLD, account, {}, tmp_path, tmp_path / OWN, tmp_path / "guest.json")
    former = signal.signal(signal.SIGTERM, lambda number, _: keeper._stop(number))
    waits = threading.get_ident()
    teller = threading.Timer(0.2, lambda: signal.pthread_kill(waits, signal.SIGTERM))
    teller.start()
    try:
        began = time.monotonic()
        keeper._pause(60.0)
    finally:
        teller.join()
        signal.signal(signal.SIGTERM, former)
    assert keeper.stopping == signal.SIGTERM and time.monotonic() - began < scaled(30)
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ()), "an agent starts with it let through"


@pytest.mark.needs("systemd-analyze")
def test_the_unit_that_it_runs_under_is_a_good_one(tmp_path: Path) -> None:
    unit = tmp_path / "ecloud-guest.service"
    python = os.path.realpath(sys.executable)
    unit.write_text(
        UNIT.format(python=python, program="/opt/ecloud/bootstrap.py", settings="/etc/ecloud", log="/var/log/x")
    )
    command = [find("systemd-analyze") or "", "verify", os.fspath(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "ecloud-guest" in line]
    assert not complaints, complaints
