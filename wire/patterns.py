"""Patterns in the names of results: which paths `out/*.csv` or `runs/**/[0-9].txt` means. Pure: text only, no file.

It is part of the language between the programs: the worker expands patterns when an attempt ends, the boss asks
which requirements a pattern could make, the datastore which names one stands for. All three must mean the same.

A component may hold `*` (any characters), `?` (one), `[abc]`, `[a-z]` and `[!abc]` (one of these, or none of them). A
component `**` stands for any number of folders, at the end for every file below. What begins with a dot is only
matched by a component that begins with one. The cost of a match is bounded by the lengths, whatever the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_MAGIC = re.compile(r"[*?\[]")
ANY_DEPTH = "**"


def is_pattern(path: str) -> bool:
    return _MAGIC.search(path) is not None


def fixed_part(path: str) -> str:
    """The folders before the first component that is a pattern: `a/b` of `a/b/*.csv`; all of a path that is none."""
    parts = path.split("/")
    for place, part in enumerate(parts):
        if is_pattern(part):
            return "/".join(parts[:place])
    return path


def fixed_text(pattern: str) -> str:
    """What every path that matches begins with, up to the first special character."""
    found = _MAGIC.search(pattern)
    return pattern if found is None else pattern[: found.start()]


def folders_above(path: str) -> list[str]:
    """Every folder above a path, the nearest first: `a/b`, `a` of `a/b/c`."""
    folders = []
    while cut := path.rfind("/") + 1:
        path = path[: cut - 1]
        folders.append(path)
    return folders


class Pattern:
    def __init__(self, text: str) -> None:
        self.text = text
        self.parts = text.split("/")
        self.any_depth = ANY_DEPTH in self.parts
        self._tests = [None if part == ANY_DEPTH else _test_of(part) for part in self.parts]

    def matches(self, path: str) -> bool:
        """Whether the path, in its shortest form, is one that is meant."""
        components = path.split("/")
        reached = {0}
        last = len(self._tests) - 1
        for place, test in enumerate(self._tests):
            if test is None:
                reached = _through_folders(components, reached, at_end=place == last)
            else:
                reached = {at + 1 for at in reached if at < len(components) and _fits(test, components[at])}
        return len(components) in reached

    def means(self, path: str) -> bool:
        """As `matches`; or it matches a folder above the path, which is then taken whole."""
        return self.matches(path) or (not self.any_depth and any(map(self.matches, folders_above(path))))

    def component_matches(self, place: int, name: str) -> bool:
        """Whether a name fits the component at this place, which is not `**`."""
        test = self._tests[place]
        assert test is not None, "a component of any depth is tested with the whole path"
        return _fits(test, name)


def _through_folders(components: Sequence[str], reached: set[int], at_end: bool) -> set[int]:
    """Places after any number of components that are not hidden; at the pattern's end at least one."""
    further: set[int] = set()
    for at in sorted(reached):
        if not at_end:
            further.add(at)
        while at < len(components) and not components[at].startswith("."):
            at += 1
            if at in further:
                break
            further.add(at)
    return further


#: The expression of a component, and whether it may match a name that begins with a dot.
_Test = tuple[re.Pattern[str], bool]


def _fits(test: _Test, name: str) -> bool:
    expression, hidden_too = test
    return (hidden_too or not name.startswith(".")) and expression.fullmatch(name) is not None


@lru_cache(maxsize=4096)
def _test_of(component: str) -> _Test:
    pieces = [""]
    at = 0
    while at < len(component):
        character = component[at]
        at += 1
        if character == "*":
            pieces.append("")
        elif character == "?":
            pieces[-1] += "."
        elif character == "[" and (end := _end_of_class(component, at)):
            pieces[-1] += _class_of(component[at:end])
            at = end + 1
        else:
            pieces[-1] += re.escape(character)
    # Between two stars the first place that fits is as good as any: nothing is tried twice.
    middle = "".join(f"(?>.*?{piece})" for piece in pieces[1:-1])
    end_part = f".*{pieces[-1]}" if len(pieces) > 1 else ""
    return re.compile(pieces[0] + middle + end_part, re.DOTALL), component.startswith(".")


def _end_of_class(component: str, at: int) -> int:
    """Where the class that begins at `at` has its `]`; 0: it has none, the bracket is meant as it is."""
    if component[at : at + 1] == "!":
        at += 1
    return max(0, component.find("]", at + 1))


def _class_of(text: str) -> str:
    negated = text.startswith("!")
    text = text[negated:]
    members = ""
    at = 0
    while at < len(text):
        if text[at + 1 : at + 2] == "-" and at + 2 < len(text):
            if text[at] <= text[at + 2]:
                members += f"{re.escape(text[at])}-{re.escape(text[at + 2])}"
            at += 3
        else:
            members += re.escape(text[at])
            at += 1
    if not members:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{members}]"
