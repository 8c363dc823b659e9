"""The commands start soon: what takes time to import is imported by the command that needs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds.waiting import scaled

TOP = Path(__file__).resolve().parents[3]
HEAVY = (
    "alembic amqtt jinja2 matplotlib networkx numpy paho paramiko pyarrow pyone sqlalchemy starlette uvicorn".split()
)


@pytest.mark.parametrize("program", ["admin", "push_tasks"])
def test_a_program_of_commands_imports_no_heavy_package_at_its_start(program: str) -> None:
    script = f"import sys, {program}; sys.exit(' '.join(sorted(set({HEAVY}) & set(sys.modules))) or 0)"
    done = subprocess.run([sys.executable, "-c", script], cwd=TOP, capture_output=True, text=True, timeout=scaled(60))
    assert (done.returncode, done.stderr) == (0, "")
