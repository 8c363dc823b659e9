"""The whole agent, a process of its own, against a real Mosquitto and a scripted boss."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from boss.embedded.broker import EmbeddedBroker
from tests.worlds import brokers
from tests.worlds.agent import result, run
from tests.worlds.brokers import TOPICS, WORKER, Links, dead
from tests.worlds.digests import digest
from tests.worlds.waiting import scaled, wait_for
from tests.worlds.worker import ROOT, AgentProcess, ScriptedBoss
from wire.link import Connected
from wire.messages import (
    Acknowledge,
    EpanetRun,
    Heartbeat,
    HeldAttempt,
    Input,
    InputsMissing,
    Kill,
    Leaving,
    PhaseReached,
    Replace,
    Returned,
    Staged,
    Stop,
    TakeBack,
    Welcome,
)
from worker.runner.processes import look

mosquitto, links = brokers.mosquitto, brokers.links

Started = tuple[AgentProcess, ScriptedBoss]


@pytest.fixture
def start(mosquitto: EmbeddedBroker, links: Links, tmp_path: Path) -> Iterator[Callable[..., Started]]:
    agents: list[AgentProcess] = []

    def make(**variables: str) -> Started:
        boss = ScriptedBoss(mosquitto, links)
        wait_for(lambda: boss.listener.has(Connected), "the boss's connection")
        boss.online()
        agents.append(AgentProcess(mosquitto, tmp_path / "worker", **variables))
        return agents[-1], boss

    yield make
    for agent in agents:
        agent.end()


def alive(pid: int) -> bool:
    process = look(pid)
    return process is not None and not process.zombie


def pid_in(path: Path) -> int:
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"), f"{path}")
    return int(path.read_text())


def put_into_cache(agent: AgentProcess, content: bytes) -> str:
    name = hashlib.blake2b(content, digest_size=32).hexdigest()
    (agent.home / "cache" / name).write_bytes(content)
    return "b2:" + name


def test_orders_that_it_does_not_act_upon_are_logged_by_reason(start: Callable[..., Started]) -> None:
    agent, boss = start()
    boss.hello()
    boss.order(run(1, commands=["true"]), deployment="of another boss")
    boss.order(run(2, commands=["true"]))
    assert boss.outcome(2).ended == "succeeded" and not boss.outcomes(1)
    wait_for(lambda: " 1 other_deployment" in agent.log.read_text(), "the line in its log")
    assert "of another boss" not in agent.log.read_text()


def test_it_says_hello_runs_reports_and_forgets_after_the_acknowledgement(start: Callable[..., Started]) -> None:
    agent, boss = start(ECLOUD_POOL="p", ECLOUD_LABELS='{"a": "b"}')
    hello = boss.hello()
    assert (hello.slots, hello.pool, hello.labels, hello.pid) == (2, "p", {"a": "b"}, agent.process.pid)
    assert hello.place.path == str(agent.home)
    boss.order(run(1, commands=["echo hello", "echo oops >&2; exit 4"]), run(2, commands=[]))
    outcome = boss.outcome(1)
    assert (outcome.ended, outcome.exit_code, outcome.stdout_tail, outcome.stderr_tail) == (
        "failed",
        4,
        "hello\n",
        "oops\n",
    )
    assert boss.outcome(2).ended == "succeeded"
    wait_for(lambda: agent.attempts() == [], "the removal of a directory of which nothing is to be collected")
    boss.acknowledge((1, 1), (2, 1))
    boss.until(lambda: any(isinstance(report, Heartbeat) for report in boss.reports))
    assert {number for message in boss.messages for number in message.confirms} == {1, 2, 3}


def test_results_are_kept_with_their_manifest_until_acknowledged(start: Callable[..., Started]) -> None:
    agent, boss = start()
    boss.hello()
    boss.order(run(1, commands=["echo 3.42 > intermediate-result"], results=[result("intermediate-result")]))
    (entry,) = boss.outcome(1).manifest
    assert (entry.source, entry.size) == ("intermediate-result", 5)
    assert entry.digest == digest(b"3.42\n")
    assert (agent.home / "attempts/1.1/work/intermediate-result").read_text() == "3.42\n"
    boss.order(run(2, commands=["true"], results=[result("nothing")]))
    assert boss.outcome(2).reason == "Uploading results failed: result 'nothing' was not made"


def test_inputs_come_from_the_cache_and_missing_ones_are_asked_for(start: Callable[..., Started]) -> None:
    agent, boss = start()
    boss.hello()
    boss.order(run(1, commands=["cat dependency"], staging=True))
    digest = put_into_cache(agent, b"3.42\n")
    os.rename(agent.home / "cache" / digest[3:], agent.home / "aside")
    item = Input(name="intermediate-result", path="dependency", digest=digest, size=5)
    boss.order(Staged(task=1, attempt=1, inputs=[item]))
    boss.until(lambda: InputsMissing(task=1, attempt=1, digests=[digest]) in boss.reports)
    os.rename(agent.home / "aside", agent.home / "cache" / digest[3:])
    boss.order(Staged(task=1, attempt=1, inputs=[item]))
    assert boss.outcome(1).stdout_tail == "3.42\n"


def test_a_result_that_another_task_needs_is_taken_from_where_it_was_made(start: Callable[..., Started]) -> None:
    agent, boss = start()
    boss.hello()
    boss.order(run(1, commands=["mkdir d; echo 3.42 > d/out; ln -s d e"], results=[result("d/out")]))
    (entry,) = boss.outcome(1).manifest
    item = Input(name="d/out", path="in", digest=entry.digest, size=5)
    boss.order(Acknowledge(attempts=[(1, 1)], keep=[(1, 1)]))
    boss.order(run(2, commands=["cat in; echo more >> in"], staging=True), Staged(task=2, attempt=1, inputs=[item]))
    assert boss.outcome(2).stdout_tail == "3.42\n"
    wait_for(lambda: agent.attempts() == [], "the removal of both directories")
    assert (agent.home / "cache" / entry.digest[3:]).read_text() == "3.42\n", "a task writes into what is its own"
    boss.until(lambda: any(isinstance(one, Heartbeat) and entry.digest in one.cached for one in boss.reports))


def test_nothing_that_lies_behind_a_link_is_taken_into_the_cache(start: Callable[..., Started], tmp_path: Path) -> None:
    agent, boss = start()
    boss.hello()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "out").write_text("3.42\n")
    boss.order(run(1, commands=["mkdir d; echo 3.42 > d/out"], results=[result("d/out")]))
    boss.outcome(1)
    work = agent.home / "attempts/1.1/work"
    os.rename(work / "d", work / "was")
    os.symlink(outside, work / "d")
    boss.order(Acknowledge(attempts=[(1, 1)], keep=[(1, 1)]))
    wait_for(lambda: agent.attempts() == [], "the removal of the attempt's directory")
    assert (outside / "out").read_text() == "3.42\n"
    assert os.listdir(agent.home / "cache") == []


def test_take_back_and_kill_reach_a_worker_with_one_slot(start: Callable[..., Started]) -> None:
    agent, boss = start(ECLOUD_SLOTS="1")
    boss.hello()
    boss.order(run(1, commands=["echo $$ > ../pid; sleep 100"]), run(2), run(3))
    pid = pid_in(agent.home / "attempts/1.1/pid")
    boss.order(TakeBack(task=2, attempt=1), TakeBack(task=1, attempt=1))
    boss.until(lambda: Returned(task=2, attempt=1) in boss.reports)
    boss.until(lambda: PhaseReached(task=1, attempt=1, phase="executing") in boss.reports)
    boss.order(Kill(task=1, attempt=1, reason="cancelled by ann"))
    outcome = boss.outcome(1)
    assert (outcome.ended, outcome.reason) == ("cancelled", "cancelled by ann")
    assert not alive(pid)
    assert boss.outcome(3).ended == "succeeded"


def test_garbage_and_messages_of_another_version_change_nothing(start: Callable[..., Started]) -> None:
    agent, boss = start()
    boss.hello()
    for payload in (b"", b"\xff\x00", b"[" * 100_000, b'{"version": 99}', b'{"version": 1, "orders": 7}'):
        boss.link.publish(TOPICS.orders(WORKER.username), payload)
        boss.link.publish(TOPICS.boss_presence, payload)
    boss.order(run(1))
    assert boss.outcome(1).ended == "succeeded"
    assert "version 99" in agent.log.read_text()


def test_a_broker_that_dies_costs_nothing(start: Callable[..., Started], mosquitto: EmbeddedBroker) -> None:
    agent, boss = start()
    boss.hello()
    boss.order(run(1, commands=["echo up > ../up; sleep 1"]), run(2, commands=["true"]))
    boss.outcome(2)
    wait_for(lambda: (agent.home / "attempts/1.1/up").exists(), "the attempt's beginning")
    with dead(mosquitto):
        boss.reports.clear()
    hello = boss.hello()
    assert HeldAttempt(task=2, attempt=1, phase="ended") in hello.held
    assert boss.outcome(1).ended == "succeeded"
    assert boss.outcome(2).ended == "succeeded"


def test_after_kill_9_of_the_agent_its_next_start_ends_what_ran_and_tells_what_had_ended(
    start: Callable[..., Started],
) -> None:
    agent, boss = start()
    boss.hello()
    boss.order(run(1, commands=["echo hi > x"], results=[result("x")]))
    boss.order(run(2, commands=["setsid sleep 1000 & echo $! > ../child; echo $$ > ../pid; sleep 1000"]))
    first = boss.outcome(1)
    pids = [pid_in(agent.home / "attempts/2.1" / name) for name in ("child", "pid")]
    agent.process.kill()
    agent.process.wait()
    assert all(alive(pid) for pid in pids)
    boss.reports.clear()
    agent.start()
    hello = boss.hello()
    assert not any(alive(pid) for pid in pids)
    assert hello.held == [HeldAttempt(task=1, attempt=1, phase="ended")]
    assert boss.outcome(1) == first
    assert agent.attempts() == ["1.1"]
    assert (agent.home / "attempts/1.1/work/x").read_text() == "hi\n"
    boss.acknowledge((1, 1))
    wait_for(lambda: agent.attempts() == [], "the removal of the attempt's directory")


def test_an_init_that_has_succeeded_is_remembered_by_the_next_start(start: Callable[..., Started]) -> None:
    agent, boss = start()
    boss.hello()
    boss.order(
        run(1, commands=["test -e ../../../made"], inits=[9]), run(9, commands=["touch ../../../made"], init=True)
    )
    assert boss.outcome(1).ended == "succeeded"
    boss.acknowledge((1, 1), (9, 1))
    boss.order(Stop())
    assert agent.process.wait(scaled(20)) == 0
    agent.start()
    boss.reports.clear()
    assert boss.hello().initialized == [9]


def test_term_gives_back_and_drains_and_the_second_one_kills(start: Callable[..., Started]) -> None:
    agent, boss = start(ECLOUD_SLOTS="1")
    boss.hello()
    boss.order(run(1, commands=["echo $$ > ../pid; sleep 1000"]), run(2))
    pid = pid_in(agent.home / "attempts/1.1/pid")
    agent.process.terminate()
    boss.until(lambda: Returned(task=2, attempt=1) in boss.reports)
    assert any(isinstance(report, Leaving) for report in boss.reports)
    assert alive(pid)
    agent.process.terminate()
    outcome = boss.outcome(1)
    assert (outcome.ended, outcome.fault) == ("cancelled", "task")
    assert agent.process.wait(scaled(20)) == 0
    assert not alive(pid)


def test_an_idle_agent_ends_on_term_and_says_offline(start: Callable[..., Started], links: Links) -> None:
    agent, boss = start()
    boss.hello()
    agent.process.terminate()
    assert agent.process.wait(scaled(20)) == 0


def test_without_a_boss_it_ends_itself_and_leaves_nothing_running(start: Callable[..., Started]) -> None:
    agent, boss = start()
    boss.hello()
    boss.order(run(1, commands=["echo $$ > ../pid; sleep 1000"]))
    pid = pid_in(agent.home / "attempts/1.1/pid")
    boss.order(Welcome(heartbeat_seconds=1.0, orphan_after_seconds=1.0))
    assert agent.process.wait(scaled(20)) == 1
    assert not alive(pid)
    assert "without a word from the boss for 1 s" in agent.log.read_text()


def test_a_second_agent_on_the_same_home_is_refused_with_a_sentence(start: Callable[..., Started]) -> None:
    agent, boss = start()
    boss.hello()
    second = subprocess.run(
        [sys.executable, "-m", "worker"],
        env=agent.environment,
        capture_output=True,
        text=True,
        timeout=scaled(30),
        check=False,
    )
    assert second.returncode == 3
    assert f"another agent (process {agent.process.pid})" in second.stderr
    assert "Traceback" not in second.stderr


def test_bad_options_are_reported_without_a_traceback() -> None:
    environment = {"PYTHONPATH": str(ROOT), "ECLOUD_SLOTS": "many", "PATH": os.environ["PATH"]}
    ended = subprocess.run(
        [sys.executable, "-m", "worker"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=scaled(30),
        check=False,
    )
    assert ended.returncode == 2
    assert "ECLOUD_SLOTS is 'many'" in ended.stderr and "Traceback" not in ended.stderr


def test_a_thousand_attempts_are_each_reported_once_and_leave_nothing(start: Callable[..., Started]) -> None:
    agent, boss = start()
    boss.hello()
    boss.order(*(run(task, commands=["true"] if task % 4 == 0 else []) for task in range(1, 1001)))
    boss.until(lambda: all(boss.outcomes(task) for task in (1, 1000)))
    boss.until(lambda: len({report.task for report in boss.reports if hasattr(report, "ended")}) == 1000)
    boss.acknowledge(*((task, 1) for task in range(1, 1001)))
    wait_for(lambda: agent.attempts() == [], "an empty directory of attempts")
    assert all(report.ended == "succeeded" for report in boss.reports if hasattr(report, "ended"))


def test_start_up_script_and_debug_script_bring_an_agent_up(start: Callable[..., Started]) -> None:
    agent, boss = start()
    boss.hello()
    environment = {**agent.environment, "ECLOUD_PYTHON": sys.executable}
    checked = subprocess.run(
        ["sh", str(ROOT / "worker/debug.sh"), "--check"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    agent.end()
    boss.reports.clear()
    agent.process = subprocess.Popen(
        ["sh", str(ROOT / "worker/debug.sh")], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert boss.hello().slots == 2
    agent.process.terminate()
    said, _ = agent.process.communicate(timeout=scaled(20))
    assert b"-m worker" in said and b"FAILED" not in said


def test_debug_script_names_the_step_that_fails(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "ECLOUD_PYTHON": sys.executable,
        "ECLOUD_WORKER_ID": "w1",
        "ECLOUD_BROKER_PORT": "1",
        "ECLOUD_WORKER_HOME": str(tmp_path / "home"),
    }
    checked = subprocess.run(
        ["sh", str(ROOT / "worker/debug.sh"), "--check"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=scaled(90),
        check=False,
    )
    assert checked.returncode == 1
    assert "FAILED  broker at 127.0.0.1:1" in checked.stdout
    assert "ok      clock" in checked.stdout


def test_an_epanet_task_runs_in_a_warm_helper_and_its_results_are_listed(start: Callable[..., Started]) -> None:
    agent, boss = start(ECLOUD_SLOTS="1")
    boss.hello()
    content = (ROOT / "examples/net3_study/Net3.inp").read_bytes()
    item = Input(name="Net3.inp", path="Net3.inp", digest=put_into_cache(agent, content), size=len(content))
    rows: list[dict[str, object]] = [{"scenario": number, "demand.multiplier": 1 + number / 10} for number in range(3)]
    simulation = EpanetRun(inp="Net3.inp", scenarios=rows, options={"duration": "2h"})
    names = [result("pressure.parquet"), result("runs.parquet")]
    for task in (1, 2):
        boss.order(run(task, commands=[], epanet=simulation, results=names, staging=True))
        boss.order(Staged(task=task, attempt=1, inputs=[item]))
        outcome = boss.outcome(task)
        assert outcome.ended == "succeeded", (outcome.reason, outcome.stderr_tail)
        assert [entry.target for entry in outcome.manifest] == ["pressure.parquet", "runs.parquet"]
        assert outcome.figures["scenarios"] == 3


def test_a_machine_that_no_boss_started_is_not_halted_whatever_its_worker_is_configured_to(
    start: Callable[..., Started], tmp_path: Path
) -> None:
    variables = {"ECLOUD_INSTANCE": "7", "ECLOUD_HALT_WHEN_ORPHANED": "1", "ECLOUD_ORPHAN_AFTER": "1"}
    agent, boss = start(ECLOUD_HALT_COMMAND=f"touch {tmp_path / 'halted'}", **variables)
    boss.hello()
    boss.order(Welcome(heartbeat_seconds=1.0, orphan_after_seconds=1.0))
    assert agent.process.wait(scaled(60)) == 5
    assert (
        "this machine is not halted: nothing says that this is a machine that a boss started" in agent.log.read_text()
    )
    assert not (tmp_path / "halted").exists()


def test_another_version_is_fetched_from_its_boss_only_and_then_takes_its_place(
    start: Callable[..., Started], tmp_path: Path
) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("worker/__main__.py"), io.BytesIO())
    wanted = digest(content.getvalue())
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "bundle").write_bytes(content.getvalue())
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        agent, boss = start(ECLOUD_BUNDLE=f"3.11-x86_64=b2:{'0' * 64}", ECLOUD_BOSS_URL=url)
        assert boss.hello().bundle == f"3.11-x86_64=b2:{'0' * 64}"
        boss.order(run(1, commands=["sleep 1; echo done"]))
        evil = f"http://127.0.0.1:{server.server_port}.evil.example/bundle"
        boss.order(Replace(kind="3.11-x86_64", digest=f"b2:{'1' * 64}", url=evil, token="t"))
        wait_for(lambda: "is not of the boss that this machine knows" in agent.log.read_text(), "a refusal")
        boss.order(Replace(kind="3.11-x86_64", digest=wanted, url=f"{url}/bundle", token="t"))
        assert boss.outcome(1).stdout_tail == "done\n"
        boss.acknowledge((1, 1))
        assert agent.process.wait(scaled(60)) == 4
        server.shutdown()
        thread.join()
    programs = agent.home / "programs"
    assert json.loads((programs / "current.json").read_text())["digest"] == wanted
    assert (programs / wanted.removeprefix("b2:") / "worker" / "__main__.py").exists()


def test_a_frozen_agent_begins_nothing_that_waited_before_its_boss_has_answered(start: Callable[..., Started]) -> None:
    agent, boss = start(ECLOUD_SLOTS="1")
    boss.hello()
    welcome = Welcome(heartbeat_seconds=0.5, orphan_after_seconds=600.0, lease_seconds=2.0)
    boss.order(welcome)
    boss.order(run(1, commands=["sleep 1"]), run(2))
    boss.until(lambda: PhaseReached(task=1, attempt=1, phase="executing") in boss.reports)
    agent.process.send_signal(signal.SIGSTOP)
    boss.order(run(3))
    time.sleep(3.0)
    boss.reports.clear()
    agent.process.send_signal(signal.SIGCONT)
    hello = boss.hello()
    assert {(one.task, one.phase) for one in hello.held} <= {(1, "executing"), (1, "ended"), (2, "returned")}
    boss.outcome(1)
    boss.until(lambda: Returned(task=2, attempt=1) in boss.reports)
    number = next(message.number for message in boss.messages if any(report is hello for report in message.reports))
    boss.order(msgspec.structs.replace(welcome, hello=number), run(4))
    boss.outcome(4)
    begun = {report.task for report in boss.reports if isinstance(report, PhaseReached) and report.phase == "executing"}
    assert begun <= {4}, "what waited while it stood still has not begun"


def test_slots_are_bounded_by_descriptors(start: Callable[..., Started]) -> None:
    agent, boss = start(ECLOUD_SLOTS="64")
    assert boss.hello().slots == 64
    agent.end()
    few = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); "
        "os.execv(sys.executable, sys.argv[1:])"
    )
    with agent.log.open("ab") as log:
        agent.process = subprocess.Popen(
            [sys.executable, "-c", few, sys.executable, "-m", "worker"], env=agent.environment, stdout=log, stderr=log
        )
    assert boss.hello().slots == 20
    assert "20 slots instead of 64: this process may have 256 files open" in agent.log.read_text()
