"""How the agent of a home was started, kept as `<home>/agent.env`: for worker/debug.sh, which an operator runs there.

Lines for a shell, without any secret: a password stands in a file of its own, which is only named.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from worker.bootstrap.bootstrap import write_private
from worker.options import given_values

FILE = "agent.env"
#: The folder that holds the packages.
ROOT = Path(__file__).resolve().parent.parent


def write_start(home: Path, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """Replace the file of the agent before. Raises OSError."""
    write_private(home / FILE, start_lines(given_values(arguments, environ), os.getcwd()))


def start_lines(given: Mapping[str, str], folder: str) -> str:
    lines = [
        "# How the agent of this home was started. Read by worker/debug.sh; written at each start.",
        f"ecloud_python={shlex.quote(sys.executable)}",
        f"ecloud_root={shlex.quote(os.fspath(ROOT))}",
        f"cd {shlex.quote(folder)}",
        *(f"export {name}={shlex.quote(value)}" for name, value in given.items()),
    ]
    return "\n".join(lines) + "\n"
