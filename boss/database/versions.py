"""What the database knows of earlier versions of a push: whose its tasks are, what is not in it any more, what has
changed, what its results are; and whether a task's inputs came out the same.

Reads only, in bulk; what follows from it is decided by `boss.core.merge` and `boss.core.cutoff`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection, select

from boss.core.attempts import tree_prefix
from boss.core.model import Submission, TaskState
from boss.core.plan import SHOWN
from boss.core.rows import BatchRow, Description, Known, OwnedTask
from boss.core.versions import is_version_of
from boss.database.inputs import requirements
from boss.database.load import batch_rows, init_rows
from boss.database.statements import is_lite, listed, parts
from boss.database.tables import batches
from wire.messages import Input
from wire.patterns import is_pattern

_inputs = msgspec.json.Decoder(list[Input])
_numbers = msgspec.json.Decoder(list[int])
_IDS_AT_ONCE = 900


def read_versions(connection: Connection, submission: Submission, known: Known) -> None:
    """Into `known`: `foreign` and `batches`, `left_out`, `described`, `inits`."""
    rows = _of_name(connection, submission)
    versions = [row for row in rows if is_version_of(submission, row)]
    _read_foreign(connection, submission, known, versions)
    owning = {known.tasks[id][3] for id in submission.ids if id in known.tasks}
    known.inits = {row.number: init_rows(connection, row.number) for row in versions if row.number in owning}
    if sum(sum(row.counts) for row in versions) > _kept_of(known, {row.number for row in versions}):
        known.left_out = _left_out(connection, submission, versions)
    known.described = _described(connection, submission, known)


def _of_name(connection: Connection, submission: Submission) -> list[BatchRow]:
    """The batches of the project that are called as the push is, without what they are attached to: for a million tasks
    that are eight megabytes for each time they were pushed.
    """
    c = batches.c
    chosen = select(c.number, c.project, c.name, c.first, c.count, c.counts, c.submitter, c.source)
    rows = connection.execute(chosen.where(c.project == submission.project, c.name == submission.name))
    return [
        BatchRow(*row[:5], _numbers.decode(row.counts), submitter=row.submitter or "", source=row.source or "")
        for row in rows
    ]


def _attached(connection: Connection, versions: list[BatchRow]) -> set[int]:
    """Tasks of other batches that these have taken over."""
    taken: set[int] = set()
    for row in versions:
        blob = connection.execute(select(batches.c.attached).where(batches.c.number == row.number)).scalar()
        taken.update(array("q", bytes(blob or b"")))
    return taken


def _read_foreign(connection: Connection, submission: Submission, known: Known, versions: list[BatchRow]) -> None:
    own = {row.number for row in versions}
    foreign = {id: known.tasks[id] for id in submission.ids if id in known.tasks and known.tasks[id][3] not in own}
    if foreign:  # a version of this batch may have replaced them before
        taken = _attached(connection, versions)
        known.foreign = {id: task[3] for id, task in foreign.items() if task[0] not in taken}
    for part in parts(sorted(set(known.foreign.values()))):
        known.batches.update((row.number, row) for row in batch_rows(connection, f"number IN ({listed(part)})"))


def _kept_of(known: Known, versions: set[int]) -> int:
    """How many tasks of these batches the push names. Dropped ones are in no count."""
    return sum(task[3] in versions and id not in known.dropped for id, task in known.tasks.items())


def _left_out(connection: Connection, submission: Submission, versions: list[BatchRow]) -> list[OwnedTask]:
    pushed = set(submission.ids)
    found = []
    for row in versions:
        if not sum(row.counts):
            continue  # all of it is dropped
        sql = (
            "SELECT tasks.id, tasks.number, COALESCE(task_states.state, tasks.accepted_as), task_states.dropped "
            "FROM tasks LEFT JOIN task_states ON task_states.number = tasks.number "
            f"WHERE tasks.number >= {row.first:d} AND tasks.number < {row.first + row.count:d} ORDER BY tasks.number"
        )
        found += [
            OwnedTask(id, number, row.number, state)
            for id, number, state, dropped in connection.exec_driver_sql(sql)
            if id not in pushed and not dropped
        ]
    return found


def _described(connection: Connection, submission: Submission, known: Known) -> dict[str, Description]:
    """Of the first tasks that have another content now."""
    changed: dict[int, str] = {}
    former = submission.former_contents
    for index, id in enumerate(submission.ids):
        old = known.tasks.get(id)
        if old is not None and old[2] != submission.contents[index] and old[2] not in former.get(index, ()):
            changed[old[0]] = id
            if len(changed) == SHOWN:
                break
    if not changed:
        return {}
    sql = (
        "SELECT tasks.number, tasks.execution, tasks.requirements, profiles.content FROM tasks "
        f"JOIN profiles ON profiles.number = tasks.profile WHERE tasks.number IN ({listed(changed)})"
    )
    found = connection.exec_driver_sql(sql)
    return {
        changed[number]: Description(bytes(run), bytes(needs), bytes(profile)) for number, run, needs, profile in found
    }


# --- results ----------------------------------------------------------------------------------------


def published(connection: Connection, submission: Submission) -> list[tuple[str, str, str, int]]:
    """See `DatabaseLookups.published`."""
    declaring = sorted({index for _, index in submission.results})
    ids = [submission.ids[index] for index in declaring]
    prefix = tree_prefix(submission.project)
    found: list[tuple[str, str, str, int]] = []
    mark = "?" if is_lite(connection) else "%s"
    for start in range(0, len(ids), _IDS_AT_ONCE):
        part = ids[start : start + _IDS_AT_ONCE]
        sql = (
            "SELECT tasks.id, results.name, results.digest, results.size FROM tasks "
            "JOIN task_states ON task_states.number = tasks.number JOIN results ON results.task = tasks.number "
            f"WHERE tasks.project = {mark} AND tasks.id IN ({','.join([mark] * len(part))}) "
            f"AND task_states.state = {int(TaskState.SUCCEEDED)}"
        )
        rows = connection.exec_driver_sql(sql, (submission.project, *part))
        found += [
            (id, prefix + name, digest, size) for id, name, digest, size in rows if digest or not is_pattern(name)
        ]
    return found


# --- early cut-off ----------------------------------------------------------------------------------


def inputs_came_out_the_same(connection: Connection, asked: Sequence[tuple[int, int, Sequence[int]]]) -> set[int]:
    """See `DatabaseLookups.same_inputs`."""
    before = _inputs_of_attempts(connection, [(task, attempt) for task, attempt, _ in asked])
    now = requirements(connection, [task for task, _, _ in asked])
    made = _made_by(connection, {parent for _, _, parents in asked for parent in parents})
    prefixes = _prefixes(connection, [task for task, _, _ in asked])
    same = set()
    for task, _, parents in asked:
        wanted = now.get(task, [])
        names = {one.name for one in wanted}
        handed = all(not names.isdisjoint(made.get(parent, ())) for parent in parents)
        if handed and task in before and before[task] == _digests(wanted, prefixes[task]):
            same.add(task)
    return same


def _inputs_of_attempts(connection: Connection, keys: Iterable[tuple[int, int]]) -> dict[int, set[tuple[object, ...]]]:
    """Of those attempts that have succeeded."""
    wanted = dict(keys)
    found = {}
    for part in parts(sorted(wanted)):
        sql = f"SELECT task, attempt, inputs FROM attempts WHERE task IN ({listed(part)}) AND ended = 'succeeded'"
        for task, attempt, inputs in connection.exec_driver_sql(sql):
            if wanted[task] == attempt and inputs:
                found[task] = _digests(_inputs.decode(inputs), "")
    return found


def _digests(inputs: Iterable[Input], prefix: str) -> set[tuple[object, ...]]:
    """What they are, and where they lie in the working directory. Names get the prefix of their project's tree.

    One without a digest is of an unknown version: it is like no other.
    """
    return {
        (prefix + one.name, one.path, one.digest or (one.folder or object()), one.executable, one.folder)
        for one in inputs
    }


def _made_by(connection: Connection, parents: Iterable[int]) -> dict[int, set[str]]:
    made: dict[int, set[str]] = {}
    for part in parts(sorted(parents)):
        sql = f"SELECT task, name FROM results WHERE task IN ({listed(part)}) AND digest <> ''"
        for task, name in connection.exec_driver_sql(sql):
            made.setdefault(task, set()).add(name)
    return made


def _prefixes(connection: Connection, numbers: Iterable[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for part in parts(sorted(numbers)):
        rows = connection.exec_driver_sql(f"SELECT number, project FROM tasks WHERE number IN ({listed(part)})")
        found.update((number, tree_prefix(project)) for number, project in rows)
    return found


__all__ = ["inputs_came_out_the_same", "published", "read_versions"]
