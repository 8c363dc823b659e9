"""The benchmark itself works: with tiny numbers it measures everything and prints every row. No speed is asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

RUNS = ("true", "no-op", "chains of 5 true", "fan of true", "latency of one true", "latency of one no-op")
ACCEPTED = ("accept, two dependencies each",)
ON_SQLITE = (
    "push_tasks.py --detach of a file",
    "boss starts with unfinished tasks",
    "no-op, two dependencies each",
    "the same finished tasks pushed again",
)


@pytest.mark.needs("mosquitto", "mariadb")
@pytest.mark.timeout(300)
def test_the_benchmark_measures_every_row_with_each_database_and_broker(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, ROOT / "benchmarks" / "throughput.py", "--size", "tiny", "--json", report]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(report.read_text())["rows"]
    parts = {"SQLite, Mosquitto": RUNS + ACCEPTED + ON_SQLITE, "MariaDB, Mosquitto": RUNS + ACCEPTED}
    expected = {(name, which) for which, names in (parts | {"SQLite, amqtt": RUNS}).items() for name in names}
    expected |= {("floor: posix_spawn of true", "2 processes"), ("xargs -P2 true", "2 processes")}
    assert {(row["name"], row["parts"]) for row in rows} == expected
    assert all(row["seconds"] > 0 for row in rows)
    assert all(row["name"] in done.stdout for row in rows)
    assert _left_of(tmp_path) == []


@pytest.mark.needs("mosquitto", "sshd", "ssh", "ssh-keygen", "rsync")
@pytest.mark.timeout(300)
def test_the_benchmark_of_the_data_plane_measures_every_row(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, ROOT / "benchmarks" / "data_plane.py", "--size", "tiny", "--json", report]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(report.read_text())["rows"]
    assert [row["ratio"] > 0 for row in rows] == [True, True, False, False]
    assert all(row["seconds"] > 0 and row["name"] in done.stdout for row in rows)
    assert "2.0" in rows[2]["more"] and " 0 failed connections" in f" {rows[3]['more']}"
    assert _left_of(tmp_path) == []


def _left_of(directory: Path) -> list[str]:
    """Processes that live on with this directory in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.fsencode(directory) in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found
