"""Files and directories of the state directory that nobody else may read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO


def write_secret(path: Path, secret: str) -> None:
    """Whole or not at all; readable by its owner only, from the first byte on."""
    temporary = path.with_name(f".{path.name}.new")
    with _new(temporary) as file:
        file.write(f"{secret}\n".encode())
    temporary.replace(path)


def write_record(path: Path, content: bytes) -> None:
    """As a secret; on disk under its name when this returns."""
    temporary = path.with_name(f".{path.name}.new")
    with _new(temporary) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _new(path: Path) -> BinaryIO:
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


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
