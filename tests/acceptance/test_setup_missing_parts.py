"""A missing program fails a test with one line, and in CI nothing is skipped without failing the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds.doc_blocks import TOP


def run_suite(directory: Path, body: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """pytest on one test file, with our conftest and settings, in a project of its own."""
    (directory / "tests").mkdir()
    for name in ("tests/conftest.py", "tests/worlds/parts.py", "pyproject.toml"):
        (directory / name).write_bytes((TOP / name).read_bytes())
    (directory / "tests" / "test_it.py").write_text(f"import pytest\n\n{body}")
    kept = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    environment = {**kept, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


SKIPS = "def test_one():\n    pytest.skip('no time')\n\n\ndef test_two():\n    pass\n"
NEEDS = "@pytest.mark.needs('rsync')\ndef test_one():\n    pass\n"


@pytest.mark.parametrize(("environment", "code"), [({}, 0), ({"CI": "true"}, 1)])
def test_a_skipped_test_fails_the_run_in_ci_only(tmp_path: Path, environment: dict[str, str], code: int) -> None:
    done = run_suite(tmp_path, SKIPS, **environment)
    assert done.returncode == code, done.stdout
    assert ("where nothing may be skipped" in done.stdout) == bool(code)


def test_a_missing_program_fails_the_test_with_the_command_that_installs_it(tmp_path: Path) -> None:
    body = f"import tests.worlds.parts\ntests.parts.PARTS['rsync'] = (('no-such-program',), 'rsync')\n\n{NEEDS}"
    done = run_suite(tmp_path, body)
    assert done.returncode == 1
    assert "no-such-program is not installed: sudo apt-get install rsync (./run_tests.sh does it)" in done.stdout


def test_a_part_that_nobody_declared_fails_the_test(tmp_path: Path) -> None:
    done = run_suite(tmp_path, NEEDS.replace("rsync", "teapot"))
    assert done.returncode == 1 and "knows no part 'teapot'" in done.stdout


def test_a_warning_is_an_error(tmp_path: Path) -> None:
    done = run_suite(tmp_path, "import warnings\n\n\ndef test_one():\n    warnings.warn('mind this')\n")
    assert done.returncode == 1 and "mind this" in done.stdout
