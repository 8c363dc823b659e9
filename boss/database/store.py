"""The database as the loop and the dispatcher use it: look-ups in bulk with a bounded memory of executions,
full names of the datastore's tree, batches together with all that are joined to them.

Belongs to the program's wiring: it may know `boss.database` and `boss.loop`, and decides nothing.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from boss.core.attempts import tree_prefix
from boss.core.model import Submission
from boss.core.rows import Changes, Known, Loaded, LoadedBatch
from boss.core.store import DatabaseAwayError, Task, TurnRefusedError
from boss.database import (
    Database,
    DatabaseBusyError,
    DatabaseFullError,
    DatabaseUnavailableError,
    StatementRefusedError,
)
from boss.database.reserve import Reserve
from wire.http import PREFIX
from wire.messages import Input

T = TypeVar("T")

#: How the source of a sent file begins that is to be asked of the boss by HTTP; then comes a path of its API.
BY_HTTP = "boss:"
#: Bytes of executions that are remembered so that they need not be read to be sent.
CACHE_BYTES = 64 * 1024 * 1024


class DatabaseStore:
    """`boss.core.store.TurnStore` over a real database."""

    def __init__(
        self, database: Database, spool: Path, *, by_http: bool = False, reserve: Reserve | None = None
    ) -> None:
        """`by_http`: the datastore cannot read the spool; it asks the boss for what stands there."""
        self._database = database
        self._reserve = reserve
        self._spool = spool
        self._by_http = by_http
        self._tasks: OrderedDict[int, Task] = OrderedDict()
        self._bytes = 0

    # --- the turn ----------------------------------------------------------------------------------

    def load(self) -> Loaded:
        """Unfinished batches, and those whose tasks wait for theirs although they count as finished (blocked).

        Blocks on the database, long where there are many tasks. Raises DatabaseAwayError, and other DatabaseErrors as
        they are.
        """
        loaded = self._try(self._database.load)
        present = {batch.row.number for batch in loaded.batches}
        more, outside, crossing = self._with_dependants(self._below(loaded.crossing, present), present)
        loaded.batches += more
        loaded.outside |= outside
        loaded.crossing += crossing
        return loaded

    def commit(self, changes: Changes, wall: float) -> None:
        """Write the turn, all of it or nothing; `wall`: seconds since 1970. Blocks on the database, which is tried
        again for some time. Raises DatabaseAwayError: try again; TurnRefusedError: another turn may pass;
        SupersededError.
        """
        self._try(lambda: self._commit(changes, wall))
        for accepted in changes.accepted:
            submission = accepted.submission
            for index in accepted.replaced:
                self._forget(accepted.numbers[index])
            for index, number in enumerate(accepted.numbers):
                if self._bytes > CACHE_BYTES:
                    break
                if index not in accepted.kept:
                    self._remember(number, (submission.project, submission.ids[index], submission.executions[index]))

    def _commit(self, changes: Changes, wall: float) -> None:
        try:
            self._database.commit(changes, wall)
        except DatabaseFullError:
            if self._reserve is not None:
                self._reserve.on_full(time.monotonic())
            raise
        if self._reserve is not None:
            self._reserve.on_written(time.monotonic())

    def known(self, submission: Submission) -> Known:
        """What the project has already of the ids and names of this push. Blocks on the database. Raises
        DatabaseAwayError, and SupersededError: another boss has taken it over.
        """
        return self._mine(lambda: self._database.lookups.known(submission))

    def batches_for(
        self, tasks: Collection[int], batches: Collection[int], present: Collection[int]
    ) -> tuple[list[LoadedBatch], dict[int, int], list[tuple[int, int]]]:
        """(batches of these tasks and numbers and all that depend on them, but those `present`; states of tasks outside
        that they touch; edges that lead there). Blocks on the database. Raises DatabaseAwayError, and SupersededError:
        another boss has taken it over.
        """
        return self._mine(lambda: self._batches_for(tasks, batches, present))

    def _batches_for(
        self, tasks: Collection[int], batches: Collection[int], present: Collection[int]
    ) -> tuple[list[LoadedBatch], dict[int, int], list[tuple[int, int]]]:
        wanted = set(batches) | set(self._database.lookups.batches_of(list(tasks)).values())
        return self._with_dependants(wanted - set(present), set(present))

    def _with_dependants(
        self, wanted: set[int], present: set[int]
    ) -> tuple[list[LoadedBatch], dict[int, int], list[tuple[int, int]]]:
        """These batches and all below them: what changes in one is to reach its dependants in memory."""
        while wanted:
            loaded, outside, crossing = self._database.load_batches(sorted(wanted))
            below = self._below(crossing, present | wanted)
            if not below:
                return loaded, outside, crossing
            wanted |= below
        return [], {}, []

    def _below(self, crossing: list[tuple[int, int]], present: set[int]) -> set[int]:
        dependants = sorted({dependant for _, dependant in crossing})
        return set(self._database.lookups.batches_of(dependants).values()) - present if dependants else set()

    # --- what orders need --------------------------------------------------------------------------

    def executions(self, numbers: Collection[int]) -> Mapping[int, Task]:
        """number -> (project, the user's id, the execution as JSON), of those that there are; init tasks too. Blocks on
        the database for those that are not remembered. Raises DatabaseAwayError.
        """
        found = {number: self._tasks[number] for number in numbers if number in self._tasks}
        missing = [number for number in numbers if number not in found]
        if missing:
            read = self._try(lambda: self._database.lookups.executions(missing))
            for number, task in read.items():
                self._remember(number, task)
            found |= read
        return found

    def requirements(self, numbers: Collection[int]) -> Mapping[int, list[Input]]:
        """number -> its inputs, with names inside the datastore's tree, and the digest of what is published under a
        name; init tasks too. Blocks on the database. Raises DatabaseAwayError.
        """
        projects = self.executions(numbers)
        found = self._try(lambda: self._database.lookups.requirements(list(numbers)))
        return {
            number: _full_names(inputs, projects[number][0]) for number, inputs in found.items() if number in projects
        }

    def same_inputs(self, asked: Sequence[tuple[int, int, Sequence[int]]]) -> Collection[int]:
        """Those of the tasks whose inputs are what they were for their attempt: see `DatabaseLookups.same_inputs`.
        Blocks on the database. Raises DatabaseAwayError.
        """
        return self._try(lambda: self._database.lookups.same_inputs(asked))

    def result_names(self, numbers: Collection[int]) -> Mapping[int, list[str]]:
        """number -> the names that it declares, inside the datastore's tree, in order of name. Blocks on the database.
        Raises DatabaseAwayError.
        """
        projects = self.executions(numbers)
        found = self._try(lambda: self._database.lookups.result_names(list(numbers)))
        return {
            number: [tree_prefix(projects[number][0]) + name for name in names]
            for number, names in found.items()
            if number in projects
        }

    def source_of(self, digest: str) -> str:
        """Where the datastore gets the content of a sent file: its path in the spool, or BY_HTTP and a path of the
        boss's API. Reads nothing: it need not be there.
        """
        if self._by_http:
            return f"{BY_HTTP}{PREFIX}/blobs/{digest}"
        return os.fspath(self._spool / digest.removeprefix("b2:"))

    def _remember(self, number: int, task: Task) -> None:
        if number not in self._tasks:
            self._tasks[number] = task
            self._bytes += len(task[2]) + 200
            while self._bytes > CACHE_BYTES and len(self._tasks) > 1:
                _, old = self._tasks.popitem(last=False)
                self._bytes -= len(old[2]) + 200

    def _forget(self, number: int) -> None:
        """What is remembered of it is not what the database says now."""
        old = self._tasks.pop(number, None)
        if old is not None:
            self._bytes -= len(old[2]) + 200

    def _mine(self, call: Callable[[], T]) -> T:
        """Read for a decision: what a boss that came after this one has written does not fit what is known here."""

        def read() -> T:
            found = call()
            self._database.still_mine()
            return found

        return self._try(read)

    def _try(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except (DatabaseBusyError, DatabaseFullError, DatabaseUnavailableError) as error:
            raise DatabaseAwayError(str(error)) from error
        except StatementRefusedError as error:
            raise TurnRefusedError(str(error), getattr(error, "attempt", None)) from error


def _full_names(inputs: list[Input], project: str) -> list[Input]:
    prefix = tree_prefix(project)
    if not prefix:
        return inputs
    return [msgspec.structs.replace(one, name=prefix + one.name) for one in inputs]
