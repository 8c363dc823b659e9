"""What all tests share: the options --seeds and --timeout-factor, and parts of the system that a test needs.

A part that is missing fails the test with the command that installs it; nothing is ever skipped silently: in CI
(CI=true) a skipped test fails the run. All timeouts of tests are multiplied by one factor, so that a slow or loaded
machine fails no test.
"""

from __future__ import annotations

import os
import signal

import pytest
import pytest_timeout

from tests.worlds import waiting
from tests.worlds.machine_speed import timeout_factor
from tests.worlds.parts import fault_of

_skipped = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=300, help="how many random seeds the simulation runs (default 300)")
    parser.addoption(
        "--timeout-factor",
        type=float,
        help="what to multiply all timeouts of tests by (default: how many times slower than an idle machine this one "
        "is when the run begins)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_skipped] = []
    _set_timeout_factor(config)
    # A shell that starts the tests in its background lets Ctrl-C be ignored by all that they start: here it is tried.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _set_timeout_factor(config: pytest.Config) -> None:
    """By the environment, so that all processes of the run have the same; those of xdist find it there."""
    factor: float | None = config.getoption("--timeout-factor")
    if factor is None and not os.environ.get(waiting.FACTOR_VARIABLE):
        factor = timeout_factor(config.getoption("numprocesses", None) or 1)
    if factor is not None:
        os.environ[waiting.FACTOR_VARIABLE] = str(factor)


def pytest_report_header() -> str:
    return f"timeouts are multiplied by {waiting.scaled(1):.2g} (--timeout-factor)"


def pytest_timeout_set_timer(item: pytest.Item, settings: pytest_timeout.Settings) -> bool:
    """What pyproject.toml and the marks of tests allow is meant for an idle machine, too."""
    allowed = settings._replace(timeout=waiting.scaled(settings.timeout))
    started: bool = pytest_timeout.pytest_timeout_set_timer(item, allowed)
    return started


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
