"""An operator at a cloud without machines: what they type, against its front end alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.worlds.opennebula.front_end import FrontEnd
from tests.worlds.waiting import scaled

TOP = Path(__file__).resolve().parents[3]


class Typed(NamedTuple):
    """What a command came to."""

    code: int
    output: str
    errors: str


class User:
    def __init__(self, front: FrontEnd, folder: Path) -> None:
        self.home = folder / ".ecloud"
        self.home.mkdir()
        self.given = {
            "opennebula_endpoint": front.endpoint, "opennebula_user": "ecloud", "opennebula_password": "secret",
            "opennebula_template": "worker",
        }  # fmt: skip

    def type(self, *words: str, answer: str = "") -> Typed:
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in self.given.items()]
        (self.home / "settings.toml").write_text("".join(lines))
        done = subprocess.run(
            [sys.executable, str(TOP / "admin.py"), "--state_dir", str(self.home), *words],
            input=answer, capture_output=True, text=True, check=False, timeout=scaled(90),
            env={name: value for name, value in os.environ.items() if not name.startswith("ECLOUD_")},
        )  # fmt: skip
        return Typed(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def front() -> Iterator[FrontEnd]:
    with FrontEnd() as running:
        yield running


@pytest.fixture
def user(front: FrontEnd, tmp_path: Path) -> User:
    return User(front, tmp_path)
