"""What an attempt left: its declared results as a manifest of regular files inside the working directory.

A result may be a file, a directory (then every file below it is listed, and the directory itself, because it replaces
the former one whole) or a pattern (see `wire.patterns`), which stands for the files and directories that match it when
the attempt ends. Symbolic links are followed only while they stay inside, and what they point to takes their place,
because the datastore fetches regular files only.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Container, Iterator
from typing import NamedTuple

from wire.messages import ManifestEntry, ResultFolder, ResultItem
from wire.patterns import Pattern, fixed_part, is_pattern
from worker import digests
from worker.errors import WorkerError
from worker.faults import is_of_machine

_FAILED = "Uploading results failed"


class ResultsError(WorkerError):
    """A declared result is not there or cannot be one; the text is the attempt's reason."""


class Results(NamedTuple):
    manifest: list[ManifestEntry]
    folders: list[ResultFolder]


def list_results(work: str | os.PathLike[str], items: list[ResultItem], inputs: Container[str] = ()) -> Results:
    """All declared results. Raises ResultsError; OSError where this machine is at fault.

    `inputs`: paths inside the working directory that were put there; no pattern means them.
    """
    found = _Found(_root(work))
    for item in items:
        with _blamed_on(item.source):
            source = _inside(item.source)
            if is_pattern(source) and not os.path.lexists(os.path.join(found.root, source)):
                _add_matches(found, source, item.target, inputs)
            else:
                found.add(source, item.target)
    folders = found.outermost()
    manifest = []
    for target, source in found.files.items():
        with _blamed_on(source):
            manifest.append(_entry(found.root, source, target))
    return Results(manifest, folders)


@contextlib.contextmanager
def _blamed_on(result: str) -> Iterator[None]:
    """What the system says of a result is the task's doing, unless the machine itself is out of something."""
    try:
        yield
    except OSError as error:
        if is_of_machine(error):
            raise
        what = error.strerror or str(error)
        raise ResultsError(f"{_FAILED}: result {result!r} cannot be read: {what}") from None


def _root(work: str | os.PathLike[str]) -> str:
    """The real path of the working directory, which is still a directory of its own, where it was made."""
    given = os.fspath(work)
    there = os.path.join(os.path.realpath(os.path.dirname(os.path.dirname(given))), *given.split("/")[-2:])
    if os.path.realpath(given) != there or not os.path.isdir(there):
        raise ResultsError(f"{_FAILED}: the task has removed its working directory, or put something else in its place")
    return there


def _inside(path: str) -> str:
    source = os.path.normpath(path)
    if os.path.isabs(path) or source == ".." or source.startswith("../") or "\0" in source:
        raise ResultsError(f"{_FAILED}: result {path!r} is not a path inside the working directory")
    return source


def _add_matches(found: _Found, pattern: str, target: str, inputs: Container[str]) -> None:
    """What matches goes to the same place below the target's fixed part as it has below the pattern's."""
    fixed, target = fixed_part(pattern), fixed_part(target)
    if fixed and os.path.isdir(os.path.join(found.root, fixed)):
        _check_inside(found.root, fixed)
    matches = [match for match in matches_of(found.root, pattern) if match not in inputs]
    if not matches:
        raise ResultsError(f"{_FAILED}: nothing matches result {pattern!r}")
    for match in matches:
        found.add(match, os.path.join(target, os.path.relpath(match, fixed) if fixed else match))


class _Found:
    """Files and directories on their way into a manifest, by where they go."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.files: dict[str, str] = {}
        self._folders: dict[str, ResultFolder] = {}

    def add(self, source: str, target: str) -> None:
        """One result and, if it is a directory, all below it."""
        path = os.path.join(self.root, source)
        if not os.path.lexists(path):
            raise ResultsError(f"{_FAILED}: result {source!r} was not made")
        if not os.path.isdir(path):
            self._add_file(source, target)
            return
        _check_inside(self.root, source)
        empty = self._add_below(path, source, target)
        self._check_same(self._folders[target].source if target in self._folders else source, source, target)
        self._folders[target] = ResultFolder(source=source, target=target, empty=empty)

    def _add_below(self, path: str, source: str, target: str) -> list[str]:
        """Every file below; the folders without any, as paths relative to `path`."""
        empty = []
        for folder, folders, files in os.walk(path, onerror=_unreadable):
            folders.sort()
            below = os.path.relpath(folder, path)
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            for name in sorted(files + links):
                inner = os.path.normpath(os.path.join(below, name))
                self._add_file(os.path.join(source, inner), os.path.join(target, inner))
            if not (files or folders) and folder != path:
                empty.append(_said(below))
        return empty

    def _add_file(self, source: str, target: str) -> None:
        self._check_same(self.files.setdefault(_said(target), _said(source)), source, target)

    def _check_same(self, one: str, other: str, target: str) -> None:
        if one != other:
            raise ResultsError(f"{_FAILED}: results {one!r} and {other!r} would both go to {target!r}")

    def outermost(self) -> list[ResultFolder]:
        """The directories that are in no other one: those replace whatever is below them."""
        kept: list[ResultFolder] = []
        for folder in sorted(self._folders.values(), key=lambda each: each.target.split("/")):
            outer = kept[-1] if kept and folder.target.startswith(kept[-1].target + "/") else None
            if outer is None:
                kept.append(folder)
            else:
                inner = folder.target.removeprefix(outer.target + "/")
                self._check_same(os.path.join(outer.source, inner), folder.source, folder.target)
        return kept


def _said(path: str) -> str:
    """A path that can be reported. A name on a disk is any bytes; a message is text."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ResultsError(f"{_FAILED}: the name of result {path!r} is not valid UTF-8: give it another one") from None
    return path


def _unreadable(error: OSError) -> None:
    if is_of_machine(error):
        raise error
    raise ResultsError(f"{_FAILED}: the folder {error.filename!r} cannot be read: {error.strerror}")


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
    folder = os.path.dirname(path)
    if os.path.realpath(folder) != folder or not os.path.isfile(real):
        raise ResultsError(f"{_FAILED}: result {source!r} goes through a symbolic link to a directory")
    aside = os.path.join(folder, ".ecloud-result")
    os.link(real, aside)
    os.replace(aside, path)


# --- which files and folders a pattern means, as they stand now; follows no symbolic link -------------------


def matches_of(root: str, text: str) -> list[str]:
    """Paths relative to `root`, in order. A pattern with `**` means files only, any other one folders as well."""
    pattern = Pattern(text)
    found = _any_depth(root, pattern) if pattern.any_depth else _one_depth(root, pattern)
    return sorted(found, key=lambda path: path.split("/"))


def _any_depth(root: str, pattern: Pattern) -> list[str]:
    fixed = fixed_part(pattern.text)
    found = []
    waiting = [fixed]
    while waiting:
        folder = waiting.pop()
        for entry in _entries(root, folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif pattern.matches(path):
                found.append(path)
    return found


def _one_depth(root: str, pattern: Pattern) -> list[str]:
    """Component by component: a folder that does not fit is not looked into."""
    fixed = fixed_part(pattern.text)
    reached = [fixed]
    first = len(fixed.split("/")) if fixed else 0
    for place in range(first, len(pattern.parts)):
        at_end = place == len(pattern.parts) - 1
        reached = [
            f"{folder}/{entry.name}" if folder else entry.name
            for folder in reached
            for entry in _entries(root, folder)
            if pattern.component_matches(place, entry.name) and (at_end or entry.is_dir(follow_symlinks=False))
        ]
    return reached


def _entries(root: str, folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(os.path.join(root, folder)) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
