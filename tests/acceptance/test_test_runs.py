"""Runs of the tests: a missing program fails a test with one line, in CI nothing is skipped, timeouts are scaled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds.doc_blocks import TOP
from tests.worlds.waiting import scaled

OURS = (
    "pyproject.toml",
    "tests/conftest.py",
    *(f"tests/worlds/{name}.py" for name in ("parts", "waiting", "machine_speed")),
)


def run_suite(directory: Path, body: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """pytest on one test file, with our conftest and settings, in a project of its own."""
    (directory / "tests" / "worlds").mkdir(parents=True)
    for name in OURS:
        (directory / name).write_bytes((TOP / name).read_bytes())
    (directory / "tests" / "test_it.py").write_text(f"import pytest\n\n{body}")
    kept = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "tests"]
    environment = {**kept, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=scaled(60)
    )


SKIPS = "def test_one():\n    pytest.skip('no time')\n\n\ndef test_two():\n    pass\n"
NEEDS = "@pytest.mark.needs('rsync')\ndef test_one():\n    pass\n"


@pytest.mark.parametrize(("environment", "code"), [({}, 0), ({"CI": "true"}, 1)])
def test_a_skipped_test_fails_the_run_in_ci_only(tmp_path: Path, environment: dict[str, str], code: int) -> None:
    done = run_suite(tmp_path, SKIPS, **environment)
    assert done.returncode == code, done.stdout
    assert ("where nothing may be skipped" in done.stdout) == bool(code)


def test_a_missing_program_fails_the_test_with_the_command_that_installs_it(tmp_path: Path) -> None:
    body = f"import tests.worlds.parts\ntests.worlds.parts.PARTS['rsync'] = (('no-such-program',), 'rsync')\n\n{NEEDS}"
    done = run_suite(tmp_path, body)
    assert done.returncode == 1
    assert "no-such-program is not installed: sudo apt-get install rsync (./run_tests.sh does it)" in done.stdout


def test_an_undeclared_part_fails_the_test(tmp_path: Path) -> None:
    done = run_suite(tmp_path, NEEDS.replace("rsync", "teapot"))
    assert done.returncode == 1 and "knows no part 'teapot'" in done.stdout


def test_a_warning_is_an_error(tmp_path: Path) -> None:
    done = run_suite(tmp_path, "import warnings\n\n\ndef test_one():\n    warnings.warn('mind this')\n")
    assert done.returncode == 1 and "mind this" in done.stdout


WAITS = """
import time
from tests.worlds.waiting import wait_for
from tests.worlds import waiting

@pytest.mark.timeout(1)
def test_one():
    time.sleep(1.5)
    began = time.monotonic()
    with pytest.raises(AssertionError, match="not within .* s: never\\nthe story"):
        wait_for(lambda: False, "never", 0.1, story=lambda: "the story")
    assert 0.1 * {factor} <= time.monotonic() - began
    assert wait_for(lambda: "value", "now") == "value"
"""


@pytest.mark.parametrize(("factor", "outcome"), [("20", "1 passed"), ("0.1", "Timeout")])
def test_the_timeouts_of_tests_and_of_what_they_wait_for_are_scaled(tmp_path: Path, factor: str, outcome: str) -> None:
    done = run_suite(tmp_path, WAITS.format(factor=factor), "--timeout-factor", factor)
    assert outcome in done.stdout, done.stdout


def test_all_processes_of_a_run_have_the_factor_that_was_measured_when_it_began(tmp_path: Path) -> None:
    note = "    with open('factors', 'a') as file:\n        file.write(f'{waiting.scaled(1)}\\n')\n"
    body = "from tests.worlds import waiting\n\n" + "".join(f"def test_{n}():\n{note}\n" for n in range(4))
    done = run_suite(tmp_path, body, "--numprocesses=2", TESTS_TIMEOUT_FACTOR="")
    assert done.returncode == 0, done.stdout
    factors = (tmp_path / "factors").read_text().splitlines()
    assert len(factors) == 4 and len(set(factors)) == 1 and float(factors[0]) >= 1
