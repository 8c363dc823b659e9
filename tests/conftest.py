"""What all tests share: the option --seeds, and parts of the system that a test needs.

A part that is missing fails the test with the command that installs it; nothing is ever skipped silently: in CI
(CI=true) a skipped test fails the run.
"""

from __future__ import annotations

import os
import signal

import pytest

from tests.worlds.parts import fault_of

_skipped = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=300, help="how many random seeds the simulation runs (default 300)")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_skipped] = []
    # A shell that starts the tests in its background lets Ctrl-C be ignored by all that they start: here it is tried.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def seeds(request: pytest.FixtureRequest) -> int:
    """How many random seeds to run."""
    count: int = request.config.getoption("--seeds")
    return count


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for part in marker.args:
            fault = fault_of(part)
            if fault:
                pytest.fail(fault, pytrace=False)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail"):
        item.config.stash[_skipped].append(item.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    skipped = session.config.stash[_skipped]
    if skipped and os.environ.get("CI") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skipped = config.stash[_skipped]
    if skipped and os.environ.get("CI"):
        terminalreporter.section("skipped in CI, where nothing may be skipped", red=True, bold=True)
        for name in skipped:
            terminalreporter.line(name)
