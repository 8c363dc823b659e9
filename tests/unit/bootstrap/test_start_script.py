"""The start script of a machine: complete where it is handed out, from one source."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from boss.bootstrap.start_script import STARTUP, start_script

TOP = Path(__file__).resolve().parents[3]
PROGRAM = TOP / "worker" / "bootstrap" / "bootstrap.py"


def test_the_script_that_is_handed_out_has_the_program_inside_as_it_is() -> None:
    script = start_script()
    before, _, rest = script.partition("<<'END_OF_BOOTSTRAP'\n")
    inside, end, _ = rest.partition("\nEND_OF_BOOTSTRAP\n")
    assert before.startswith("#!/bin/sh\n") and end
    assert f"{inside}\n" == PROGRAM.read_text()


def test_the_checkout_has_no_copy_of_the_program() -> None:
    script = (TOP / STARTUP).read_text()
    assert "\n@BOOTSTRAP@\n" in script and "import " not in script.partition("@BOOTSTRAP@")[2]


def test_a_script_that_is_complete_stays_as_it_is(tmp_path: Path) -> None:
    """A boss that runs from a bundle hands out that bundle's script."""
    (tmp_path / "worker").mkdir()
    (tmp_path / STARTUP).write_text(start_script())
    assert start_script(tmp_path) == start_script()


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_reads_both(shell: str) -> None:
    for script in (start_script(), (TOP / STARTUP).read_text()):
        assert subprocess.run([shell, "-n"], input=script, text=True, check=False).returncode == 0
