"""The files and folders beside a task file that its requirements name: found, measured and given their digests.

It reads files of the user's machine, only those that are named or in a folder that is, and only through paths that
stay below the task file's folder as written. Who sends them is not its business.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from boss.core.model import SentFile
from boss.intake.errors import IntakeError
from boss.intake.rules import wrong_path
from boss.intake.stream import SentFolder

#: The state directory: never part of a folder that is sent.
_STATE_DIRECTORY = ".ecloud"


class LocalFile(NamedTuple):
    """A file to send along."""

    path: Path
    sent: SentFile


class FoundFiles(NamedTuple):
    #: Each once, those of the folders too.
    files: list[LocalFile]
    folders: list[SentFolder]


def find_local_files(folder: Path, names: Iterable[str], refuse: Callable[[str, str], None]) -> FoundFiles:
    """Those of the names that are there, below `folder`. `refuse(name, why)` is called for what cannot be sent."""
    files: dict[str, LocalFile] = {}
    folders = []
    for name in names:
        if wrong_path(name):
            continue
        try:
            if (folder / name).is_dir():
                sent, inside = _measure_folder(folder / name, name)
                folders.append(sent)
                files.update((file.sent.name, file) for file in inside)
            elif name not in files and (file := _measure(folder / name, name)) is not None:
                files[name] = file
        except OSError as error:
            refuse(name, f"`{error.filename or folder / name}` cannot be read: {error.strerror}")
        except _NoFileError as error:
            refuse(name, str(error))
    return FoundFiles(list(files.values()), folders)


class _NoFileError(IntakeError):
    """There is something of that name, or in that folder, which is no file."""


def _measure(path: Path, name: str) -> LocalFile | None:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(mode):
        raise _NoFileError(f"`{path}` is no ordinary file")
    with open(path, "rb", buffering=0) as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32))
        size = os.fstat(file.fileno()).st_size
    sent = SentFile(name=name, digest=f"b2:{digest.hexdigest()}", size=size, executable=bool(mode & 0o100))
    return LocalFile(path, sent)


def _measure_folder(top: Path, name: str) -> tuple[SentFolder, list[LocalFile]]:
    """All that is in it, in order. Symbolic links to files in it are followed, others are refused."""
    files = []
    sent = SentFolder(name=name)
    for inner, is_file in sorted(_inside(top), key=lambda found: found[0].split("/")):
        if reason := wrong_path(f"{name}/{inner}"):
            raise _NoFileError(f"a file in the folder `{top}` cannot be sent, as its path {reason}")
        if not is_file:
            sent.empty.append(inner)
            continue
        file = _measure(top / inner, f"{name}/{inner}")
        if file is None:
            raise _NoFileError(f"`{top / inner}` is a symbolic link to nothing")
        sent.files.append(inner)
        files.append(file)
    return sent, files


def _inside(top: Path) -> Iterator[tuple[str, bool]]:
    """(path relative to it, whether it is a file), of files and of folders without anything in them."""
    real = top.resolve()
    for at, folders, files in os.walk(top, onerror=_raise):
        if _STATE_DIRECTORY in folders:
            folders.remove(_STATE_DIRECTORY)
        links = [base for base in folders + files if os.path.islink(os.path.join(at, base))]
        for base in links:
            _check_link(Path(at, base), real)
        below = os.path.relpath(at, top)
        if not (folders or files) and below != ".":
            yield below, False
        yield from ((os.path.normpath(os.path.join(below, base)), True) for base in files)


def _check_link(path: Path, top: Path) -> None:
    target = path.resolve()
    if not target.is_relative_to(top):
        raise _NoFileError(f"`{path}` is a symbolic link that leads out of its folder; nothing is sent from there")
    if target.is_dir():
        raise _NoFileError(f"`{path}` is a symbolic link to a folder; name that folder itself")


def _raise(error: OSError) -> None:
    raise error
