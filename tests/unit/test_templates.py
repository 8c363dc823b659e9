"""The files that an administrator copies: they are well formed and speak of programs that there are."""

from __future__ import annotations

import configparser
import importlib.util
from pathlib import Path

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names keep their case
    parser.read_string((TEMPLATES / name).read_text())
    return parser


def test_the_unit_of_the_boss_starts_the_boss_and_leaves_its_workers_alone() -> None:
    service = unit("ecloud-boss.service")["Service"]
    program, *arguments = service["ExecStart"].split()
    assert program.startswith("/") and program.endswith("/.venv/bin/python")
    assert arguments == ["-m", "boss"]
    assert importlib.util.find_spec("boss.__main__") is not None
    assert service["KillMode"] == "process", "workers outlive a boss that died"
    assert service["Restart"] == "on-failure"
    assert service["Environment"].startswith("ECLOUD_HOME=/")
