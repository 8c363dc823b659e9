"""Which tasks of a push make what a requirement names: by the name itself, by folders, by patterns.

For each requirement the first of these that finds anything: a result of that name, or a result that is a folder above
it; results that lie below it, as it is then a folder of theirs; and, only where no file of that name is sent along, a
pattern that matches it. Pure; the cost is bounded.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence

from boss.intake.errors import IntakeError
from boss.intake.rules import folders_of
from wire.patterns import Pattern, fixed_text, is_pattern

#: Comparisons of a name with a pattern, in one push.
MAX_TESTS = 3_000_000

Results = Sequence[tuple[str, int]]


class TooManyPatternsError(IntakeError):
    """More names and patterns than can be compared."""


def producers_of(needed: Collection[str], results: Results, sent: Container[str]) -> dict[str, set[int]]:
    """Name of a requirement -> tasks that make it, of those that have any. Raises TooManyPatternsError.

    `results`: (name or pattern, task). `sent`: names of files that are sent along.
    """
    found = named(needed, results)
    left = {name for name in needed if name not in found and name not in sent}
    patterns = [(name, index) for name, index in results if is_pattern(name)] if left else []
    if patterns:
        for name, index in matching(left, patterns):
            found.setdefault(name, set()).add(index)
    return found


def named(needed: Collection[str], results: Results) -> dict[str, set[int]]:
    """As `producers_of`, without patterns."""
    found: dict[str, set[int]] = {}
    declared = {name for name, _ in results}
    wanted: dict[str, list[str]] = {}
    for name in needed:
        for one in (name,) if name in declared else folders_of(name):
            if one in declared:
                wanted.setdefault(one, []).append(name)
    for name, index in results if wanted else ():
        for one in wanted.get(name, ()):
            found.setdefault(one, set()).add(index)
    for name, index in _below(needed, results, found):
        found.setdefault(name, set()).add(index)
    return found


def _below(needed: Collection[str], results: Results, found: Container[str]) -> list[tuple[str, int]]:
    """Requirements that are folders in which results lie."""
    left = {name for name in needed if name not in found}
    above: dict[str, list[str]] = {}
    pairs = []
    for name, index in results if left else ():
        folder = name.rpartition("/")[0]
        if folder not in above:
            above[folder] = [one for one in folders_of(name) if one in left]
        pairs += [(one, index) for one in above[folder]]
    return pairs


def matching(names: Iterable[str], patterns: Results) -> Iterable[tuple[str, int]]:
    """(name, task) wherever a pattern of the task means the name, or a folder above it. Raises TooManyPatternsError."""
    tasks: dict[str, list[int]] = {}
    for text, index in patterns:
        tasks.setdefault(text, []).append(index)
    by_beginning: dict[str, list[Pattern]] = {}
    for text in tasks:
        by_beginning.setdefault(fixed_text(text), []).append(Pattern(text))
    lengths = sorted({len(beginning) for beginning in by_beginning})
    tests = 0
    for name in names:
        for length in lengths:
            if length > len(name):
                break
            candidates = by_beginning.get(name[:length], ())
            tests += len(candidates)
            if tests > MAX_TESTS:
                raise TooManyPatternsError
            for pattern in candidates:
                if pattern.means(name):
                    yield from ((name, index) for index in tasks[pattern.text])
