"""A child that is started again whenever it ends, and stays ended once it is stopped."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from boss.embedded import kept_child
from boss.embedded.kept_child import KeptChild
from tests.worlds.waiting import wait_for


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_child, "RESTART_SECONDS", 0.3)


def child(folder: Path, command: str, program: str = "sh") -> KeptChild:
    environment = {"PATH": os.environ["PATH"]}
    return KeptChild("store", [program, "-c", command], environment, folder / "store.log", folder)


def pids(folder: Path) -> list[int]:
    path = folder / "pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_it_is_started_again_with_a_warning_that_quotes_its_log_until_then(tmp_path: Path) -> None:
    made = child(tmp_path, "echo $$ >>pids; echo out of luck; exec sleep 60")
    made.start()
    try:
        wait_for(lambda: len(pids(tmp_path)) == 1, "it runs")
        assert made.warning == ""
        os.kill(pids(tmp_path)[0], signal.SIGKILL)
        wait_for(lambda: made.warning, "its end is noticed")
        log = tmp_path / "store.log"
        assert made.warning == f"the store's program ended and is started again; {log} ends with: out of luck"
        wait_for(lambda: len(pids(tmp_path)) == 2 and not made.warning, "it runs again")
    finally:
        made.stop(5.0)
    assert not Path(f"/proc/{pids(tmp_path)[1]}").exists()


def test_one_that_is_stopped_while_it_waits_for_its_next_start_stays_ended(tmp_path: Path) -> None:
    made = child(tmp_path, "echo $$ >>pids")
    made.start()
    wait_for(lambda: made.warning, "its end is noticed")
    made.stop(5.0)
    made.start()
    assert len(pids(tmp_path)) == 1


def test_a_program_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    made = child(tmp_path, "", program="no-such-program")
    made.start()
    assert made.warning == "cannot start no-such-program: there is no such program"
    made.stop(1.0)
