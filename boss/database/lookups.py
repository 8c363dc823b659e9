"""What the loop reads while it works: what a push meets in its project, and what orders need.

Every call is in bulk, opens a connection of the pool and leaves it again; any thread may call. Task numbers
may be those of init executions wherever it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, func, select

from boss.core.model import Submission, TaskState
from boss.core.rows import Known
from boss.database.accept import name_key
from boss.database.inputs import inits, requirements
from boss.database.load import dropped_of, states_of
from boss.database.reading import Reader, reads
from boss.database.results import stored_contents
from boss.database.statements import is_lite, listed, parts
from boss.database.tables import not_dropped, results, task_states, tasks
from boss.database.versions import inputs_came_out_the_same, published, read_versions
from wire.messages import Input
from wire.patterns import folders_above

_state = func.coalesce(task_states.c.state, tasks.c.accepted_as)
_tasks_with_states = tasks.outerjoin(task_states, task_states.c.number == tasks.c.number)

#: Whether results lie in folders that are results of older tasks is asked for so many folders at most.
_MAX_FOLDERS = 50_000

#: As text for the driver: a push of a million tasks asks this a thousand times, and building it costs more than it.
_KNOWN_TASKS = (
    "SELECT tasks.id, tasks.number, COALESCE(task_states.state, tasks.accepted_as), tasks.content, tasks.batch, "
    "task_states.dropped, task_states.outdated "
    "FROM tasks LEFT JOIN task_states ON task_states.number = tasks.number "
    "WHERE tasks.project = {mark} AND tasks.id IN ({marks})"
)


class DatabaseLookups(Reader):
    """See the functions' own lines."""

    @reads
    def known(self, connection: Connection, submission: Submission) -> Known:
        """What the project has already of the ids and names that this push speaks of."""
        known, project = Known(), submission.project
        if connection.execute(select(tasks.c.number).where(tasks.c.project == project).limit(1)).first() is None:
            return known
        dropped: set[str] = set()
        ids = list(dict.fromkeys([*submission.ids, *(id for _, id in submission.external)]))
        mark = "?" if is_lite(connection) else "%s"
        for part in parts(ids):
            sql = _KNOWN_TASKS.format(mark=mark, marks=",".join([mark] * len(part)))
            for id, number, state, content, batch, is_dropped, note in connection.exec_driver_sql(
                sql, (project, *part)
            ):
                known.tasks[id] = (number, state, content, batch)
                if is_dropped:
                    dropped.add(id)
                if note and state == TaskState.SUCCEEDED:
                    known.outdated.add(id)
        if dropped:
            known.dropped = dropped.intersection(submission.ids)
            for id in dropped - known.dropped:  # only depended on: it is not there
                del known.tasks[id]
        needed = [*(name for _, name in submission.external_names), *(file.name for file in submission.files)]
        needed += (folder for _, name in submission.external_names for folder in folders_above(name))
        above = {folder for name, _ in submission.results for folder in folders_above(name)}
        if len(above) <= _MAX_FOLDERS:
            needed += above
        names = dict.fromkeys([*(name for name, _ in submission.results), *needed])
        known.results = _known_results(connection, project, list(names))
        read_versions(connection, submission, known)
        return known

    @reads
    def executions(self, connection: Connection, numbers: Sequence[int]) -> dict[int, tuple[str, str, bytes]]:
        """number -> (project, the user's id, JSON of Execution); init executions too."""
        found: dict[int, tuple[str, str, bytes]] = {}
        for part in parts(numbers):
            sql = f"SELECT number, project, id, execution FROM tasks WHERE number IN ({listed(part)})"
            found.update(
                (number, (project, id, execution)) for number, project, id, execution in connection.exec_driver_sql(sql)
            )
        if len(found) < len(set(numbers)):
            missing = [number for number in numbers if number not in found]
            found |= {n: (project, spec.id, spec.execution) for n, project, spec in inits(connection, missing)}
        return found

    @reads
    def requirements(self, connection: Connection, numbers: Sequence[int]) -> dict[int, list[Input]]:
        """number -> its requirements, names inside the project's tree; init executions too.

        A requirement without a digest gets that of the published result of its name, if there is one, or becomes the
        files of the folder of that name which the task's dependencies have left.
        """
        return requirements(connection, numbers)

    @reads
    def result_names(self, connection: Connection, numbers: Sequence[int]) -> dict[int, list[str]]:
        """number -> the names that it declares, inside the project's tree, in order of name."""
        found: dict[int, list[str]] = {number: [] for number in numbers}
        for part in parts(numbers):
            sql = f"SELECT task, name FROM results WHERE task IN ({listed(part)}) ORDER BY name"
            for task, name in connection.exec_driver_sql(sql):
                found[task].append(name)
        return found

    @reads
    def task_numbers(self, connection: Connection, project: str, ids: Iterable[str]) -> dict[str, int]:
        """id -> number of those that are there and not dropped."""
        found: dict[str, int] = {}
        chosen = select(tasks.c.id, tasks.c.number).select_from(_tasks_with_states)
        for part in parts(list(ids)):
            wanted = tasks.c.id.in_(part)
            rows = connection.execute(chosen.where(tasks.c.project == project, wanted, not_dropped()))
            found.update((id, number) for id, number in rows)
        return found

    @reads
    def states(self, connection: Connection, numbers: Sequence[int]) -> dict[int, int]:
        """number -> TaskState, of those that are there and not dropped."""
        states = states_of(connection, numbers)
        for number in dropped_of(connection, numbers):
            del states[number]
        return states

    @reads
    def stored(self, connection: Connection, digests: Sequence[str]) -> dict[str, int]:
        """digest -> size, of the sent contents that the datastore has."""
        return stored_contents(connection, digests)

    @reads
    def same_inputs(self, connection: Connection, asked: Sequence[tuple[int, int, Sequence[int]]]) -> set[int]:
        """Those of the tasks whose inputs are those of their attempt: (task, attempt, tasks it depends on that were run
        again since, each of which must hand it results).
        """
        return inputs_came_out_the_same(connection, asked)

    @reads
    def published(self, connection: Connection, submission: Submission) -> list[tuple[str, str, str, int]]:
        """What tasks of the push that have succeeded have left: (id, name inside the datastore's tree, digest, size).

        A declared name of which no content is on record has no digest.
        """
        return published(connection, submission)

    def ids(self, numbers: Sequence[int]) -> dict[int, str]:
        """number -> the user's id."""
        return {number: task[1] for number, task in self.executions(numbers).items()}

    @reads
    def batches_of(self, connection: Connection, numbers: Sequence[int]) -> dict[int, int]:
        """task number -> batch number; init executions too."""
        found: dict[int, int] = {}
        for part in parts(numbers):
            for table in ("inits", "tasks"):
                sql = f"SELECT number, batch FROM {table} WHERE number IN ({listed(part)})"
                found.update((number, batch) for number, batch in connection.exec_driver_sql(sql))
        return found


def _known_results(connection: Connection, project: str, names: list[str]) -> dict[str, tuple[int, int, str]]:
    found: dict[str, tuple[int, int, str]] = {}
    owners = results.join(_tasks_with_states, tasks.c.number == results.c.task)
    chosen = select(results.c.name, results.c.task, _state, tasks.c.id).select_from(owners)
    for part in parts(names):
        wanted = results.c.key.in_([name_key(name) for name in part])
        rows = connection.execute(chosen.where(results.c.project == project, wanted))
        found.update((name, (task, state, id)) for name, task, state, id in rows)
    return found
