"""A renamed command or option works by its former name, with one warning on stderr, and is in no help."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import admin
import push_tasks
from boss.cli import app as former


@pytest.fixture(autouse=True)
def _renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if `status` had been called `state`, and two options otherwise."""
    (tmp_path / ".ecloud").mkdir()
    monkeypatch.setenv("ECLOUD_HOME", str(tmp_path / ".ecloud"))
    monkeypatch.setattr(former, "COMMANDS", {"state": "status"})
    monkeypatch.setattr(former, "OPTIONS", {"show_queued": {"--most": "--limit"}, "push_tasks": {"--dry": "--check"}})


def run(*arguments: str) -> Result:
    return CliRunner().invoke(admin.app, list(arguments))


def test_a_command_answers_to_its_former_name() -> None:
    done = run("state", "--json")
    assert (done.exit_code, done.stdout) == (0, run("status", "--json").stdout)
    assert done.stderr == "Warning: state is now called status; rename it, the next release does not know state\n"
    assert run("status").stderr == ""
    assert "\n  state " not in run("--help").stdout


@pytest.mark.parametrize("words", [["--most", "3"], ["--most=3"]])
def test_an_option_is_taken_by_its_former_name(words: list[str]) -> None:
    done = run("show_queued", *words)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "Warning: --most is now called --limit; rename it, the next release does not know --most\n"
    assert "--most" not in run("show_queued", "--help").stdout


def test_both_names_at_once_and_a_wrong_value_are_errors() -> None:
    done = run("show_queued", "--most", "3", "--limit", "3")
    assert (done.exit_code, done.stderr) == (2, "Error: --most is the former name of --limit: give one of them\n")
    assert run("show_queued", "--most", "many").exit_code == 2


def test_an_option_of_another_command_is_unknown_as_before() -> None:
    assert "No such option: --most" in run("show_failed", "--most", "3").stderr


def test_what_follows_two_dashes_is_no_option() -> None:
    assert former.present_options(["--", "--most"], {"--most": "--limit"}) == ["--", "--most"]


def test_push_tasks_has_former_options_too(tmp_path: Path) -> None:
    (tmp_path / "tasks.json").write_text('[{"id": "a", "commands": "true"}]')
    done = CliRunner().invoke(push_tasks.app, ["--dry", str(tmp_path / "tasks.json")])
    assert done.exit_code == 0, done.stderr
    assert done.stderr.startswith("Warning: --dry is now called --check;")
