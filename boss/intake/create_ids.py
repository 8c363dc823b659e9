"""Ids out of contents (`--create_ids`): the same task gets the same id in every push, another one another id.

What a task depends on is part of what it is: the ids of its parents (named in `dependencies`, or producers of
what it requires) go into its own, so that a change of one task changes the ids of its descendants and of
nothing else. Ids of the file, where it has some, are names inside the file only. Knows lines of the stream;
rejections are reported later, by `collector`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from hashlib import blake2b

import msgspec

from boss.intake.producers import TooManyPatternsError, producers_of
from boss.intake.stream import StreamTask, content_of_profile, decode_execution, decode_profile, encoder

#: Hexadecimal digits of an id: 64 bits, so that a million tasks do not meet by chance.
DIGITS = 16


def placeholder(position: int) -> str:
    """What a task without an id is called until it has one."""
    return f"<task {position}>"


def create_ids(lines: Sequence[StreamTask], digests: Mapping[str, str]) -> None:
    """Give each line its id, and its dependencies those of their tasks. `digests`: of files that are sent along.

    Lines that need each other in a cycle, or have one id twice, stay as they are: they are rejected anyway.
    """
    index_of = {line.id: index for index, line in enumerate(lines)}
    if len(index_of) < len(lines):
        return
    parents = _parents(lines, index_of, digests)
    order = _in_order(parents)
    if len(order) < len(lines):
        return
    ids = [""] * len(lines)
    seen: Counter[str] = Counter()
    for index in order:
        content = _content(lines[index], [ids[parent] for parent in parents[index]], index_of, digests)
        seen[content] += 1
        # The same task more than once in one file: the second is "...-2", in each push again.
        ids[index] = content if seen[content] == 1 else f"{content}-{seen[content]}"
    _rename(lines, ids, index_of)


def _parents(lines: Sequence[StreamTask], index_of: Mapping[str, int], digests: Mapping[str, str]) -> list[list[int]]:
    """By index: tasks of this file that must come first, in the order of the file."""
    results = [(name, index) for index, line in enumerate(lines) for name in _targets(line)]
    needed = {name for line in lines for name, _ in line.requirements}
    try:
        producers = producers_of(needed, results, digests)
    except TooManyPatternsError:  # rejected, which is said when all tasks have been read
        producers = {}
    parents = []
    for index, line in enumerate(lines):
        found = {index_of[id] for id in line.dependencies if id in index_of}
        for name, _ in line.requirements:
            makers = producers.get(name, ())
            if index not in makers:
                found.update(makers)
        parents.append(sorted(found))
    return parents


def _targets(line: StreamTask) -> list[str]:
    if b'"results"' not in bytes(line.execution):
        return []
    try:
        return [item.target for item in decode_execution(line.execution).results]
    except msgspec.DecodeError:
        return []


def _in_order(parents: list[list[int]]) -> list[int]:
    """Parents first, else as in the file; what is in a cycle or below one is missing."""
    children: dict[int, list[int]] = {}
    waiting = [len(above) for above in parents]
    for index, above in enumerate(parents):
        for parent in above:
            children.setdefault(parent, []).append(index)
    ready = deque(index for index, count in enumerate(waiting) if not count)
    order = []
    while ready:
        index = ready.popleft()
        order.append(index)
        for child in children.get(index, ()):
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    return order


def _content(line: StreamTask, parents: list[str], index_of: Mapping[str, int], digests: Mapping[str, str]) -> str:
    """The id of a task: everything said of it but what it is called in this file."""
    outside = sorted(id for id in line.dependencies if id not in index_of)
    inputs = [(name, path, digests.get(name, "")) for name, path in line.requirements]
    execution = _called(bytes(line.execution), line.id, "")
    said = encoder.encode((sorted(parents), outside, inputs, line.init)), execution, _profile(line)
    return blake2b(b"\n".join(said), digest_size=DIGITS // 2).hexdigest()


def _profile(line: StreamTask) -> bytes:
    profile = bytes(line.profile)
    return profile if profile == b"{}" else content_of_profile(decode_profile(profile))


def _called(execution: bytes, id: str, instead: str) -> bytes:
    """A run without `results` of its own has them in a folder that is called as the task is."""
    if not id.startswith("<task "):
        return execution
    return execution.replace(f'"{id}/'.encode(), f'"{instead}/'.encode())


def _rename(lines: Sequence[StreamTask], ids: list[str], index_of: Mapping[str, int]) -> None:
    for line, id in zip(lines, ids, strict=True):
        line.execution = msgspec.Raw(_called(bytes(line.execution), line.id, id))
        line.dependencies = [ids[index_of[one]] if one in index_of else one for one in line.dependencies]
    for line, id in zip(lines, ids, strict=True):
        line.id = id
