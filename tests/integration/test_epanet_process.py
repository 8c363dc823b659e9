"""The warm child process as a worker uses it, the commands for users, and the agreement with other loaders."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.worlds.epanet import BROKEN, LINE, NET1, NET3, TOP, rows_of
from tests.worlds.waiting import scaled
from worker.epanet.errors import MachineError
from worker.epanet.library import ENGINE_VERSION, library_file, load, version

COMMAND = [sys.executable, "-m", "worker.epanet"]


class Child:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            COMMAND,
            cwd=TOP,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def ask(self, directory: Path, **run: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"run": run, "directory": str(directory)}) + "\n")

    def lines(self) -> list[dict[str, object]]:
        """All that is said up to the end of the task."""
        assert self.process.stdout is not None
        found: list[dict[str, object]] = []
        for line in self.process.stdout:
            found.append(json.loads(line))
            if "ended" in found[-1]:
                break
        return found

    def end(self) -> str:
        _, errors = self.process.communicate(timeout=scaled(30))
        return errors


@pytest.fixture
def child() -> Iterator[Child]:
    running = Child()
    yield running
    running.process.kill()
    running.process.wait(scaled(30))
    for stream in (running.process.stdin, running.process.stdout, running.process.stderr):
        assert stream is not None
        with contextlib.suppress(BrokenPipeError):
            stream.close()


def test_one_process_serves_task_after_task_and_outlives_their_faults(child: Child, tmp_path: Path) -> None:
    (tmp_path / "good.inp").write_text(LINE)
    (tmp_path / "bad.inp").write_text(BROKEN)
    child.ask(tmp_path, inp="good.inp", scenarios=[{"demand.multiplier": 1}, {"demand.multiplier": 2}])
    [ended] = child.lines()
    assert ended["ended"] == "succeeded" and ended["exit_code"] == 0
    figures = ended["figures"]
    assert isinstance(figures, dict)
    assert [figures[name] for name in ("scenarios", "ok", "warned", "halted", "failed")] == [2, 2, 0, 0, 0]
    for run, code, words in (
        ({"inp": "bad.inp"}, 4, "line 10: Error 203"),
        ({"inp": "good.inp", "scenarios": [{"pipe[Q].roughness": 1}]}, 2, "no pipe 'Q'"),
        ({"inp": "none.inp"}, 2, "none.inp is not in the working directory"),
        ({"inp": "good.inp", "scenarios": [{"pipe[P1].roughness": -1}], "options": {"max_failed": 0}}, 5, "1 of 1"),
        ({"inp": "good.inp", "rows": [0, "x"]}, 2, "request cannot be read"),
    ):
        child.ask(tmp_path, **run)
        [ended] = child.lines()
        assert (ended["ended"], ended["exit_code"]) == ("failed", code)
        assert words in str(ended["reason"])
    child.ask(tmp_path, inp="good.inp")
    assert child.lines()[-1]["ended"] == "succeeded"
    errors = child.end()
    assert child.process.returncode == 0
    assert "2 scenarios: 2 ok" in errors and "Error 203" in errors and "Traceback" not in errors


def test_a_directory_that_cannot_be_written_is_the_machines_fault(child: Child, tmp_path: Path) -> None:
    (tmp_path / "good.inp").write_text(LINE)
    (tmp_path / "file").write_text("")
    child.ask(tmp_path, inp="good.inp", output={"directory": "file/below"})
    [ended] = child.lines()
    assert ended["exit_code"] == 75
    child.ask(tmp_path, inp="good.inp", output={"directory": "below"})
    assert child.lines()[-1]["ended"] == "succeeded"


def test_a_working_directory_that_is_gone_is_the_machines_fault(child: Child, tmp_path: Path) -> None:
    child.ask(tmp_path / "gone", inp="good.inp")
    [ended] = child.lines()
    assert ended["exit_code"] == 75 and "cannot be entered" in str(ended["reason"])


def test_a_path_longer_than_epanet_takes_is_no_obstacle(child: Child, tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 60] * 6)
    deep.mkdir(parents=True)
    (deep / "good.inp").write_text(LINE)
    child.ask(deep, inp="good.inp")
    assert child.lines()[-1]["ended"] == "succeeded"
    assert rows_of(deep)[0]["status"] == "ok"


def test_progress_is_reported_while_a_long_batch_runs(child: Child, tmp_path: Path) -> None:
    child.ask(tmp_path, inp=str(NET3), scenarios=[{"demand.multiplier": 1 + n / 1000} for n in range(400)])
    lines = child.lines()
    fractions = [line["progress"] for line in lines[:-1]]
    assert fractions and fractions == sorted(fractions, key=float)  # type: ignore[arg-type]
    assert all(isinstance(fraction, float) and 0 < fraction <= 1 for fraction in fractions)
    assert lines[-1]["ended"] == "succeeded"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_process_that_dies_in_a_batch_is_seen_at_once_and_leaves_no_result(
    child: Child, tmp_path: Path, number: signal.Signals
) -> None:
    child.ask(tmp_path, inp=str(NET3), scenarios=[{"demand.multiplier": 1 + n / 10000} for n in range(5000)])
    assert child.process.stdout is not None
    assert "progress" in child.process.stdout.readline()
    os.kill(child.process.pid, number)
    assert all("ended" not in line for line in child.lines())
    assert child.process.wait(scaled(30)) == -number
    assert not [name for name in os.listdir(tmp_path) if not name.startswith(".")]


def test_ctrl_c_at_the_terminal_does_not_end_a_batch(child: Child, tmp_path: Path) -> None:
    child.ask(tmp_path, inp=str(NET3), scenarios=[{"demand.multiplier": 1 + n / 1000} for n in range(300)])
    assert child.process.stdout is not None
    child.process.stdout.readline()
    os.kill(child.process.pid, signal.SIGINT)
    assert child.lines()[-1]["ended"] == "succeeded"


def test_the_process_ends_when_no_program_listens_any_more(child: Child, tmp_path: Path) -> None:
    child.ask(tmp_path, inp=str(NET3), scenarios=[{"demand.multiplier": 1 + n / 10000} for n in range(5000)])
    assert child.process.stdout is not None
    child.process.stdout.readline()
    child.process.stdout.close()
    assert child.process.wait(scaled(30)) == 1


def command(*arguments: object, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    line = [*COMMAND, *map(str, arguments)]
    return subprocess.run(line, cwd=directory, env=environment, capture_output=True, text=True, timeout=scaled(60))


def test_a_study_can_be_run_without_any_cloud(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("demand.multiplier\n1\n1.1\n1.2\n")
    options = (
        "--rows",
        "1:3",
        "--out",
        "out",
        "--option",
        "duration=2h",
        "--link-variables",
        "flow",
        "--links",
        "10,11",
    )
    done = command("run", NET1, "--scenarios", "s.csv", *options, directory=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 scenarios: 2 ok" in done.stderr
    assert [row["demand.multiplier"] for row in rows_of(tmp_path / "out")] == [1.1, 1.2]
    assert pq.read_table(tmp_path / "out" / "flow.parquet").column_names == ["scenario", "time", "10", "11"]
    assert pq.read_table(tmp_path / "out" / "flow.parquet").schema.metadata[b"units"] == b"GPM"


def test_check_tells_what_a_network_is() -> None:
    facts = json.loads(command("check", NET3, "--json").stdout)
    assert facts["nodes"] == {"junction": 92, "reservoir": 2, "tank": 3}
    assert (facts["units"]["pressure"], facts["duration"], facts["engine"]) == ("psi", 168 * 3600, "2.3.5")
    assert facts["status"] == "ok" and facts["ms_per_run"] > 0
    assert "92 junction" in command("check", NET3).stdout


def test_commands_end_with_a_sentence_and_their_exit_code(tmp_path: Path) -> None:
    (tmp_path / "bad.inp").write_text(BROKEN)
    for arguments, code, words in (
        (("check", "none.inp"), 2, "there is no file"),
        (("check", "bad.inp"), 4, "Error 203"),
        (("run", "bad.inp", "--option", "duration"), 2, "NAME=VALUE"),
        (("run", "bad.inp", "--option", "durations=1"), 2, "did you mean 'duration'"),
        (("run", "bad.inp", "--rows", "x"), 2, "no range"),
    ):
        done = command(*arguments, directory=tmp_path)
        assert done.returncode == code, done.stderr
        assert words in done.stderr and "Traceback" not in done.stderr


def test_the_engine_is_found_and_is_the_right_one() -> None:
    assert version(load()) == ENGINE_VERSION
    assert library_file().is_file()


def test_another_library_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "libepanet2.so").write_bytes(b"no library")
    with pytest.raises(MachineError, match=r"libepanet2\.so cannot be used"):
        load(tmp_path / "libepanet2.so")


def test_the_library_of_epyt_is_taken_where_the_other_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Python 3.13 and later: only the file is looked for, nothing of that package is imported."""
    libraries = tmp_path / "epyt" / "libraries" / "glnx"
    libraries.mkdir(parents=True)
    (tmp_path / "epyt" / "__init__.py").write_text("raise ImportError('must not be imported')")
    (libraries / "libepanet2.so").write_bytes(library_file().read_bytes())
    monkeypatch.setattr(
        "worker.epanet.library._PLACES", (("no_such_package", "x"), ("epyt", "libraries/glnx/libepanet2.so"))
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert library_file() == libraries / "libepanet2.so"
    monkeypatch.setattr("worker.epanet.library._PLACES", (("no_such_package", "x"),))
    with pytest.raises(MachineError, match="owa-epanet"):
        library_file()


def test_a_batch_of_a_thousand_is_a_matter_of_seconds(tmp_path: Path) -> None:
    """A generous bound against hanging, not a measurement."""
    (tmp_path / "s.csv").write_text("demand.multiplier\n" + "".join(f"{1 + n / 5000}\n" for n in range(1000)))
    started = time.monotonic()
    done = command("run", NET1, "--scenarios", "s.csv", directory=tmp_path)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < scaled(60)
