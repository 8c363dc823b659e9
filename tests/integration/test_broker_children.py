"""Children: how they are started, what they inherit, and that exactly the right process is ended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from boss.common import processes
from boss.embedded import children
from boss.embedded.children import Child, ChildError, end_process, log_tail, start_child
from tests.worlds.waiting import scaled, wait_for


def wait_until_gone(pid: int) -> None:
    wait_for(lambda: processes.start_time(pid) is None, f"process {pid} ends")


def ended(child: Child) -> int | None:
    """Its exit code, once it has ended."""
    assert child.wait_event.wait(scaled(20))
    return child.exit_code


def test_a_child_says_its_end_by_code_event_and_call() -> None:
    reported: list[Child] = []
    child = start_child(["sh", "-c", "exit 7"], ended=reported.append)
    assert ended(child) == 7
    assert child.exit_code == 7
    assert child.wait_event.is_set()
    wait_for(lambda: reported, "the end is reported")
    assert reported == [child]
    assert not child.send(signal.SIGTERM)


def test_output_is_appended_to_a_private_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for _ in range(2):
        ended(start_child(["sh", "-c", "echo out; echo err >&2"], log_path=log))
    assert log.read_text().split() == ["out", "err"] * 2
    assert log.stat().st_mode & 0o777 == 0o600
    assert log_tail(log, lines=1) == "err"
    assert log_tail(tmp_path / "missing") == ""


def test_a_log_that_grew_too_large_is_archived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "LOG_LIMIT_BYTES", 100)
    log = tmp_path / "log"
    log.write_text("x" * 101)
    ended(start_child(["echo", "new"], log_path=log))
    assert log.read_text() == "new\n"
    assert (tmp_path / "log.1").stat().st_size == 101


@pytest.mark.parametrize("die_with_parent", [False, True])
def test_a_child_inherits_no_descriptor_and_has_its_own_session(die_with_parent: bool, tmp_path: Path) -> None:
    secret = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(secret, True)
    log = tmp_path / "log"
    script = "ls -l /proc/$$/fd; cut -d' ' -f6 /proc/$$/stat"
    child = start_child(["sh", "-c", script], log_path=log, die_with_parent=die_with_parent)
    ended(child)
    os.close(secret)
    text = log.read_text()
    assert "lock" not in text
    assert int(text.split()[-1]) == child.pid


def test_it_gets_the_environment_and_directory_that_it_is_given(tmp_path: Path) -> None:
    log = tmp_path / "log"
    ended(start_child(["sh", "-c", "pwd; echo $WORD $HOME"], env={"WORD": "hi"}, log_path=log, cwd=tmp_path))
    assert log.read_text() == f"{tmp_path}\nhi\n"


def test_what_cannot_be_started_is_named(tmp_path: Path) -> None:
    for bound in (False, True):
        with pytest.raises(ChildError, match="no-such-program"):
            start_child(["no-such-program"], die_with_parent=bound)
    with pytest.raises(ChildError, match=r"its log .*missing/log cannot be written"):
        start_child(["true"], log_path=tmp_path / "missing" / "log")


def test_one_that_ignores_term_is_killed_after_its_grace(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = start_child(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"], log_path=log)
    wait_for(lambda: "ready" in log_tail(log), "it ignores TERM")
    assert child.terminate(grace=0.2) == -signal.SIGKILL


def test_one_that_obeys_term_is_not_killed() -> None:
    assert start_child(["sleep", "600"]).terminate(grace=scaled(20)) == -signal.SIGTERM


PARENT = """
import sys, time
from boss.embedded import children
if sys.argv[1] == "keeper":
    find = children.shutil.which
    children.shutil.which = lambda name, **_: None if name == "setpriv" else find(name)
child = children.start_child(["sleep", "600"], die_with_parent=sys.argv[1] != "free")
time.sleep(0.3)
print(child.pid, flush=True)
time.sleep(600)
"""


def run_and_kill_parent(way: str) -> int:
    with subprocess.Popen([sys.executable, "-c", PARENT, way], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert processes.start_time(pid) is not None
        parent.kill()
    return pid


@pytest.mark.parametrize("way", ["setpriv", "keeper"])
def test_a_bound_child_dies_with_its_killed_parent(way: str) -> None:
    if way == "setpriv" and shutil.which("setpriv") is None:
        pytest.fail("setpriv is not installed: apt-get install util-linux", pytrace=False)
    wait_until_gone(run_and_kill_parent(way))


def test_a_free_child_outlives_its_killed_parent() -> None:
    pid = run_and_kill_parent("free")
    start_time = processes.start_time(pid)
    time.sleep(0.3)
    assert start_time is not None
    assert processes.start_time(pid) == start_time
    assert end_process(pid, start_time, grace=scaled(20)) == "ended"


@pytest.mark.parametrize("way", ["setpriv", "keeper"])
def test_a_bound_child_survives_the_thread_that_asked_for_it(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "keeper":
        find = shutil.which
        monkeypatch.setattr(children.shutil, "which", lambda name: None if name == "setpriv" else find(name))
    started: list[Child] = []
    thread = threading.Thread(target=lambda: started.append(start_child(["sleep", "600"], die_with_parent=True)))
    thread.start()
    thread.join()
    assert not started[0].wait_event.wait(0.5)
    assert started[0].terminate(grace=scaled(20)) == -signal.SIGTERM


@pytest.mark.parametrize("way", ["setpriv", "keeper"])
def test_a_child_whose_parent_was_gone_already_leaves_at_once(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "keeper":
        find = shutil.which
        monkeypatch.setattr(children.shutil, "which", lambda name: None if name == "setpriv" else find(name))
    monkeypatch.setattr(children.os, "getpid", lambda: 1)  # as if the starting process had been another
    argv = children._bound_to_parent(["sleep", "600"])
    monkeypatch.undo()
    assert subprocess.run(argv, timeout=scaled(20), check=False).returncode == 125


def test_the_start_time_tells_processes_apart() -> None:
    child = start_child(["sleep", "600"])
    assert processes.start_time(child.pid) == child.start_time
    assert processes.start_time(os.getpid()) not in (None, child.start_time)
    child.send(signal.SIGKILL)
    ended(child)
    assert processes.start_time(child.pid) is None


def test_a_zombie_is_no_process_any_more() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert processes.start_time(process.pid) is None
    assert end_process(process.pid, 1, grace=0.1) == "absent"
    process.wait()


def test_a_name_with_blanks_and_parentheses_does_not_hide_the_start_time(tmp_path: Path) -> None:
    odd = tmp_path / "a) S (b"
    odd.symlink_to(shutil.which("sleep") or "/bin/sleep")
    child = start_child([str(odd), "600"])
    assert processes.start_time(child.pid) == child.start_time > 0
    child.terminate(scaled(20))


def test_a_process_is_ended_only_under_its_own_start_time() -> None:
    child = start_child(["sleep", "600"])
    assert end_process(child.pid, child.start_time + 1, grace=0.1) == "absent"
    assert child.exit_code is None
    assert end_process(child.pid, child.start_time, grace=scaled(20)) == "ended"
    assert ended(child) == -signal.SIGTERM
    assert end_process(child.pid, child.start_time, grace=0.1) == "absent"


def test_an_obstinate_process_is_killed_in_the_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = start_child(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"], log_path=log)
    wait_for(lambda: "ready" in log_tail(log), "it ignores TERM")
    assert end_process(child.pid, child.start_time, grace=0.2) == "ended"
    assert ended(child) == -signal.SIGKILL
