"""A copy of the checkout as a user would have it, with a state directory of its own, and commands run in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.worlds.doc_blocks import TOP
from tests.worlds.parts import need
from tests.worlds.waiting import scaled


def copy_checkout(target: Path) -> Path:
    """What git would give to a fresh clone, changes that are not committed included."""
    listed = [need("git"), "-C", str(TOP), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, check=True, stdout=subprocess.PIPE).stdout.decode().split("\0")
    for name in filter(None, names):
        if (TOP / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, target / name)
    (target / ".venv").symlink_to(sys.prefix)
    return target


def clean_environment() -> dict[str, str]:
    """Nothing of ecloud from outside but the environment that the tests run in, so that set-up has nothing to do."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ECLOUD_", "PYTEST_"))}
    return {**kept, "ECLOUD_VENV": sys.prefix}


def run_script(script: str, directory: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    """Runs a block of shell commands up to the first that fails; no terminal, no input."""
    command = ["sh", "-e", "-u", "-c", script]
    return subprocess.run(
        command,
        cwd=directory,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=scaled(timeout),
        check=False,
    )


def processes_in(directory: Path) -> list[int]:
    """Processes that work in this directory or have it on their command line."""
    processes = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
    found = (int(entry.name) for entry in processes if _belongs_to(entry, directory))
    return [pid for pid in found if pid != os.getpid()]


def _belongs_to(process: Path, directory: Path) -> bool:
    try:
        if (process / "cwd").resolve().is_relative_to(directory):
            return True
        return os.fsencode(directory) in (process / "cmdline").read_bytes()
    except OSError:
        return False  # ended meanwhile, or another's


def wait_until_alone(directory: Path, seconds: float) -> list[int]:
    """The processes that are still there after this (scaled) time; empty as soon as there are none."""
    until = time.monotonic() + scaled(seconds)
    while (left := processes_in(directory)) and time.monotonic() < until:
        time.sleep(0.2)
    return left


def end_all_in(directory: Path) -> None:
    for pid in processes_in(directory):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
