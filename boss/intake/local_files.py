"""The files beside a task file that its requirements name: found, measured and given their digests.

It reads files of the user's machine, only those that are named, and only through paths that stay below the
task file's folder as written. Who sends them is not its business.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from boss.core.model import SentFile
from boss.intake.rules import wrong_path


class LocalFile(NamedTuple):
    """A file to send along."""

    path: Path
    sent: SentFile


def find_local_files(folder: Path, names: Iterable[str], refuse: Callable[[str, str], None]) -> list[LocalFile]:
    """Those of the names that are files below the folder. `refuse(name, why)` is told of what cannot be sent."""
    found = []
    for name in names:
        if wrong_path(name):
            continue
        try:
            file = _measure(folder / name, name)
        except OSError as error:
            refuse(name, f"the file `{folder / name}` cannot be read: {error.strerror}")
            continue
        except _NoFile as error:
            refuse(name, str(error))
            continue
        if file is not None:
            found.append(file)
    return found


class _NoFile(Exception):
    """There is something of that name which is no file."""


def _measure(path: Path, name: str) -> LocalFile | None:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(mode):
        raise _NoFile(f"`{path}` is a folder; name the files in it that the task needs")
    if not stat.S_ISREG(mode):
        raise _NoFile(f"`{path}` is no ordinary file")
    with open(path, "rb", buffering=0) as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32))
        size = os.fstat(file.fileno()).st_size
    sent = SentFile(name=name, digest=f"b2:{digest.hexdigest()}", size=size, executable=bool(mode & 0o100))
    return LocalFile(path, sent)
