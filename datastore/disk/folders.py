"""Folders that are results: built in incoming out of fetched files, then put in the place of the former one at once.

A reader of the tree sees the former folder or the new one, never a mix, where the file system can exchange two names
(ext4, xfs, btrfs, tmpfs and most others); where it cannot, for a moment none. What stood there before is in incoming
afterwards, and goes with the rest of the attempt.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from typing import NamedTuple

from datastore.agent.records import Record
from datastore.disk.beneath import make_folder
from datastore.paths import folders_of

_EXCHANGE = 2
#: Errors that say "this file system, or kernel, cannot do that".
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)

_libc = ctypes.CDLL(None, use_errno=True)


class Built(NamedTuple):
    """The folders of one attempt, in the order of its record."""

    inodes: list[int]
    #: All folders and files in them, as paths below incoming.
    paths: list[str]


def built_path(attempt_folder: str, place: int) -> str:
    return f"{attempt_folder}/folder-{place}"


def paths_of(record: Record, attempt_folder: str) -> list[str]:
    """Where each file of the record is below incoming, once its folders are built."""
    paths = []
    for number, (file, place) in enumerate(zip(record.files, record.folder_places(), strict=True)):
        if place is None:
            paths.append(f"{attempt_folder}/{number}")
        else:
            inner = file.name[len(record.folders[place].name) + 1 :]
            paths.append(f"{built_path(attempt_folder, place)}/{inner}")
    return paths


def build(incoming: int, record: Record, attempt_folder: str) -> Built:
    """Move the fetched files into the record's folders; may be repeated. Raises OSError."""
    if not record.folders:
        return Built([], [])
    made: dict[str, None] = {}
    for place, folder in enumerate(record.folders):
        top = built_path(attempt_folder, place)
        for path in (top, *(f"{top}/{inner}" for inner in folder.empty)):
            _make(incoming, attempt_folder, path, made)
    moved = []
    for number, path in enumerate(paths_of(record, attempt_folder)):
        if path != f"{attempt_folder}/{number}":
            _make(incoming, attempt_folder, os.path.dirname(path), made)
            _move(incoming, f"{attempt_folder}/{number}", path)
            moved.append(path)
    tops = [built_path(attempt_folder, place) for place in range(len(record.folders))]
    inodes = [os.stat(top, dir_fd=incoming, follow_symlinks=False).st_ino for top in tops]
    return Built(inodes, [*made, *moved])


def _make(incoming: int, attempt_folder: str, path: str, made: dict[str, None]) -> None:
    """A folder below the attempt's own, with those above it."""
    missing = [path]
    for above in folders_of(path):
        if above == attempt_folder or above in made:
            break
        missing.append(above)
    for folder in reversed(missing):
        if folder not in made:
            make_folder(folder, incoming, 0o755)  # it may be there, of an earlier try
            made[folder] = None


def _move(incoming: int, source: str, target: str) -> None:
    try:
        os.rename(source, target, src_dir_fd=incoming, dst_dir_fd=incoming)
    except FileNotFoundError:
        os.stat(target, dir_fd=incoming, follow_symlinks=False)  # an earlier try has moved it


def put_in_place(incoming: int, source: str, parent: int, base: str) -> None:
    """The folder `source` of incoming gets the name `base`; what had it is at `source` afterwards, or `source`-former.

    Raises OSError. Cut off anywhere it is done, or can be repeated.
    """
    try:
        if _exchange(incoming, source, parent, base):
            return
    except FileNotFoundError:  # nothing has the name (or an earlier try took it away)
        os.rename(source, base, src_dir_fd=incoming, dst_dir_fd=parent)
        return
    os.rename(base, f"{source}-former", src_dir_fd=parent, dst_dir_fd=incoming)
    os.rename(source, base, src_dir_fd=incoming, dst_dir_fd=parent)


def _exchange(source_fd: int, source: str, target_fd: int, target: str) -> bool:
    """Let two names change what they mean. False: that cannot be done here. Raises OSError."""
    call = getattr(_libc, "renameat2", None)
    if call is None:
        return False
    if call(source_fd, os.fsencode(source), target_fd, os.fsencode(target), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), target)


def files_below(parent: int, base: str) -> Iterator[tuple[str, int, str, os.stat_result]]:
    """Every file below a folder: its path relative to it, its folder's descriptor, its name there, its status."""
    for folder, _, files, fd in os.fwalk(base, dir_fd=parent, follow_symlinks=False, onerror=_raise):
        inner = folder[len(base) + 1 :]
        for name in files:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            yield f"{inner}/{name}" if inner else name, fd, name, status


def _raise(error: OSError) -> None:
    raise error
