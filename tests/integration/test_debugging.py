"""What the boss makes of a check of a worker's host: lines from whatever comes, a limit, an end that is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from boss.bootstrap import debug_worker
from boss.bootstrap.debug_worker import MAX_BYTES, MAX_LINE, debug_lines
from boss.bootstrap.ssh_keys import SshKey, ensure_keys
from tests.worlds import ssh_server
from tests.worlds.ssh_server import SshServer
from wire.messages import Place

server = ssh_server.server


@pytest.fixture
def keys(tmp_path: Path) -> list[SshKey]:
    return ensure_keys(tmp_path)


@pytest.fixture
def place(server: SshServer, keys: list[SshKey]) -> Place:
    (server.own / "authorized").write_text(keys[0].authorized_keys_line + "\n")
    return server.place(server.make("home"))


def look(place: Place, keys: list[SshKey]) -> tuple[list[str], list[str]]:
    """What is printed, and what failed."""
    *said, last = debug_lines("w1", place, keys[0].path, keys[1].public)
    assert last.ended and not any(line.ended for line in said)
    return [line.text for line in said], last.failed


def speak_as(script: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run this there in place of debug.sh."""
    path = tmp_path / "script.sh"
    path.write_text(script)
    monkeypatch.setattr(debug_worker, "SCRIPT", path)


def test_pieces_become_lines_whatever_they_hold() -> None:
    pieces = iter([b"on", b"e\ntw", b"o\r\n\xff\x1b[2J\n", b"x" * 5000, b"y\n", b"last"])
    assert list(debug_worker._lines(pieces)) == ["one", "two", "\ufffd\x1b[2J", "x" * MAX_LINE, "last"]


@pytest.mark.needs("sshd", "ssh-keygen")
def test_a_home_in_which_no_agent_has_started_is_said(place: Place, keys: list[SshKey]) -> None:
    said, failed = look(place, keys)
    assert failed == ["agent.env"]
    assert any(line.startswith(f"FAILED  agent.env: {place.path}/agent.env is not readable by") for line in said)


@pytest.mark.needs("sshd", "ssh-keygen")
def test_the_script_gets_the_home_and_what_the_boss_knows(
    place: Place, keys: list[SshKey], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    speak_as('for word in "$@"; do echo "<$word>"; done', monkeypatch, tmp_path)
    said, failed = look(replace(place, path="/home of/it's $HOME"), keys)
    assert failed == []
    assert said[said.index("<--home>") + 1] == "</home of/it's $HOME>"
    assert said[said.index("<--datastore-key>") + 1] == f"<{keys[1].public}>"


@pytest.mark.needs("sshd", "ssh-keygen")
@pytest.mark.parametrize(
    ("script", "failed"),
    [
        ("yes FAILED-not", ["output"]),
        ("exit 127", ["debug.sh"]),
        ("echo 'FAILED  clock: late'; exit 1", ["clock"]),
        ("kill -9 $$", ["debug.sh"]),
    ],
)
def test_an_end_that_is_not_as_it_should_be_is_a_failure(
    script: str, failed: list[str], place: Place, keys: list[SshKey], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    speak_as(script, monkeypatch, tmp_path)
    said, reported = look(place, keys)
    assert reported == failed
    assert sum(map(len, said)) < 2 * MAX_BYTES


def test_a_script_that_fails_here_is_a_failure_too(
    keys: list[SshKey], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for script, failed in (("echo well", []), ("exit 126", ["debug.sh"]), ("kill -9 $$", ["debug.sh"])):
        speak_as(script, monkeypatch, tmp_path)
        assert look(Place(path=str(tmp_path)), keys)[1] == failed


def test_no_more_than_a_few_are_looked_at_together(
    keys: list[SshKey], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    speak_as("echo well", monkeypatch, tmp_path)
    place = Place(path=str(tmp_path))
    begun = [debug_lines("w1", place, keys[0].path, "") for _ in range(4)]
    for each in begun:
        next(each)
    said, failed = look(place, keys)
    assert "ask again" in said[0] and failed == ["not looked at"]
    for each in begun:
        each.close()  # type: ignore[attr-defined]
    assert look(place, keys)[1] == []
