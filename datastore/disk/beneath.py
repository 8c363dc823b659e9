"""Opening what a relative path names beneath a directory, never following a symbolic link, never blocking.

Each component is opened on its own from its parent's descriptor, so whoever changes the directories meanwhile can
make it fail, but cannot lead it out. It knows nothing of the tree; the directory may be a worker's and hostile.

    BeneathError
    ├── PathMissingError      nothing is there
    └── PathObstructedError   something is there that is not wanted: a link, a folder, a device, a pipe
"""

from __future__ import annotations

import errno
import os
import stat

from datastore.disk.errors import DiskError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a pipe without a writer would wait for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class BeneathError(DiskError):
    """A path that cannot be opened as what it should be; a sentence."""


class PathMissingError(BeneathError):
    """Nothing is there."""


class PathObstructedError(BeneathError):
    """Something else is there."""


def open_folder(root: int, folder: str, make: bool = False) -> int:
    """A descriptor of the folder (`""` is the root itself). The caller closes it. Raises BeneathError, OSError."""
    fd = os.dup(root)
    try:
        for component in folder.split("/") if folder else ():
            fd = _step(fd, component, folder, make)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_file(root: int, path: str) -> tuple[int, os.stat_result]:
    """A descriptor of the regular file, for reading. The caller closes it. Raises BeneathError, OSError."""
    folder, base = split(path)
    parent = open_folder(root, folder)
    try:
        fd = os.open(base, _FILE, dir_fd=parent)
    except OSError as error:
        raise _explained(error, path, "a symbolic link") from None
    finally:
        os.close(parent)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise PathObstructedError(f"{path!r} is {kind_of(status.st_mode)}, not a regular file")
    return fd, status


def split(path: str) -> tuple[str, str]:
    folder, _, base = path.rpartition("/")
    return folder, base


def kind_of(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a regular file" if stat.S_ISREG(mode) else "a device or socket"


def _step(parent: int, component: str, path: str, make: bool) -> int:
    """One component down; the parent's descriptor is closed if that succeeds."""
    try:
        child = os.open(component, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise PathMissingError(f"the folder {path!r} is not there") from None
        make_folder(component, parent, 0o755)
        return _step(parent, component, path, False)
    except OSError as error:
        raise _explained(error, path, f"a file or a symbolic link at {component!r}") from None
    os.close(parent)
    return child


def make_folder(path: str, root: int, mode: int) -> None:
    """One that is there already stays as it is."""
    try:
        os.mkdir(path, mode, dir_fd=root)
    except FileExistsError:
        pass


def _explained(error: OSError, path: str, what: str) -> Exception:
    if error.errno == errno.ENOENT:
        return PathMissingError(f"{path!r} is not there")
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
        return PathObstructedError(f"{path!r} goes through, or is, {what}; links are not followed")
    if error.errno in (errno.ENXIO, errno.EISDIR):
        return PathObstructedError(f"{path!r} is a device, a socket or a folder, not a regular file")
    return error
