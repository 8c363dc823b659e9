"""An accepted push as rows: one tuple per task, made while the driver takes them, never all at once.

Knows the shape of Submission and Acceptance and of the tables; does not know what a state means.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from hashlib import blake2b

import msgspec
from sqlalchemy import Connection

from boss.core.model import Profile
from boss.core.rows import Acceptance, BatchRow, InitRow
from boss.database import tables
from boss.database.statements import Row, insert, is_lite, upsert, write_rows

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
    write_rows(connection, insert(tables.crossing, lite), _crossing_rows(accepted))
    write_rows(connection, upsert(tables.inits, lite), map(init_values, accepted.inits))
    write_rows(connection, upsert(tables.results, lite, ("task",)), _result_rows(accepted))
    files = ((name_key(f.name), f.digest, f.name, f.size, f.executable, f.batch, f.stored) for f in accepted.files)
    write_rows(connection, upsert(tables.files, lite), files)
    return added


def batch_values(row: BatchRow) -> Row:
    values = list(msgspec.structs.astuple(row))
    values[5] = _json.encode(list(map(int, row.counts))).decode()
    values[10] = _json.encode(row.warnings).decode()
    return tuple(values)


def init_values(row: InitRow) -> Row:
    return row.number, row.batch, row.position, msgspec.msgpack.encode(row.spec), row.attempt


def _new_profiles(profiles: Iterable[Profile], interned: dict[bytes, int]) -> dict[bytes, int]:
    added: dict[bytes, int] = {}
    for profile in profiles:
        content = _json.encode(profile)
        if content not in interned and content not in added:
            added[content] = len(interned) + len(added) + 1
    return added


def _task_rows(accepted: Acceptance, profile_numbers: list[int]) -> Iterator[Row]:
    submission, batch, kept = accepted.submission, accepted.batch.number, accepted.kept
    profile_of = array("I")
    profile_of.frombytes(submission.profile_of)
    with_results = bytearray(len(submission.ids))
    for _, index in submission.results:
        with_results[index] = 1
    starts, targets = accepted.dependency_starts, memoryview(as_q(accepted.dependency_targets)).cast("B")
    project, states = submission.project, accepted.states
    columns = zip(
        accepted.numbers,
        submission.ids,
        submission.contents,
        submission.executions,
        submission.requirements,
        strict=True,
    )
    for index, (number, id, content, execution, requirements) in enumerate(columns):
        if index in kept:
            continue
        yield (
            number,
            batch,
            project,
            id,
            content,
            profile_numbers[profile_of[index]],
            states[index],
            len(execution),
            with_results[index],
            bytes(targets[starts[index] * 8 : starts[index + 1] * 8]),
            requirements,
            execution,
        )


def _crossing_rows(accepted: Acceptance) -> Iterator[Row]:
    """The edges whose dependency is in another batch, each once."""
    first, end = accepted.batch.first, accepted.batch.first + accepted.batch.count
    targets, starts = accepted.dependency_targets, accepted.dependency_starts
    if not targets or (min(targets) >= first and max(targets) < end):
        return
    for index, number in enumerate(accepted.numbers):
        if index not in accepted.kept:
            outside = {target for target in targets[starts[index] : starts[index + 1]] if not first <= target < end}
            yield from ((number, target) for target in outside)


def _result_rows(accepted: Acceptance) -> Iterator[Row]:
    """Declared names. One that is there already keeps what is published under it, until that is replaced."""
    project, numbers, kept = accepted.submission.project, accepted.numbers, accepted.kept
    for name, index in accepted.submission.results:
        if index not in kept:
            yield project, name_key(name), name, numbers[index], 0, "", 0


def as_q(numbers: array[int]) -> array[int]:
    """The same as 8-byte numbers, as they are stored."""
    return numbers if numbers.typecode == "q" else array("q", numbers)
