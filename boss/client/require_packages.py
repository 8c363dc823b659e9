"""The first thing that the commands do: are ecloud's Python packages here? Standard library only.

Where they are not, but the set-up has made a virtual environment in the checkout, the same command goes on
with that one's Python; else one sentence says which command sets it up.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

#: Packages that every command imports.
REQUIRED = ("msgspec", "typer", "httpx", "starlette", "sqlalchemy")
_ONCE = "ECLOUD_RESTARTED"


def require_packages(root: Path) -> None:
    """Returns if all are installed; else runs the command with another Python, or stops the program.

    Raises SystemExit with a sentence: no Python that has them is here; OSError: the other one cannot be run.
    """
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    if not missing:
        os.environ.pop(_ONCE, None)  # not for the children
        return
    python = Path(os.environ.get("ECLOUD_VENV") or root / ".venv") / "bin" / "python"
    if python.exists() and _ONCE not in os.environ and Path(sys.prefix) != python.parent.parent:
        os.environ[_ONCE] = "1"
        os.execv(python, [str(python), *sys.argv])
    sys.exit(
        f"{sys.executable} has no Python package {missing[0]!r}, which ecloud needs. "
        f"Run {root / 'run_example.sh'} once: it installs what is missing into {python.parent.parent}."
    )
