"""What is below a folder of the tree, or matches a pattern, as it stands now. Follows no symbolic link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from datastore.disk.beneath import BeneathError, kind_of, open_folder
from datastore.disk.errors import DiskError
from datastore.disk.tree import Tree
from datastore.paths import OWN_FOLDER, NameRefusedError, clean_name, shown
from wire.patterns import Pattern, fixed_part


class NotSendableError(DiskError):
    """Something below a folder cannot be an input; a sentence."""


class Entry(NamedTuple):
    #: Path relative to the folder that was listed.
    path: str
    mode: int

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)


def list_folder(tree: Tree, name: str) -> list[Entry] | None:
    """Files, folders without any entry, and whatever else there is, in order; None: the name is no folder.

    The folder itself, if it is empty, is an entry with an empty path. Raises OSError.
    """
    try:
        fd = open_folder(tree.fd, clean_name(name))
    except (BeneathError, NameRefusedError):
        return None
    try:
        return sorted(_entries(fd), key=lambda entry: entry.path.split("/"))
    finally:
        os.close(fd)


def _entries(fd: int) -> Iterator[Entry]:
    for folder, folders, files, at in os.fwalk(".", dir_fd=fd, follow_symlinks=False, onerror=_raise):
        inner = folder[2:]
        if not (folders or files):
            yield Entry(inner, os.fstat(at).st_mode)
        for base in files + folders:
            mode = os.stat(base, dir_fd=at, follow_symlinks=False).st_mode
            if not stat.S_ISDIR(mode):
                yield Entry(f"{inner}/{base}" if inner else base, mode)


def _raise(error: OSError) -> None:
    raise error


def check_sendable(name: str, entry: Entry) -> None:
    """Raises NotSendableError for what is neither a file nor a folder, or has no name that can be said."""
    full = f"{name}/{entry.path}"
    if not (entry.is_file or stat.S_ISDIR(entry.mode)):
        raise NotSendableError(
            f"{shown(full)} on the datastore is {kind_of(entry.mode)}: only files and folders are sent"
        )
    try:
        clean_name(full.rstrip("/"))
    except NameRefusedError as error:
        raise NotSendableError(str(error)) from None


def names_matching(tree: Tree, text: str) -> list[str]:
    """Files of the tree that a pattern means: those that match, and those below folders that match. Raises OSError."""
    pattern, fixed = Pattern(text), fixed_part(text)
    above = f"{fixed}/" if fixed else ""
    entries = _at_root(tree) if not fixed else list_folder(tree, fixed) or []
    return [above + entry.path for entry in entries if entry.is_file and pattern.means(above + entry.path)]


def _at_root(tree: Tree) -> list[Entry]:
    """Of the whole tree but the datastore's own folder."""
    found = []
    for name in sorted(os.listdir(tree.fd)):
        if name != OWN_FOLDER:
            below = list_folder(tree, name)
            mode = os.stat(name, dir_fd=tree.fd, follow_symlinks=False).st_mode
            found += [Entry(name, mode)] if below is None else [Entry(f"{name}/{e.path}", e.mode) for e in below]
    return found
