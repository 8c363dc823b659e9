"""What the requirements of tasks are when they are staged: versions of results, and the files of folders.

A requirement without a digest gets that of the published result of its name. One that is no such name but a folder of
what the task's dependencies have left becomes these files, and their folders without any. What is neither stays as it
is: a file or folder that was put on the datastore manually.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, select

from boss.core.model import InitSpec
from boss.database.accept import name_key
from boss.database.statements import listed, parts
from boss.database.tables import results
from wire.messages import Input, ResultFolder
from wire.patterns import folders_above

_inputs = msgspec.json.Decoder(list[Input])
_specs = msgspec.msgpack.Decoder(InitSpec)
_folders = msgspec.json.Decoder(list[ResultFolder])

#: Digest, size, whether it may be executed (None in rows of older programs).
Version = tuple[str, int, bool | None]

#: A folder whose files take more bytes in a message is not expanded here: the datastore says why it cannot be sent.
_MAX_BYTES = 5_000_000
_INPUT_BYTES = 170


def requirements(connection: Connection, numbers: Sequence[int]) -> dict[int, list[Input]]:
    """number -> its requirements, names inside the project's tree; init executions too."""
    found: dict[int, tuple[str, list[Input]]] = {}
    dependencies: dict[int, bytes] = {}
    for part in parts(numbers):
        sql = f"SELECT number, project, requirements, dependencies FROM tasks WHERE number IN ({listed(part)})"
        for number, project, blob, needed in connection.exec_driver_sql(sql):
            found[number] = (project, _inputs.decode(blob) if blob else [])
            dependencies[number] = bytes(needed)
    missing = [number for number in numbers if number not in found]
    for number, project, spec in inits(connection, missing):
        found[number] = (project, _inputs.decode(spec.requirements) if spec.requirements else [])
    wanted = {(project, each.name) for project, items in found.values() for each in items if _is_open(each)}
    published = _published(connection, wanted)
    bound = {n: [_bound(each, published.get((p, each.name))) for each in items] for n, (p, items) in found.items()}
    _expand(connection, bound, dependencies)
    return bound


def inits(connection: Connection, numbers: Sequence[int]) -> Iterable[tuple[int, str, InitSpec]]:
    """(number, project, spec) of those of these numbers that are of init tasks. Read while it is iterated."""
    for part in parts(numbers):
        sql = (
            "SELECT inits.number, batches.project, inits.spec FROM inits JOIN batches ON batches.number = inits.batch "
            f"WHERE inits.number IN ({listed(part)})"
        )
        yield from ((n, project, _specs.decode(spec)) for n, project, spec in connection.exec_driver_sql(sql))


def _is_open(wanted: Input) -> bool:
    return not (wanted.digest or wanted.folder)


def _bound(wanted: Input, version: Version | None) -> Input:
    if version is None or not _is_open(wanted):
        return wanted
    return msgspec.structs.replace(wanted, digest=version[0], size=version[1], executable=bool(version[2]))


def _published(connection: Connection, names: set[tuple[str, str]]) -> dict[tuple[str, str], Version]:
    found: dict[tuple[str, str], Version] = {}
    for project in {project for project, _ in names}:
        keys = [name_key(name) for owner, name in names if owner == project]
        for part in parts(keys):
            wanted = results.c.key.in_(part)
            chosen = select(results.c.name, results.c.digest, results.c.size, results.c.executable)
            rows = connection.execute(chosen.where(results.c.project == project, wanted, results.c.digest != ""))
            found.update(((project, name), (digest, size, executable)) for name, digest, size, executable in rows)
    return found


# --- folders ----------------------------------------------------------------------------------------


class _Left(NamedTuple):
    """What one task has left below the folders that are wanted."""

    #: (name, digest, size, executable)
    files: list[tuple[str, str, int, bool | None]]
    #: Names of folders without files.
    empty: list[str]


def _expand(connection: Connection, bound: dict[int, list[Input]], dependencies: dict[int, bytes]) -> None:
    """Replace folders by what is in them; one question for all tasks."""
    open_in = {n: [each.name for each in items if _is_open(each)] for n, items in bound.items() if dependencies.get(n)}
    open_in = {number: names for number, names in open_in.items() if names}
    if not open_in:
        return
    makers = {number: array("q", dependencies[number]) for number in open_in}
    names = {name for wanted in open_in.values() for name in wanted}
    left = _left_by(connection, sorted({one for numbers in makers.values() for one in numbers}), names)
    known: dict[tuple[str, bytes], list[Input]] = {}
    for number, wanted in open_in.items():
        inside = {}
        for name in wanted:
            key = (name, dependencies[number])
            if key not in known:
                known[key] = _below(name, [left[maker] for maker in makers[number] if maker in left])
            inside[name] = known[key]
        bound[number] = [one for each in bound[number] for one in _in_place_of(each, inside)]


def _left_by(connection: Connection, makers: Sequence[int], names: set[str]) -> dict[int, _Left]:
    left: dict[int, _Left] = {}
    for part in parts(makers):
        sql = (
            f"SELECT task, name, digest, size, executable FROM results WHERE task IN ({listed(part)}) AND digest <> ''"
        )
        for task, *file in connection.exec_driver_sql(sql):
            if not names.isdisjoint(folders_above(file[0])):
                left.setdefault(task, _Left([], [])).files.append(tuple(file))
        sql = (
            f"SELECT task, folders FROM attempts WHERE task IN ({listed(part)}) AND ended = 'succeeded' "
            "AND LENGTH(folders) > 0 ORDER BY task, attempt"
        )
        for task, blob in connection.exec_driver_sql(sql):
            one = left.setdefault(task, _Left([], []))
            one.empty[:] = _empty(_folders.decode(blob), {file[0] for file in one.files}, names)
    return left


def _empty(folders: list[ResultFolder], files: set[str], names: set[str]) -> list[str]:
    """Those without files in it, at or below the names."""
    found = [f"{folder.target}/{inner}" for folder in folders for inner in folder.empty]
    filled = {above for name in files for above in folders_above(name)}
    found += [folder.target for folder in folders if not folder.empty and folder.target not in filled]
    return [one for one in found if one in names or not names.isdisjoint(folders_above(one))]


def _below(name: str, left: Iterable[_Left]) -> list[Input]:
    """What is in this folder, with paths relative to it; nothing: it is no such folder, or too large to list."""
    inside: list[Input] = []
    for each in left:
        inside += [
            Input(name=file, path=file[len(name) + 1 :], digest=digest, size=size, executable=bool(executable))
            for file, digest, size, executable in each.files
            if file.startswith(f"{name}/")
        ]
        inside += [
            Input(name=folder, path=folder[len(name) + 1 :], folder=True)
            for folder in each.empty
            if folder == name or folder.startswith(f"{name}/")
        ]
    size = sum(_INPUT_BYTES + 2 * len(each.name.encode()) for each in inside)
    return sorted(inside, key=lambda each: each.name) if size <= _MAX_BYTES else []


def _in_place_of(wanted: Input, inside: dict[str, list[Input]]) -> list[Input]:
    found = inside.get(wanted.name, []) if _is_open(wanted) else []
    if not found:
        return [wanted]
    return [
        msgspec.structs.replace(each, path=f"{wanted.path}/{each.path}" if each.path else wanted.path) for each in found
    ]
