"""What the checks of a worker's machine say, and how an agent's start is kept for them."""

from __future__ import annotations

import http.server
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wire.messages import VERSION
from worker.debug.broker_checks import look_at_boss
from worker.debug.finding import Finding, lines, summary
from worker.debug.machine_checks import check_machine
from worker.debug.ssh_checks import _others_may_write
from worker.options import WorkerOptions, given_values, read_options, start_lines, write_start

TOP = Path(__file__).resolve().parents[3]
NOW = 1_800_000_000.0


def options(home: Path, **variables: str) -> WorkerOptions:
    return read_options([], {"ECLOUD_WORKER_ID": "w1", "ECLOUD_WORKER_HOME": str(home), **variables})


def found(home: Path, here: float = NOW, boss: float | None = NOW, version: int | None = VERSION) -> dict[str, Finding]:
    return {each.name.split(" /")[0]: each for each in check_machine(options(home), here, boss, version)}


def test_a_finding_says_what_was_done_seen_and_what_to_do() -> None:
    finding = Finding("sshd at a:22", "FAILED", "refused", "start it", "connect to a:22")
    assert list(lines(finding)) == [
        "+ connect to a:22",
        "FAILED  sshd at a:22: refused",
        "        what to do: start it",
    ]
    assert list(lines(Finding("boss", "ok"))) == ["ok      boss"]
    assert summary([finding, Finding("boss", "ok")]) == "1 of 2 checks failed: sshd at a:22."
    assert summary([Finding("boss", "ok"), Finding("x", "note")]) == "All 2 checks passed."


@pytest.mark.parametrize(
    ("here", "boss", "state", "words"),
    [
        (NOW + 1, NOW, "ok", "1.0 s ahead of the boss's"),
        (NOW - 90, NOW, "FAILED", "90.0 s behind the boss's"),
        (NOW + 90, NOW, "FAILED", "90.0 s ahead of the boss's"),
        (0.0, NOW, "FAILED", "it was never set"),
        (NOW, None, "ok", "set; compared with the boss's only by admin.py debug_worker"),
    ],
)
def test_a_clock_is_compared_with_the_bosss(
    here: float, boss: float | None, state: str, words: str, tmp_path: Path
) -> None:
    clock = found(tmp_path, here, boss)["clock"]
    assert (clock.state, clock.words) == (state, words)
    assert bool(clock.remedy) == (state == "FAILED")


def test_an_agent_of_another_version_is_to_be_replaced(tmp_path: Path) -> None:
    assert found(tmp_path)["agent version"].state == "ok"
    assert found(tmp_path, version=VERSION + 1)["agent version"].state == "FAILED"
    assert "agent version" not in found(tmp_path, version=None)


BUNDLE = f"3.11-x86_64=b2:{'a' * 64}"


@pytest.mark.parametrize(
    ("boss", "version", "state", "words"),
    [
        (BUNDLE, VERSION, "ok", f"version {VERSION} of the messages, bundle {BUNDLE}, as the boss"),
        (
            f"3.12-x86_64=b2:{'b' * 64}",
            VERSION,
            "ok",
            f"version {VERSION} of the messages, bundle {BUNDLE}, as the boss",
        ),
        (
            f"3.11-x86_64=b2:{'b' * 64}",
            VERSION,
            "FAILED",
            f"it runs from the bundle b2:{'a' * 64}, and the boss has b2:",
        ),
        ("", None, "ok", f"bundle {BUNDLE}; compared with the boss's only by admin.py debug_worker"),
    ],
)
def test_an_agent_of_another_bundle_is_seen(
    boss: str, version: int | None, state: str, words: str, tmp_path: Path
) -> None:
    about = options(tmp_path, ECLOUD_BUNDLE=BUNDLE)
    (finding,) = [one for one in check_machine(about, NOW, NOW, version, boss) if one.name == "agent version"]
    assert finding.state == state and finding.words.startswith(words)
    assert bool(finding.remedy) == (state == "FAILED")


class Door(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path begins with."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def door() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [
        (401, "ok", ""),
        (200, "ok", ""),
        (403, "FAILED", "it is not called so: the address is none of its names"),
        (404, "FAILED", "what answers there is no boss: 404 Not Found"),
    ],
)
def test_the_boss_is_looked_for_at_its_address_and_its_clock_is_read(
    status: int, state: str, words: str, door: str
) -> None:
    finding, its_time = look_at_boss(f"{door}/{status}")
    assert (finding.state, finding.words) == (state, words)
    assert bool(finding.remedy) == (state == "FAILED")
    assert state == "FAILED" or abs((its_time or 0.0) - time.time()) < 10


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nonsense"])
def test_a_boss_that_does_not_answer_is_a_failure_with_a_remedy(url: str) -> None:
    finding, _ = look_at_boss(url)
    assert finding.state == "FAILED" and "http_host" in finding.remedy


def test_an_agent_is_missed_only_where_the_boss_knows_it(tmp_path: Path) -> None:
    assert found(tmp_path, version=None)["agent"].state == "note"
    missed = found(tmp_path)["agent"]
    assert missed.state == "FAILED" and "systemctl start ecloud-worker" in missed.remedy


def test_a_home_that_cannot_be_made_is_named_and_nothing_is_left_of_a_good_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bad = found(tmp_path / "file" / "home")
    assert bad["home"].state == bad["room on its disk"].state == "FAILED"
    assert "ECLOUD_WORKER_HOME" in bad["home"].remedy
    assert found(tmp_path / "new")["home"].state == "ok"
    assert list((tmp_path / "new").iterdir()) == []


def test_every_failure_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for finding in found(tmp_path / "file" / "home", 0.0, NOW, VERSION + 1).values():
        assert finding.state != "FAILED" or finding.remedy, finding


def test_what_others_may_write_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "authorized_keys"
    assert not _others_may_write(path)
    path.touch()
    for mode, open_to_others in ((0o600, False), (0o644, False), (0o664, True), (0o602, True)):
        path.chmod(mode)
        assert _others_may_write(path) == open_to_others


# --- agent.env -----------------------------------------------------------------------------------------


def test_what_an_agent_was_given_is_kept_wherever_it_was_said(tmp_path: Path) -> None:
    environ = {"ECLOUD_WORKER_ID": "w1", "ECLOUD_SLOTS": "3", "ECLOUD_TOKEN": "not an option", "HOME": "/root"}
    given = given_values(["--slots", "5", "--labels", '{"a": "it\'s"}'], environ)
    assert given == {"ECLOUD_WORKER_ID": "w1", "ECLOUD_SLOTS": "5", "ECLOUD_LABELS": '{"a": "it\'s"}'}
    assert read_options([], given).slots == 5
    text = start_lines(given, "/srv/a b")
    assert "cd '/srv/a b'\n" in text
    said = dict(shlex.split(line)[1].split("=", 1) for line in text.splitlines() if line.startswith("export "))
    assert said == given


def test_the_start_is_kept_for_its_owner_and_without_a_password(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret-word")
    environ = {"ECLOUD_WORKER_ID": "w1", "ECLOUD_WORKER_PASSWORD_FILE": str(tmp_path / "password")}
    for _ in range(2):
        write_start(tmp_path, [], environ)
    path = tmp_path / "agent.env"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "secret-word" not in path.read_text() and "password" in path.read_text()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["agent.env", "password"]


def test_another_python_is_reported_with_what_to_do(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && exec echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    environment = {
        "PATH": os.environ["PATH"],
        "ECLOUD_PYTHON": os.fspath(old),
        "ECLOUD_WORKER_HOME": os.fspath(tmp_path),
    }
    command = ["sh", os.fspath(TOP / "worker" / "debug.sh"), "--check"]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    lines_said = done.stdout.splitlines()
    at = lines_said.index("FAILED  Python: Python 3.9.2 does not serve")
    assert lines_said[at + 1].startswith("        what to do: install Python 3.11 or 3.12")
