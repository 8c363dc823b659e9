"""What of a task has changed between two versions of it, in the words of a task file. Pure.

For users only: whether it has changed at all is decided by the digests of its content.
"""

from __future__ import annotations

import msgspec

from boss.core.model import Profile
from boss.core.rows import Description
from wire.messages import Execution, Input

_execution = msgspec.json.Decoder(Execution)
_inputs = msgspec.json.Decoder(list[Input])
_profile = msgspec.json.Decoder(Profile)

#: Fields of an Execution and the fields of a task file that make them; others are called as they are.
_WORDS = {"slots": "resources", "memory": "resources"}
#: No part of a description: they follow from the rest, or from other tasks.
_DERIVED = frozenset({"slots", "memory", "staging", "inputs", "template"})
#: So many files are named one by one.
_FILES = 3


def differences(before: Description, after: Description) -> list[str]:
    """Fields, and files by their names; empty: only what it depends on."""
    try:
        return [
            *_fields(_execution.decode(before.execution), _execution.decode(after.execution)),
            *_requirements(before.requirements, after.requirements),
            *_fields(_profile.decode(before.profile), _profile.decode(after.profile)),
        ]
    except msgspec.DecodeError:
        return []  # a row of another program: that it has changed is certain, what of it is not


def _fields(before: msgspec.Struct, after: msgspec.Struct) -> list[str]:
    derived = _DERIVED if isinstance(before, Profile) else frozenset()
    changed = [
        _WORDS.get(name, name)
        for name in before.__struct_fields__
        if name not in derived and getattr(before, name) != getattr(after, name)
    ]
    return list(dict.fromkeys(changed))


def _requirements(before: bytes, after: bytes) -> list[str]:
    old, new = _by_name(before), _by_name(after)
    if old.keys() != new.keys():
        return ["requirements"]
    files = sorted({name for (name, _), digest in new.items() if old[name, _] != digest})
    return files if len(files) <= _FILES else [*files[:_FILES], f"{len(files) - _FILES} more files"]


def _by_name(encoded: bytes) -> dict[tuple[str, str], str]:
    return {(one.name, one.path): one.digest for one in _inputs.decode(encoded)} if encoded else {}
