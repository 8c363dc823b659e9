"""Files and folders that only their owner can read: whole or not at all, and private from the first byte on."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write_private(path: Path, content: str | bytes, *, durable: bool = False, mode: int = 0o600) -> None:
    """Replace the file. `durable`: it is on disk under its name when this returns.

    Raises OSError; then the former file stays.
    """
    temporary = _write_beside(path, content, durable, mode)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def make_private(path: Path, content: str | bytes) -> bool:
    """Make the file, durably, unless there is one. False: another program made one first, and that one stays."""
    temporary = _write_beside(path, content, True, 0o600)
    try:
        os.link(temporary, path)  # atomic, and never replaces
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    sync_folder(path.parent)
    return True


def kept_secret(path: Path, new: Callable[[], str]) -> str:
    """The text of the file, without blanks around it. Made if there is none, or none that could be used: an empty or
    torn one, as a full disk or a power cut leaves it. Raises OSError."""
    text = secret_of(path)
    if text:
        return text
    private_folder(path.parent)
    if path.exists():
        write_private(path, new() + "\n", durable=True)
    else:
        make_private(path, new() + "\n")
    return secret_of(path)


def secret_of(path: Path) -> str:
    """Empty: there is no file, or nothing in it that could be used. Raises OSError."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
    return text if text.isprintable() else ""


def private_folder(path: Path) -> Path:
    """The folder, made with those above it if it is not there. The mode of one that is there stays."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _write_beside(path: Path, content: str | bytes, durable: bool, mode: int) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def sync_folder(folder: Path) -> None:
    """What was renamed in it is on disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
