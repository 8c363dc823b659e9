"""docs/http-api.md and docs/commands.md leave nothing out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

import admin
import push_tasks
from boss.api.table import ROUTES
from boss.cli.command import ExitCode

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_route_is_described(route: object) -> None:
    method, path = route.method, route.path  # type: ignore[attr-defined]
    assert f"{method} {re.sub(r':[a-z]+', '', path)}" in (DOCS / "http-api.md").read_text()


def test_every_command_and_option_is_described() -> None:
    text = (DOCS / "commands.md").read_text()
    for command in admin.app.registered_commands:
        assert f"| `{command.name}" in text
    for program in (push_tasks.app, admin.app):
        for parameter in typer.main.get_command(program).params:
            for option in parameter.opts:
                assert not option.startswith("--") or option in ("--help",) or option in text, option


def test_every_exit_code_is_described() -> None:
    text = (DOCS / "commands.md").read_text()
    for code in ExitCode:
        assert f"| {int(code)} |" in text
