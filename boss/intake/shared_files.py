"""Which of the sent files tasks share, noted in their profiles, so that the boss can send them where those files are.

Distinguished are sets of files, each of which several tasks need, the largest first. Work and sets are bounded: with
files beyond the bounds nothing is lost but a preference. What makes a task the same when it is pushed again does not
depend on it, as that must not depend on other tasks.
"""

from __future__ import annotations

from array import array

import msgspec

from boss.core.model import Profile
from boss.intake.columns import Columns

#: Different sets of shared files in one push.
MAX_SETS = 1_000
#: Looks at a task's need of a file, for each task of the push.
_LOOKS = 4

Inputs = tuple[tuple[str, int], ...]


def profiles_with_inputs(columns: Columns) -> tuple[list[Profile], array[int]]:
    """The profiles and their numbers by task, as in `columns`, but with `inputs`."""
    count = len(columns.executions)
    sets, set_of = _sets(columns, count)
    if len(sets) == 1:
        return columns.profiles, columns.profile_of
    profiles: list[Profile] = []
    numbers: dict[tuple[int, int], int] = {}
    profile_of = array("I")
    for pair in zip(columns.profile_of, set_of, strict=True):
        number = numbers.get(pair)
        if number is None:
            number = numbers[pair] = len(profiles)
            profiles.append(msgspec.structs.replace(columns.profiles[pair[0]], inputs=sets[pair[1]]))
        profile_of.append(number)
    return profiles, profile_of


def _sets(columns: Columns, count: int) -> tuple[list[Inputs], array[int]]:
    """The sets (the first is empty), and the number of each task's."""
    sets: list[Inputs] = [()]
    set_of = array("I", bytes(4 * count))
    looks = _LOOKS * count
    for digest, size, tasks in _shared(columns):
        looks -= len(tasks)
        if looks < 0:
            break
        grown: dict[int, int] = {}
        for index in tasks:
            before = set_of[index]
            after = grown.get(before)
            if after is None:
                after = before
                if len(sets) < MAX_SETS:
                    after = len(sets)
                    sets.append((*sets[before], (digest, size)))
                    grown[after] = after  # named twice by one task
                grown[before] = after
            set_of[index] = after
    return sets, set_of


def _shared(columns: Columns) -> list[tuple[str, int, array[int]]]:
    """Digest, size and tasks of each sent file that several tasks need; the largest first."""
    found = [
        (file.digest, file.size, columns.needed[name])
        for name, file in columns.files.items()
        if name not in columns.producers and len(columns.needed.get(name, ())) > 1
    ]
    return sorted(found, key=lambda one: -one[1])
