"""Bad task files through push_tasks.py: one clear error that names the place, nothing accepted, the next push works."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing

import pytest

from boss.cli.command import ExitCode
from boss.client.find import boss_of
from tests.worlds.deployment import TOP, Deployment, deployment
from tests.worlds.digests import digest
from tests.worlds.waiting import wait_for

__all__ = ["deployment"]

GOOD = [{"id": "good", "commands": ["true"]}]
ODD = "ünï/日本 ✓ 'q\""

#: what it is: (content of the file, words of the error)
BAD_FILES = {
    "malformed JSON": ('[{"id": "a",\n  "commands": ["true"],}]', ["tasks.json:2", "column 24", "not JSON"]),
    "cut off": ('[{"id": "a"', ["tasks.json:1", "not JSON"]),
    "not UTF-8": (b'[{"id": "\xff\xfe"}]', ["tasks.json", "UTF-8"]),
    "nested too deeply": ("[" * 100_000, ["tasks.json:1", "nested too deeply"]),
    "an empty file": ("", ["the file is empty", "`[]`"]),
    "neither list nor object": ("5", ["neither a list of tasks nor an object"]),
    "a list of no tasks": ("[5]", ["task number 1", "object"]),
    "wrong types": (
        [{"id": 5, "commands": 3}, {"id": "b", "commands": [], "timeout": "soon", "dependencies": "a"}],
        ["task number 1, id: is a number", "commands: is a number", 'task "b", timeout: is `soon`', "dependencies"],
    ),
    "an unknown field": ([{"id": "a", "comands": "true"}], ['task "a", comands', "Did you mean `commands`?"]),
    "a fault in the second task only": (
        [*GOOD, {"id": "b", "commands": [], "retries": -1}],
        ['task "b", retries', "1 problem"],
    ),
    "a missing id": ([{"commands": []}], ["task number 1, id: is missing"]),
    "missing commands": ([{"id": "a"}], ['task "a", commands: is missing']),
    "a duplicate id": ([*GOOD, *GOOD], ['task "good", id: stands twice']),
    "a dependency on itself": (
        [{"id": "a", "commands": [], "dependencies": ["a"]}],
        ['task "a", dependencies: the task depends on itself'],
    ),
    "a cycle": (
        [
            {"id": "a", "commands": [], "dependencies": ["c"]},
            {"id": "b", "commands": [], "dependencies": ["a"]},
            {"id": "c", "commands": [], "dependencies": ["b"]},
        ],
        ["cycle", "a -> c -> b -> a"],
    ),
    "a result that leaves the tree": ([{"id": "a", "commands": [], "results": ["../x"]}], ["`../x` leaves the tree"]),
    "a requirement that leaves the tree": (
        [{"id": "a", "commands": [], "requirements": [["net/../../x", "x"]]}],
        ['task "a", requirements[0]', "leaves the tree"],
    ),
    "an absolute path": ([{"id": "a", "commands": [], "requirements": ["/etc/passwd"]}], ["an absolute path"]),
    "a path of our own": ([{"id": "a", "commands": [], "results": [".ecloud/x"]}], ['task "a", results[0]']),
    "a command of 1 MB": ([{"id": "a", "commands": ["x" * 2**20]}], ["longer than 1,048,576 bytes"]),
    "an argument that Linux does not take": (
        [{"id": "a", "commands": ["x" * 200_000]}],
        ['task "a"', "longer than", "put it into a script"],
    ),
    "a NUL": ([{"id": "a", "commands": ["a\0b"]}], ['task "a"', "NUL"]),
    "an id with an escape sequence": ([{"id": "\x1b[31m", "commands": []}], ["control character"]),
}


def state_of(deployment: Deployment, task: str) -> str:
    state: str = deployment.asked("show_task", task)["task"]["state"]
    return state


def assert_a_sentence(shown: str) -> None:
    """What a user sees of any fault: no traceback, and nothing that a terminal would obey."""
    assert "Traceback" not in shown and "\x1b" not in shown, shown


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_bad_file_is_reported_with_its_place_and_starts_nothing(deployment: Deployment, what: str) -> None:
    content, words = BAD_FILES[what]
    path = deployment.directory / "tasks.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    done = deployment.push("tasks.json")
    assert done.returncode == ExitCode.BAD_INPUT, done.stdout + done.stderr
    assert not [word for word in words if word not in done.stderr], done.stderr
    assert_a_sentence(done.stdout + done.stderr)
    assert not deployment.home.exists() and not deployment.tree.exists() and deployment.processes() == {}


def test_a_name_that_is_no_file_is_reported(deployment: Deployment) -> None:
    for name, words in (("none.json", "No such file"), (".", "directory")):
        done = deployment.push(name)
        assert done.returncode == ExitCode.BAD_INPUT and words in done.stderr
        assert_a_sentence(done.stderr)


def test_what_the_boss_refuses_leaves_nothing_and_the_next_push_works(deployment: Deployment) -> None:
    deployment.start_boss()
    first = deployment.write("first.json", [{"id": "old", "commands": ["true"], "results": []}])
    assert deployment.push(first).returncode == ExitCode.OK
    before = deployment.asked("show_batches")

    unknown = [*GOOD, {"id": "b", "commands": [], "dependencies": ["nope"]}]
    done = deployment.push(deployment.write("unknown.json", unknown))
    assert done.returncode == ExitCode.NO_BOSS and "'nope'" in done.stderr and "'b'" in done.stderr, done.stderr
    assert_a_sentence(done.stderr)

    clash = [*GOOD, {"id": "old", "commands": ["false"]}]
    done = deployment.push(deployment.write("clash.json", clash))
    assert done.returncode == ExitCode.NO_BOSS and "'old'" in done.stderr and "--name first" in done.stderr, done.stderr

    assert deployment.asked("show_batches") == before
    missing = deployment.admin("show_task", "good")
    assert missing.returncode == ExitCode.BAD_INPUT and "there is no task 'good'" in missing.stderr
    assert deployment.push(deployment.write("good.json", GOOD)).returncode == ExitCode.OK
    assert state_of(deployment, "good") == "succeeded"


def test_unusual_tasks_that_are_right_run(deployment: Deployment) -> None:
    """An empty list, a command of 10 kB in two lines, ids and outputs that no terminal should be given as they are."""
    deployment.start_boss()
    empty = deployment.push(deployment.write("empty.json", []))
    assert empty.returncode == ExitCode.OK and "nothing to do" in empty.stdout

    spoof, hostile = "\u202etxt.live", "printf '\\033]0;owned\\007\\033[2J\\377'; exit 4"
    tasks = [
        {"id": "long", "commands": [f"x={'a' * 10_240}\necho ${{#x}} > size"], "results": ["size"]},
        {"id": ODD, "commands": [f"test -e {deployment.directory}/fixed"]},
        {"id": spoof, "commands": [hostile]},
    ]
    done = deployment.push(deployment.write("tasks.json", tasks))
    assert done.returncode == ExitCode.TASKS_FAILED, done.stdout + done.stderr
    assert (deployment.tree / "size").read_text() == "10240\n"
    assert ODD in done.stdout
    shown = [deployment.admin("show_task", spoof), deployment.admin("show_failed"), done]
    for each in shown:
        assert_a_sentence(each.stdout + each.stderr)
        assert "\u202e" not in each.stdout + each.stderr
    assert "owned" in shown[0].stdout

    (deployment.directory / "fixed").touch()
    assert deployment.admin("retry_failed", ODD).returncode == ExitCode.OK
    wait_for(lambda: state_of(deployment, ODD) == "succeeded", "the task is tried again")


def test_a_file_of_100_mb_arrives_intact_and_goes_on_after_an_interrupted_upload(deployment: Deployment) -> None:
    block = bytes(range(256)) * 4096
    with (deployment.directory / "big.bin").open("wb") as file:
        for number in range(100):
            file.write(number.to_bytes(8, "big") + block[8:])
    content = (deployment.directory / "big.bin").read_bytes()
    sent_digest, size = digest(content), len(content)
    tasks = [{"id": "a", "commands": ["cp big.bin copy.bin"], "requirements": ["big.bin"], "results": ["copy.bin"]}]
    path = deployment.write("tasks.json", tasks)
    deployment.start_boss()

    with closing(boss_of(deployment.home)) as client, pytest.raises(Interrupted):
        client.send_file(sent_digest, size, 0, _first_part(deployment, 40_000_000))
    part = deployment.home / "spool" / f"{sent_digest.removeprefix('b2:')}.part"
    have = wait_for(lambda: part.stat().st_size, "a part of it came")

    done = deployment.push(path)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    sent = re.search(r"([\d.]+) MB of files sent", done.stderr)
    assert sent and float(sent[1]) <= (size - have) / 1e6 + 2, done.stderr
    assert (deployment.tree / "copy.bin").read_bytes() == content


class Interrupted(Exception):
    """The sender died."""


def _first_part(deployment: Deployment, count: int) -> Iterator[bytes]:
    with (deployment.directory / "big.bin").open("rb") as file:
        for _ in range(count // 100_000):
            yield file.read(100_000)
    raise Interrupted


def test_broken_networks_fail_their_task_with_the_text_of_epanet(deployment: Deployment) -> None:
    network = (TOP / "tests" / "networks" / "Net1.inp").read_text()
    deployment.write("broken.inp", network.replace(" 10              \t10", " 10              \tnowhere", 1))
    (deployment.directory / "garbage.inp").write_bytes(bytes(range(256)) * 40)
    deployment.write("empty.inp", "")
    deployment.write("good.inp", network)
    names = ("broken", "garbage", "empty", "good")
    assert (deployment.directory / "broken.inp").read_text() != network
    tasks = [
        {"id": name, "epanet": {"inp": f"{name}.inp", "scenarios": [{"demand.multiplier": 1.1}]}} for name in names
    ]
    done = deployment.push(deployment.write("tasks.json", tasks))
    assert done.returncode == ExitCode.TASKS_FAILED, done.stdout + done.stderr
    assert_a_sentence(done.stdout + done.stderr)
    assert "1 of 4 tasks succeeded, 3 failed" in done.stdout
    shown = {name: deployment.admin("show_task", name).stdout for name in names}
    assert "Success: True" in shown["good"]
    for name in ("broken", "garbage", "empty"):
        assert re.search(r"Error 2\d\d: ", shown[name]), shown[name]
        assert "Traceback" not in shown[name], shown[name]
    assert "line 28: Error 203: undefined node nowhere" in shown["broken"], shown["broken"]
