"""What an attempt left: its declared results as a manifest of regular files inside the working directory.

A result may be a file or a directory (then every file below it is listed). Symbolic links are followed only while they
stay inside, and what they point to takes their place, because the datastore fetches regular files only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from wire.messages import ManifestEntry, ResultItem
from worker import digests

_FAILED = "Uploading results failed"


class ResultsError(Exception):
    """A declared result is not there or cannot be one; the text is the attempt's reason."""


def list_results(work: Path, items: list[ResultItem]) -> list[ManifestEntry]:
    """The manifest of all declared results. Raises ResultsError; OSError where this machine is at fault."""
    root = os.path.realpath(work)
    manifest: list[ManifestEntry] = []
    for item in items:
        for source, target in _files_of(root, item):
            manifest.append(_entry(root, source, target))
    return manifest


def _files_of(root: str, item: ResultItem) -> Iterator[tuple[str, str]]:
    """(path inside the working directory, target) of each file of one declared result."""
    source = os.path.normpath(item.source)
    if os.path.isabs(item.source) or source == ".." or source.startswith("../") or "\0" in source:
        raise ResultsError(f"{_FAILED}: result {item.source!r} is not a path inside the working directory")
    path = os.path.join(root, source)
    if not os.path.lexists(path):
        raise ResultsError(f"{_FAILED}: result {item.source!r} was not made")
    if not os.path.isdir(path):
        yield source, item.target
        return
    _check_inside(root, source)
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files + [name for name in folders if os.path.islink(os.path.join(folder, name))]):
            below = os.path.relpath(os.path.join(folder, name), path)
            yield os.path.join(source, below), os.path.join(item.target, below)


def _check_inside(root: str, source: str) -> str:
    """The real place of a result. Raises if a symbolic link leads out, or nowhere."""
    real = os.path.realpath(os.path.join(root, source))
    if real != root and not real.startswith(root + os.sep):
        raise ResultsError(f"{_FAILED}: result {source!r} leads out of the working directory by a symbolic link")
    if not os.path.exists(real):
        raise ResultsError(f"{_FAILED}: result {source!r} is a symbolic link to nothing")
    return real


def _entry(root: str, source: str, target: str) -> ManifestEntry:
    real = _check_inside(root, source)
    path = os.path.join(root, source)
    if real != path:
        _materialize(root, source, real)
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise ResultsError(f"{_FAILED}: result {source!r} is not a regular file")
        digest = digests.of_descriptor(fd)
        executable = bool(about.st_mode & stat.S_IXUSR)
        return ManifestEntry(source=source, target=target, size=about.st_size, digest=digest, executable=executable)
    finally:
        os.close(fd)


def _materialize(root: str, source: str, real: str) -> None:
    """Put the file that a link points to in the link's place."""
    path = os.path.join(root, source)
    parent = os.path.realpath(os.path.dirname(path))
    if parent != os.path.dirname(path) or not os.path.isfile(real):
        raise ResultsError(f"{_FAILED}: result {source!r} goes through a symbolic link to a directory")
    aside = path + ".ecloud-result"
    os.link(real, aside)
    os.replace(aside, path)
