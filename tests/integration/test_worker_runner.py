"""The runner with real processes: commands in order, limits, output, and the end of whole process trees."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.agent import result, run
from tests.worlds.runner import Harness, alive
from tests.worlds.waiting import scaled, wait_for
from wire.messages import EpanetRun
from worker.runner.processes import become_subreaper, look
from worker.runner.sessions import read_sessions


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    become_subreaper()
    harness = Harness(tmp_path)
    yield harness
    harness.runner.stop()


def line_in(path: Path) -> str:
    """Waited for."""
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"), f"{path} is written")
    return path.read_text()


def test_commands_run_in_order_and_stop_at_the_first_that_fails(harness: Harness) -> None:
    outcome = harness.do("true", "exit 3", "touch x", results=[result("x")])
    assert (outcome.ended, outcome.exit_code, outcome.command) == ("failed", 3, "exit 3")
    assert outcome.reason == "command 2 of 3 exited with code 3"
    assert [summary.exit_code for summary in outcome.commands] == [0, 3]


def test_three_commands_show_three_exit_codes(harness: Harness) -> None:
    outcome = harness.do("true", ["true"], "echo done")
    assert [(summary.command, summary.exit_code) for summary in outcome.commands] == [
        ("true", 0),
        ("true", 0),
        ("echo done", 0),
    ]
    assert (outcome.ended, outcome.stdout_tail, outcome.exit_code) == ("succeeded", "done\n", 0)


def test_each_attempt_has_a_fresh_directory_that_is_gone_when_it_was_left_empty(harness: Harness) -> None:
    outcome = harness.do("pwd", "ls -A", task=5, attempt=2)
    assert outcome.stdout_tail == f"{harness.home}/attempts/5.2/work\n"
    assert (harness.home / "attempts/5.2/stdout").read_text() == outcome.stdout_tail
    harness.do("true", task=6)
    assert not (harness.home / "attempts/6.1").exists()


def test_output_of_both_streams_is_kept_apart(harness: Harness) -> None:
    outcome = harness.do("echo on-stdout; echo on-stderr >&2; exit 1")
    assert (outcome.stdout_tail, outcome.stderr_tail) == ("on-stdout\n", "on-stderr\n")
    assert (harness.home / "attempts/1.1/stderr").read_text() == "on-stderr\n"


def test_much_output_is_capped_and_does_not_stop_the_command(tmp_path: Path) -> None:
    harness = Harness(tmp_path, output_limit=100_000)
    outcome = harness.do(f"{sys.executable} -c \"import sys; sys.stdout.write('x' * 3_000_000); print('the end')\"")
    assert outcome.ended == "succeeded"
    assert outcome.stdout_tail.endswith("the end\n")
    assert len(outcome.stdout_tail) <= 8000
    assert (tmp_path / "attempts/1.1/stdout").stat().st_size < 101_000
    harness.runner.stop()


def test_a_command_of_10_kb_and_one_of_300_kb_run(harness: Harness) -> None:
    assert harness.do("echo " + "x" * 10_000 + " | wc -c").stdout_tail.strip() == "10001"
    assert harness.do(": " + "x" * 300_000 + "\necho big", task=2).stdout_tail == "big\n"


def test_unicode_and_shell_words_reach_the_command_as_they_are(harness: Harness) -> None:
    outcome = harness.do("printf '%s' 'Ünïcödé 水 $HOME'", ["printf", "%s", "; rm -rf $HOME 'a b'"])
    assert outcome.stdout_tail == "Ünïcödé 水 $HOME; rm -rf $HOME 'a b'"


def test_the_environment_names_the_attempt(harness: Harness) -> None:
    names = "$ECLOUD_TASK/$ECLOUD_ATTEMPT/$ECLOUD_TASK_ID/$ECLOUD_BATCH/$ECLOUD_PROJECT/$ECLOUD_WORKER/$ECLOUD_SLOTS/$A"
    outcome = harness.do(f"echo {names}", task=7, attempt=3, env={"A": "b=c"})
    assert outcome.stdout_tail == "7/3/t7/1/default/w1/1/b=c\n"


def test_python_of_the_agent_comes_first_and_can_tell_progress(harness: Harness) -> None:
    outcome = harness.do("python3 -c 'import ecloud, sys; ecloud.progress(0.25); print(sys.executable)'", "sleep 0.2")
    assert outcome.ended == "succeeded", outcome.stderr_tail
    assert os.path.dirname(outcome.stdout_tail.strip()) == os.path.dirname(sys.executable)
    assert harness.progress == [(1, 1, 0.25)]


def test_a_program_that_is_not_there_fails_the_task(harness: Harness) -> None:
    outcome = harness.do(["no-such-program", "x"])
    assert (outcome.ended, outcome.fault, outcome.exit_code) == ("failed", "task", 127)
    assert "No such file" in outcome.reason
    assert harness.do("bad\0command", task=2).exit_code == 126


def test_a_signal_is_reported_by_name(harness: Harness) -> None:
    outcome = harness.do("kill -SEGV $$")
    assert (outcome.exit_code, outcome.reason) == (-signal.SIGSEGV, "the command was ended by SIGSEGV")


def test_a_directory_that_cannot_be_made_is_the_workers_fault(harness: Harness) -> None:
    (harness.home / "attempts").rmdir()
    (harness.home / "attempts").write_text("in the way")
    outcome = harness.do("true")
    assert (outcome.ended, outcome.fault) == ("failed", "worker")
    assert "attempts" in outcome.reason


def test_no_commands_with_a_result_is_a_success_to_be_looked_at(harness: Harness) -> None:
    assert harness.do(results=[result("a")]).ended == "succeeded"


def test_time_out_ends_the_whole_tree_with_its_reason(harness: Harness) -> None:
    began = time.monotonic()
    outcome = harness.do("sleep 100 & echo $! > ../pid; sleep 100", timeout=0.3)
    assert (outcome.ended, outcome.reason) == ("timed_out", "timeout after 0.3 s")
    assert time.monotonic() - began < scaled(10)
    assert not alive(int((harness.home / "attempts/1.1/pid").read_text()))


def test_the_limit_of_time_is_for_all_commands_together(harness: Harness) -> None:
    outcome = harness.do("sleep 0.3", "sleep 0.3", "sleep 100", timeout=1.0)
    assert outcome.ended == "timed_out"
    assert len(outcome.commands) == 3


def test_a_kill_reaches_what_ignores_term_and_what_left_its_session(harness: Harness) -> None:
    script = (
        "trap '' TERM\n"
        "setsid sh -c 'trap \"\" TERM; echo $$ > ../escaped; sleep 1000' &\n"
        "sh -c 'trap \"\" TERM; while :; do sleep 1; done' & echo $! > ../stubborn\n"
        "setsid env -i sleep 1000 & echo $! > ../bare\n"
        "wait"
    )
    harness.runner.execute(run(1, commands=[script]))
    directory = harness.home / "attempts/1.1"
    pids = [int(line_in(directory / name)) for name in ("escaped", "stubborn", "bare")]
    harness.runner.kill(1, 1, "cancelled by ann")
    harness.runner.kill(1, 1, "again")
    outcome = harness.outcome()
    assert (outcome.ended, outcome.reason) == ("cancelled", "cancelled by ann")
    assert not any(alive(pid) for pid in pids)


def test_a_polite_program_is_given_time_to_end(harness: Harness) -> None:
    harness.runner.execute(run(1, commands=["trap 'echo bye; exit 0' TERM; echo up > ../up; sleep 100 & wait"]))
    line_in(harness.home / "attempts/1.1/up")
    harness.runner.kill(1, 1, "cancelled")
    outcome = harness.outcome()
    assert (outcome.ended, outcome.stdout_tail) == ("cancelled", "bye\n")


def test_an_attempt_is_over_when_its_command_is_although_a_grandchild_holds_the_pipe(harness: Harness) -> None:
    began = time.monotonic()
    outcome = harness.do("setsid sleep 1000 & echo $! > ../pid")
    assert outcome.ended == "succeeded"
    assert time.monotonic() - began < scaled(10)
    assert not alive(int((harness.home / "attempts/1.1/pid").read_text()))


def test_a_background_process_serves_later_commands_of_its_attempt(harness: Harness) -> None:
    outcome = harness.do("sleep 1000 & echo $! > pid", "kill -0 $(cat pid)", "setsid sleep 1000 & true")
    assert outcome.ended == "succeeded"


def test_leftovers_of_one_attempt_end_without_touching_another(harness: Harness) -> None:
    harness.runner.execute(run(1, commands=["setsid sleep 1000 & echo $! > ../pid; sleep 1; kill -0 $(cat ../pid)"]))
    line_in(harness.home / "attempts/1.1/pid")
    harness.runner.execute(run(2, commands=["setsid sleep 1000 &"]))
    outcomes = {outcome.task: outcome for outcome in (harness.outcome(), harness.outcome())}
    assert {task: outcome.ended for task, outcome in outcomes.items()} == {1: "succeeded", 2: "succeeded"}


def test_a_limit_of_memory_fails_what_needs_more(harness: Harness) -> None:
    greedy = f"{sys.executable} -c 'b = bytearray(600_000_000); print(len(b))'"
    assert harness.do(greedy).ended == "succeeded"
    outcome = harness.do(greedy, task=2, memory=200_000_000)
    assert (outcome.ended, outcome.fault) == ("failed", "task")
    assert "MemoryError" in outcome.stderr_tail
    assert harness.do(["echo", "a b"], task=3, memory=200_000_000).stdout_tail == "a b\n"


def test_started_sessions_are_on_record_while_they_run(harness: Harness) -> None:
    harness.runner.execute(run(1, commands=["echo $$ > ../pid; sleep 100"]))
    pid = int(line_in(harness.home / "attempts/1.1/pid"))
    process = look(pid)
    assert process is not None
    wait_for(lambda: read_sessions(harness.home / "sessions") == {pid: process.start}, "it is on record")
    harness.runner.kill(1, 1, "enough")
    harness.outcome()
    assert read_sessions(harness.home / "sessions") == {}


def test_many_attempts_leave_no_process_descriptor_or_directory(harness: Harness) -> None:
    harness.do("true", task=1000)
    before = _open_files()
    for task in range(200):
        harness.runner.execute(run(task + 1))
    outcomes = [harness.outcome() for _ in range(200)]
    assert all(outcome.ended == "succeeded" for outcome in outcomes)
    assert _open_files() <= before, "what earlier tests left may go meanwhile, and nothing new may stay"
    assert os.listdir(harness.home / "attempts") == []
    assert read_sessions(harness.home / "sessions") == {}


def _open_files() -> set[tuple[str, str]]:
    """(descriptor, what it is) of this process."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return found


def test_stopping_kills_what_runs(tmp_path: Path) -> None:
    become_subreaper()
    harness = Harness(tmp_path)
    harness.runner.execute(run(1, commands=["echo $$ > ../pid; sleep 100"]))
    pid = int(line_in(tmp_path / "attempts/1.1/pid"))
    harness.runner.stop()
    assert not alive(pid)
    assert harness.outcome().ended == "cancelled"


# -- EPANET helpers (a stand-in that speaks their protocol) ------------------------------------------


def epanet(harness: Harness, what: str, task: int = 1, **more: Any) -> None:
    harness.runner.execute(run(task, commands=[], epanet=EpanetRun(inp="net.inp", options={"do": what}), **more))


def test_a_helper_is_kept_warm_and_tells_progress_and_figures(harness: Harness) -> None:
    epanet(harness, "succeed")
    first = harness.outcome()
    epanet(harness, "succeed", task=2)
    second = harness.outcome()
    assert first.ended == second.ended == "succeeded"
    assert first.figures["pid"] == second.figures["pid"]
    assert harness.progress[0] == (1, 1, 0.5)
    assert "working in" in first.stderr_tail and f"{harness.home}/attempts/2.1/work" in second.stderr_tail


def test_two_at_once_have_a_helper_each(harness: Harness) -> None:
    epanet(harness, "slow")
    epanet(harness, "slow", task=2)
    outcomes = [harness.outcome(), harness.outcome()]
    assert outcomes[0].figures["pid"] != outcomes[1].figures["pid"]


def test_a_crash_of_a_helper_fails_one_attempt_with_the_signals_name(harness: Harness) -> None:
    epanet(harness, "crash")
    outcome = harness.outcome()
    assert (outcome.ended, outcome.exit_code) == ("failed", -signal.SIGSEGV)
    assert "SIGSEGV" in outcome.reason
    epanet(harness, "succeed", task=2)
    assert harness.outcome().ended == "succeeded"


def test_a_failure_reported_by_a_helper_carries_its_reason_and_code(harness: Harness) -> None:
    epanet(harness, "fail")
    outcome = harness.outcome()
    assert (outcome.ended, outcome.reason, outcome.exit_code, outcome.fault) == ("failed", "bad network", 4, "task")


def test_time_limit_and_cancel_end_a_helper_and_the_next_attempt_gets_a_new_one(harness: Harness) -> None:
    epanet(harness, "hang", timeout=0.3)
    assert harness.outcome().ended == "timed_out"
    epanet(harness, "hang", task=2)
    time.sleep(0.3)
    harness.runner.kill(2, 1, "cancelled by ann")
    outcome = harness.outcome()
    assert (outcome.ended, outcome.reason) == ("cancelled", "cancelled by ann")
    epanet(harness, "succeed", task=3)
    assert harness.outcome().ended == "succeeded"


def test_a_request_larger_than_a_pipe_reaches_the_helper(harness: Harness) -> None:
    rows = [{"scenario": number, "text": "x" * 100} for number in range(20_000)]
    run_ = EpanetRun(inp="net.inp", scenarios=rows, options={"do": "count"})
    harness.runner.execute(run(1, commands=[], epanet=run_))
    assert harness.outcome().figures["rows"] == 20_000


def test_helpers_end_with_the_runner(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    epanet(harness, "succeed")
    pid = int(harness.outcome().figures["pid"])
    assert alive(pid)
    harness.runner.stop()
    assert not alive(pid)


def test_a_directory_that_a_task_changed_does_not_serve_again(harness: Harness) -> None:
    assert harness.do("chmod 777 .", task=1).ended == "succeeded"
    assert (harness.home / "attempts/1.1").exists()
    assert harness.do("true", task=2).ended == "succeeded"
    assert harness.do("pwd; stat -c %a . ..", task=3).stdout_tail.split() == [
        f"{harness.home}/attempts/3.1/work",
        "755",
        "755",
    ]
