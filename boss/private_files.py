"""Files and directories of the state directory that nobody else may read."""

from __future__ import annotations

import os
from pathlib import Path


def write_secret(path: Path, secret: str) -> None:
    """Whole or not at all; readable by its owner only, from the first byte on."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret + "\n")
    temporary.replace(path)


def private(path: Path) -> Path:
    """A directory of its owner alone, made if it is not there."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def kept_port(path: Path) -> int:
    """The port that the file has; 0: none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
