"""An accepted push as rows: one tuple per task, made while the driver takes them, never all at once.

Knows the shape of Submission and Acceptance and of the tables; does not know what a state means.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from hashlib import blake2b

import msgspec
from sqlalchemy import Connection, select

from boss.core.model import Profile
from boss.core.rows import Acceptance, BatchRow, InitRow
from boss.database import tables
from boss.database.statements import Row, delete, insert, is_lite, listed, parts, update, upsert, write_rows

_json = msgspec.json.Encoder()


def name_key(name: str) -> bytes:
    """The key under which a file's name is found; a name may be longer than a key can be."""
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def write_acceptance(connection: Connection, accepted: Acceptance, interned: dict[bytes, int]) -> dict[bytes, int]:
    """All rows of the push. Answers the profiles that were not interned yet (content -> number)."""
    lite = is_lite(connection)
    added = _new_profiles(accepted.submission.profiles, interned)
    numbers = [(interned | added)[_json.encode(profile)] for profile in accepted.submission.profiles]
    write_rows(connection, insert(tables.batches, lite), [batch_values(accepted.batch)])
    write_rows(connection, insert(tables.profiles, lite), ((number, content) for content, number in added.items()))
    write_rows(connection, insert(tables.tasks, lite), _task_rows(accepted, numbers))
    if accepted.replaced:
        write_rows(connection, update(tables.tasks, lite, _DESCRIPTION), _replaced_rows(accepted, numbers))
        _forget_edges_and_names(connection, accepted, lite)
    if accepted.renewed:
        contents = ((accepted.submission.contents[index], accepted.numbers[index]) for index in accepted.renewed)
        write_rows(connection, update(tables.tasks, lite, ("content",)), contents)
    write_rows(connection, insert(tables.crossing, lite), _crossing_rows(accepted))
    write_rows(connection, upsert(tables.inits, lite), map(init_values, accepted.inits))
    write_rows(connection, upsert(tables.results, lite, ("task",)), _result_rows(accepted))
    files = ((name_key(f.name), f.digest, f.name, f.size, f.executable, f.batch, f.stored) for f in accepted.files)
    write_rows(connection, upsert(tables.files, lite), files)
    return added


def batch_values(row: BatchRow) -> Row:
    """The row in the order of the table's columns; its counts and warnings as JSON."""
    values = list(msgspec.structs.astuple(row))
    values[5] = _json.encode(list(map(int, row.counts))).decode()
    values[10] = _json.encode(row.warnings).decode()
    return tuple(values)


def init_values(row: InitRow) -> Row:
    """The row in the order of the table's columns; its InitSpec as MessagePack."""
    return row.number, row.batch, row.position, msgspec.msgpack.encode(row.spec), row.attempt, row.retired


def _new_profiles(profiles: Iterable[Profile], interned: dict[bytes, int]) -> dict[bytes, int]:
    added: dict[bytes, int] = {}
    for profile in profiles:
        content = _json.encode(profile)
        if content not in interned and content not in added:
            added[content] = len(interned) + len(added) + 1
    return added


#: The columns of a task that a later push may replace.
_DESCRIPTION = ("content", "profile", "size", "with_results", "dependencies", "requirements", "execution")


def _task_rows(accepted: Acceptance, profile_numbers: list[int]) -> Iterator[Row]:
    """The new ones."""
    submission, batch, kept, states = accepted.submission, accepted.batch.number, accepted.kept, accepted.states
    described = zip(accepted.numbers, submission.ids, _descriptions(accepted, profile_numbers), strict=True)
    for index, (number, id, (content, profile, *rest)) in enumerate(described):
        if index not in kept:
            yield (number, batch, submission.project, id, content, profile, states[index], *rest)


def _replaced_rows(accepted: Acceptance, profile_numbers: list[int]) -> Iterator[Row]:
    for index, description in enumerate(_descriptions(accepted, profile_numbers)):
        if index in accepted.replaced:
            yield (*description, accepted.numbers[index])


def _descriptions(accepted: Acceptance, profile_numbers: list[int]) -> Iterator[Row]:
    """Of every index, in the order of `_DESCRIPTION`."""
    submission = accepted.submission
    profile_of = array("I", submission.profile_of)
    with_results = bytearray(len(submission.ids))
    for _, index in submission.results:
        with_results[index] = 1
    starts, targets = accepted.dependency_starts, memoryview(as_q(accepted.dependency_targets)).cast("B")
    columns = zip(submission.contents, submission.executions, submission.requirements, strict=True)
    for index, (content, execution, requirements) in enumerate(columns):
        yield (
            content,
            profile_numbers[profile_of[index]],
            len(execution),
            with_results[index],
            bytes(targets[starts[index] * 8 : starts[index + 1] * 8]),
            requirements,
            execution,
        )


def _forget_edges_and_names(connection: Connection, accepted: Acceptance, lite: bool) -> None:
    """Of replaced tasks: what they depended on in other batches, and names that they do not declare any more."""
    project, submission, replaced = accepted.submission.project, accepted.submission, accepted.replaced
    numbers = [accepted.numbers[index] for index in replaced]
    declared = {(accepted.numbers[index], name_key(name)) for name, index in submission.results if index in replaced}
    for part in parts(numbers):
        connection.exec_driver_sql(f"DELETE FROM crossing WHERE dependant IN ({listed(part)})")
        owned = select(tables.results.c.task, tables.results.c.key).where(tables.results.c.task.in_(part))
        gone = [(project, key) for task, key in connection.execute(owned) if (task, bytes(key)) not in declared]
        write_rows(connection, delete(tables.results, lite), gone)


def _crossing_rows(accepted: Acceptance) -> Iterator[Row]:
    """The edges whose dependency is in another batch, each once."""
    own = accepted.batch.first, accepted.batch.count
    targets, starts, replaced = accepted.dependency_targets, accepted.dependency_starts, accepted.replaced
    inside = not targets or (min(targets) >= own[0] and max(targets) < sum(own))
    if inside and not replaced:
        return
    for index, number in enumerate(accepted.numbers):
        if index not in accepted.kept or index in replaced:
            first, count = replaced.get(index, own)
            end = first + count
            outside = {target for target in targets[starts[index] : starts[index + 1]] if not first <= target < end}
            yield from ((number, target) for target in outside)


def _result_rows(accepted: Acceptance) -> Iterator[Row]:
    """Declared names. One that is there already keeps what is published under it, until that is replaced."""
    project, numbers, kept, replaced = accepted.submission.project, accepted.numbers, accepted.kept, accepted.replaced
    for name, index in accepted.submission.results:
        if index not in kept or index in replaced:
            yield project, name_key(name), name, numbers[index], 0, "", 0, False


def as_q(numbers: array[int]) -> array[int]:
    """The same as 8-byte numbers, as they are stored."""
    return numbers if numbers.typecode == "q" else array("q", numbers)
