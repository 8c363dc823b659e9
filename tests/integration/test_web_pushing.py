"""A whole push over HTTP against a simulated boss: files, following, summary, and what can go wrong on the way."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from boss.api.app import make_app
from boss.api.serve import Server
from boss.cli import follow
from boss.cli.command import ExitCode
from boss.cli.push import PushPlan, push
from boss.client.client import BossLostError, Client, ClientError, RequestRefusedError
from boss.client.find import LOG_FILE, start_boss, wait_for_boss
from boss.core.effects import Answer
from boss.core.events import Submitted
from boss.core.reasons import Rejection, RejectionKind
from boss.intake.reader import PushOptions, read_file
from boss.state_directory.boss_file import announce, withdraw
from boss.state_directory.tokens import ensure_token
from tests.worlds.api import FakeBackend, serve
from tests.worlds.waiting import scaled, wait_for

TOP = Path(__file__).resolve().parents[2]


@pytest.fixture
def backend(tmp_path: Path) -> FakeBackend:
    return FakeBackend(tmp_path / "boss")


@pytest.fixture
def state_directory(tmp_path: Path) -> Path:
    path = tmp_path / ".ecloud"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def server(backend: FakeBackend, state_directory: Path) -> Iterator[Server]:
    running = serve(make_app(backend, [ensure_token(state_directory)]))
    announce(state_directory, running.url)
    yield running
    running.stop()
    withdraw(state_directory)


def _plan(
    tmp_path: Path, tasks: str = '[{"id": "a", "commands": []}, {"id": "b", "commands": []}]', **more: object
) -> PushPlan:
    path = tmp_path / "tasks.json"
    path.write_text(tasks)
    return PushPlan(
        task_file=read_file(path, PushOptions()),
        command="push_tasks.py tasks.json",
        state_directory=tmp_path / ".ecloud",
        configured=None,
        root=TOP,
        results=tmp_path / "ecloud-data",
        **more,  # type: ignore[arg-type]
    )


def _push(plan: PushPlan) -> tuple[ExitCode, str, str]:
    out, err = io.StringIO(), io.StringIO()
    return push(plan, out, err), out.getvalue(), err.getvalue()


def _ends(backend: FakeBackend, **counts: int) -> None:
    """The batch ends so as soon as a client begins to follow it."""
    before = backend.followed

    def end() -> None:
        wait_for(lambda: backend.followed > before, "it is followed")
        backend.set_batch(7, **counts)

    threading.Thread(target=end, daemon=True).start()


def test_a_push_whose_tasks_all_succeed_ends_with_0(server: Server, backend: FakeBackend, tmp_path: Path) -> None:
    _ends(backend, succeeded=2)
    code, out, err = _push(_plan(tmp_path))
    assert code == ExitCode.OK
    assert out.splitlines() == ["2 of 2 tasks succeeded.", f"Results: {tmp_path / 'ecloud-data'}"]
    assert "Accepted as batch 7: 2 tasks." in err
    assert "Warning: one warning" in err
    assert "2/2 done" in err


def test_a_push_tells_how_results_are_fetched_from_another_host(
    server: Server, backend: FakeBackend, tmp_path: Path
) -> None:
    _ends(backend, succeeded=2)
    _, out, _ = _push(replace(_plan(tmp_path), results=None))
    assert "admin.py get --batch 7 DIRECTORY" in out


def test_what_was_dropped_meanwhile_is_reported(server: Server, backend: FakeBackend, tmp_path: Path) -> None:
    _ends(backend, succeeded=1)
    code, out, _ = _push(_plan(tmp_path))
    assert code == ExitCode.TASKS_FAILED
    assert "1 of 2 tasks succeeded, 1 dropped." in out


def test_failed_tasks_are_named_with_their_reasons(server: Server, backend: FakeBackend, tmp_path: Path) -> None:
    for detail in backend.reads.details.values():
        detail.task.batch = 7
    _ends(backend, succeeded=1, failed=1, blocked=1)
    three = [{"id": id, "commands": []} for id in "abc"]
    code, out, _ = _push(_plan(tmp_path, json.dumps(three)))
    assert code == ExitCode.TASKS_FAILED
    assert "1 of 3 tasks succeeded, 1 failed, 1 not run (dependencies failed)." in out
    assert "  fail/ä \\x1b[31m: exit code 1 of command 2\n" in out
    assert "  after: dependencies failed" in out
    assert "admin.py show_task" in out
    assert "\x1b" not in out


def test_the_summary_is_there_as_json(server: Server, backend: FakeBackend, tmp_path: Path) -> None:
    _ends(backend, succeeded=2)
    _, out, _ = _push(_plan(tmp_path, as_json=True))
    shown = json.loads(out)
    assert (shown["batch"], shown["counts"]["succeeded"], shown["finished"], shown["exit_code"]) == (7, 2, True, 0)


def test_only_missing_files_are_sent(server: Server, backend: FakeBackend, tmp_path: Path) -> None:
    (tmp_path / "net.inp").write_bytes(os.urandom(600_000))
    plan = _plan(tmp_path, '[{"id": "a", "commands": [], "requirements": ["net.inp"]}]')
    for words in ("600.0 kB of files sent.", ""):
        _ends(backend, succeeded=1)
        code, _, err = _push(plan)
        assert code == ExitCode.OK
        assert words in err
        assert ("files sent" in err) is bool(words)


def test_a_file_that_changed_since_it_was_read_is_reported(server: Server, tmp_path: Path) -> None:
    (tmp_path / "net.inp").write_bytes(b"first")
    plan = _plan(tmp_path, '[{"id": "a", "commands": [], "requirements": ["net.inp"]}]')
    (tmp_path / "net.inp").write_bytes(b"other")
    with pytest.raises(ClientError, match=r"net\.inp failed: .*digest"):
        _push(plan)
    (tmp_path / "net.inp").write_bytes(b"x")
    with pytest.raises(ClientError, match="shorter"):
        _push(plan)


def test_detached_it_returns_once_it_is_accepted(server: Server, backend: FakeBackend, tmp_path: Path) -> None:
    code, out, _ = _push(_plan(tmp_path, detach=True))
    assert (code, backend.detached, backend.max_followers) == (ExitCode.OK, [7], 0)
    assert "admin.py status" in out


def test_what_the_boss_refuses_reaches_the_user(server: Server, backend: FakeBackend, tmp_path: Path) -> None:
    lines = ["task 'a': there already with another content", "and 'b'"]
    backend.says = Answer(reply=0, rejections=[Rejection(RejectionKind.ID_CLASH, line) for line in lines])
    with pytest.raises(RequestRefusedError) as refused:
        _push(_plan(tmp_path))
    assert refused.value.details == lines


def test_a_boss_that_is_just_ending_is_asked_again(server: Server, backend: FakeBackend, tmp_path: Path) -> None:
    backend.now = msgspec.structs.replace(backend.now, stopping=True)

    def stay() -> None:
        time.sleep(0.3)
        backend.now = msgspec.structs.replace(backend.now, stopping=False)
        _ends(backend, succeeded=2)

    threading.Thread(target=stay, daemon=True).start()
    assert _push(_plan(tmp_path))[0] == ExitCode.OK
    assert [type(event) for event in backend.asked] == [Submitted]


def test_following_goes_on_with_the_next_boss(backend: FakeBackend, state_directory: Path, tmp_path: Path) -> None:
    token = ensure_token(state_directory)
    first = serve(make_app(backend, [token]))
    announce(state_directory, first.url)

    def change_of_boss() -> None:
        wait_for(lambda: backend.followers, "it is followed")
        first.stop()
        second = serve(make_app(backend, [token]))
        announce(state_directory, second.url)
        servers.append(second)
        backend.set_batch(7, succeeded=2)

    servers: list[Server] = []
    thread = threading.Thread(target=change_of_boss)
    thread.start()
    code, _, err = _push(_plan(tmp_path))
    thread.join()
    servers[0].stop()
    assert code == ExitCode.OK
    assert "The connection to the boss is lost" in err


def test_a_boss_that_does_not_come_back_is_reported_with_the_command_that_goes_on(
    backend: FakeBackend, state_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow.follow, "__defaults__", (0.5,))
    running = serve(make_app(backend, [ensure_token(state_directory)]))
    announce(state_directory, running.url)

    def end() -> None:
        wait_for(lambda: backend.followers, "it is followed")
        withdraw(state_directory)
        running.stop()

    thread = threading.Thread(target=end)
    thread.start()
    with pytest.raises(BossLostError, match=r"Go on with the same command: push_tasks\.py tasks\.json"):
        _push(_plan(tmp_path))
    thread.join()


def test_a_configured_boss_that_is_away_is_reported_and_none_is_started(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    client = Client("http://127.0.0.1:9", "token")
    away = PushPlan(**{**vars(plan), "configured": client, "state_directory": None})
    with pytest.raises(ClientError, match="127.0.0.1:9"):
        _push(away)
    client.close()


def test_a_boss_that_cannot_start_is_reported_with_the_end_of_its_log(state_directory: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('python -m boss: the disk is full')"]
    with pytest.raises(ClientError, match="ended with exit code 1") as shown:
        wait_for_boss(state_directory, start_boss(state_directory, TOP, command))
    assert "the disk is full" in str(shown.value)
    assert (state_directory / LOG_FILE).stat().st_mode & 0o077 == 0


def test_a_boss_that_another_push_started_is_used(server: Server, state_directory: Path) -> None:
    loser = start_boss(state_directory, TOP, [sys.executable, "-c", "import sys; sys.exit(3)"])
    client = wait_for_boss(state_directory, loser)
    assert client.url == server.url
    client.close()
    loser.wait(scaled(30))


def test_a_started_boss_has_a_session_of_its_own_and_takes_no_file_of_the_current_directory(
    state_directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('taken')")
    script = "import json, os; print(os.getsid(0) == os.getpid(), os.environ['ECLOUD_HOME'], os.getcwd())"
    process = start_boss(state_directory, TOP, [sys.executable, "-P", "-c", script])
    assert process.wait(scaled(30)) == 0
    assert (state_directory / LOG_FILE).read_text() == f"True {state_directory} {tmp_path}\n"


def test_ctrl_c_ends_the_following_and_says_how_to_go_on(
    server: Server, backend: FakeBackend, state_directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "tasks.json").write_text('[{"id": "a", "commands": []}]')
    process = subprocess.Popen(
        [sys.executable, str(TOP / "push_tasks.py"), "tasks.json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "ECLOUD_HOME": str(state_directory)},
    )
    wait_for(lambda: backend.followers, "it follows")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=scaled(30))
    assert (process.returncode, out) == (130, "")
    assert "go on with the same command: push_tasks.py tasks.json" in err
    assert "Traceback" not in err
