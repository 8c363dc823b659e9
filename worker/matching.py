"""Which files and folders below a directory a pattern means, as they stand now. Follows no symbolic link."""

from __future__ import annotations

import os

from wire.patterns import Pattern, fixed_part


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
