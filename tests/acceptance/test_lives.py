"""How pushes, bosses and what they start live and die: Ctrl-C, kill -9, closed terminals, --detach, TERM.

Tasks write what they do into a log beside the state directory; what stands there twice ran twice.
"""

from __future__ import annotations

import os
import pty
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.client.client import Client
from tests.worlds.deployment import Deployment, deployment, lines_of
from tests.worlds.waiting import scaled, wait_for

__all__ = ["deployment"]

#: Broker and datastore of a killed boss end "within seconds"; generous, because the machine may be loaded.
SECONDS = 30.0


@pytest.fixture(params=["mosquitto", "amqtt"])
def either(deployment: Deployment, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A deployment on each of the brokers that can be embedded."""
    deployment.settings["embedded_broker"] = request.param
    yield deployment


def log_of(deployment: Deployment) -> Path:
    return deployment.directory / "log"


def chain(deployment: Deployment, held: int = 3) -> Path:
    """Six tasks in a chain, each tells the log; the one `held` waits until the file `go` is there."""
    log, go = log_of(deployment), deployment.directory / "go"
    tasks = []
    for number in range(6):
        wait = f"until [ -e {go} ]; do sleep 0.1; done; " if number == held else ""
        tasks.append(
            {
                "id": f"t{number}",
                "commands": [
                    f"echo began {number} >> {log}; {wait}echo did {number} >> {log}",
                    f"echo {number} > r{number}",
                ],
                "results": [f"r{number}"],
                "dependencies": [f"t{number - 1}"] if number else [],
            }
        )
    return deployment.write("tasks.json", tasks)


def go(deployment: Deployment) -> None:
    (deployment.directory / "go").touch()


def wait_for_line(deployment: Deployment, line: str) -> None:
    wait_for(lambda: line in lines_of(log_of(deployment)), f"{line!r} in the log")


def assert_did_all_once(deployment: Deployment, began_twice: tuple[int, ...] = ()) -> None:
    counted = Counter(lines_of(log_of(deployment)))
    assert {line: count for line, count in counted.items() if line.startswith("did")} == {
        f"did {number}": 1 for number in range(6)
    }
    for number in range(6):
        assert counted[f"began {number}"] == (2 if number in began_twice else 1)
        assert (deployment.tree / f"r{number}").read_text() == f"{number}\n"


def test_after_ctrl_c_the_boss_leaves_and_the_same_command_goes_on(either: Deployment) -> None:
    path = chain(either)
    push = either.start_push(path)
    wait_for_line(either, "began 3")
    push.send_signal(signal.SIGINT)
    assert push.wait(timeout=scaled(30)) == 130
    assert push.stdout is not None and "go on with the same command" in push.stdout.read()
    assert either.wait_until_alone() == {}, "no client follows any more"
    status = either.asked("status")
    assert (status["succeeded"], status["failed"]) == (3, 0)
    go(either)
    again = either.push(path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert_did_all_once(either, began_twice=(3,))
    assert either.wait_until_alone() == {}


def test_after_its_end_the_same_command_says_that_all_is_done(deployment: Deployment) -> None:
    go(deployment)
    path = chain(deployment)
    assert deployment.push(path).returncode == 0
    again = deployment.push(path)
    assert again.returncode == 0 and "6 of 6 tasks succeeded" in again.stdout
    assert_did_all_once(deployment)
    assert deployment.wait_until_alone(SECONDS) == {}, "a boss whose push followed for an instant only ends as well"


def test_the_boss_that_a_refused_push_started_ends_with_it(deployment: Deployment) -> None:
    path = deployment.write("tasks.json", [{"id": "a", "commands": "true", "dependencies": ["absent"]}])
    done = deployment.push(path)
    assert done.returncode == 3 and "absent" in done.stderr
    assert deployment.wait_until_alone(SECONDS) == {}


def test_a_killed_push_ends_the_following_and_the_same_command_goes_on(deployment: Deployment) -> None:
    path = chain(deployment)
    push = deployment.start_push(path)
    wait_for_line(deployment, "began 3")
    push.kill()
    push.wait()
    assert deployment.wait_until_alone() == {}
    go(deployment)
    assert deployment.push(path).returncode == 0
    assert_did_all_once(deployment, began_twice=(3,))


def test_workers_go_on_computing_while_the_boss_is_dead_and_the_same_command_resumes(either: Deployment) -> None:
    """kill -9 of the boss in mid-run. The long task is not started again: it ran through."""
    path = chain(either)
    push = either.start_push(path)
    wait_for_line(either, "began 3")
    worker = either.pid("worker")
    either.kill("boss")
    wait_for(lambda: not either.pids("broker") + either.pids("datastore"), "broker and datastore end", SECONDS)
    left_alone = either.settings["embedded_broker"] == "mosquitto"
    if left_alone:  # else the push follows the next boss
        assert push.wait(timeout=scaled(60)) == 3
        assert push.stdout is not None and "nothing of it is lost" in push.stdout.read()
    assert either.pids("worker") == [worker]
    assert "did 3" not in lines_of(log_of(either))
    go(either)
    wait_for_line(either, "did 3")
    again = either.push(path)
    assert again.returncode == 0, again.stdout + again.stderr + either.log()
    assert left_alone or push.wait(timeout=scaled(60)) == 0
    assert_did_all_once(either)
    attempts = either.asked("show_task", "t3")["attempts"]
    assert [(one["attempt"], one["ended"]) for one in attempts] == [(1, "succeeded")]
    assert either.wait_until_alone() == {}


def test_a_push_whose_boss_was_killed_follows_the_next_boss(deployment: Deployment) -> None:
    path = chain(deployment)
    push = deployment.start_push(path)
    wait_for_line(deployment, "began 3")
    deployment.kill("boss")
    deployment.start_boss("--while_followed")
    go(deployment)
    assert push.wait(timeout=scaled(60)) == 0, deployment.log()
    assert_did_all_once(deployment)
    assert deployment.wait_until_alone() == {}


@pytest.mark.parametrize("how", ["Ctrl-C", "closed"])
def test_a_terminal_ends_the_following_only_and_the_same_command_goes_on(deployment: Deployment, how: str) -> None:
    """The boss that a push started is of another session: neither reaches it or what it runs."""
    path = chain(deployment)
    ours, theirs = pty.openpty()
    push = deployment.start_push(path, terminal=os.ttyname(theirs))
    wait_for_line(deployment, "began 3")
    if how == "Ctrl-C":
        os.write(ours, b"\x03")
    else:
        os.close(theirs)
        os.close(ours)
    code = push.wait(timeout=scaled(30))
    assert code == (130 if how == "Ctrl-C" else -signal.SIGHUP)
    go(deployment)  # there is time: the boss stays some seconds
    wait_for_line(deployment, "did 3")
    assert deployment.wait_until_alone() == {}
    assert deployment.push(path).returncode == 0
    assert lines_of(log_of(deployment)).count("began 3") == 1
    assert (deployment.tree / "r5").exists()
    if how == "Ctrl-C":
        os.close(theirs)
        os.close(ours)


def test_a_second_push_keeps_the_boss_alive_when_the_first_is_interrupted(deployment: Deployment) -> None:
    first = deployment.start_push(chain(deployment))
    wait_for_line(deployment, "began 3")
    boss = deployment.pid("boss")
    other = [{"id": "other", "commands": f"until [ -e {deployment.directory}/go ]; do sleep 0.1; done"}]
    second = deployment.start_push(deployment.write("other.json", other))
    wait_for(lambda: deployment.look(Client.status)["in_progress"] == 2, "the other task runs")
    first.send_signal(signal.SIGINT)
    assert first.wait(timeout=scaled(30)) == 130
    time.sleep(5.0)  # longer than a boss stays that no client follows
    assert deployment.pids("boss") == [boss]
    go(deployment)
    assert second.wait(timeout=scaled(60)) == 0
    wait_for_line(deployment, "did 3")  # the boss carried on what it had of the first
    assert deployment.wait_until_alone() == {}
    assert deployment.push(deployment.directory / "tasks.json").returncode == 0
    assert max(Counter(lines_of(log_of(deployment))).values()) <= 2


def test_a_detached_push_is_worked_on_alone_to_its_end_and_then_the_boss_ends(deployment: Deployment) -> None:
    path = chain(deployment)
    done = deployment.push(path, "--detach")
    assert done.returncode == 0 and "The boss works on without a follower" in done.stdout
    wait_for_line(deployment, "began 3")
    time.sleep(5.0)  # longer than a boss stays that no client follows
    assert deployment.pids("boss")
    go(deployment)
    assert deployment.wait_until_alone() == {}
    assert_did_all_once(deployment)
    assert deployment.asked("status")["succeeded"] == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_boss_ends_all_that_it_started(either: Deployment, number: signal.Signals) -> None:
    boss = either.start_boss()
    path = chain(either)
    assert either.push(path, "--detach").returncode == 0
    wait_for_line(either, "began 3")
    roles = set(either.processes().values())
    assert {"boss", "broker", "datastore", "worker", "command"} <= roles
    boss.send_signal(number)
    assert boss.wait(timeout=scaled(60)) == 0
    assert either.wait_until_alone(SECONDS) == {}
    assert not (either.home / "boss.json").exists()


def test_after_kill_of_the_boss_nothing_is_left_once_orphan_after_is_over(either: Deployment) -> None:
    either.settings.update(orphan_after_seconds=8, lease_seconds=4, heartbeat_seconds=1)
    either.start_boss()
    assert either.push(chain(either), "--detach").returncode == 0
    wait_for_line(either, "began 3")
    either.kill("boss")
    wait_for(lambda: not either.pids("broker") + either.pids("datastore"), "broker and datastore end", SECONDS)
    assert either.pids("worker")
    assert either.wait_until_alone() == {}


def test_a_boss_with_the_same_state_directory_answers_where_the_last_one_did(deployment: Deployment) -> None:
    boss = deployment.start_boss()
    first = (deployment.home / "boss.json").read_text().split('"url":')[1]
    token = next((deployment.home / "logins").iterdir()).read_text()
    boss.kill()
    boss.wait()
    deployment.start_boss()
    assert (deployment.home / "boss.json").read_text().split('"url":')[1] == first
    assert next((deployment.home / "logins").iterdir()).read_text() == token


def test_a_second_boss_is_refused_with_a_sentence(deployment: Deployment) -> None:
    deployment.start_boss()
    second = deployment.start_boss(wait=False)
    assert second.wait(timeout=scaled(30)) == 3
    assert "a boss runs on the state directory" in deployment.log() and "Traceback" not in deployment.log()
