"""What the boss asks of its database, as the core sees it: the turn's reads and its one commit.

`boss.database` implements it, the simulation has one of its own. Types only: nothing here reads or writes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from boss.core.errors import CoreError
from boss.core.model import Submission
from boss.core.rows import Changes, Known, Loaded, LoadedBatch
from wire.messages import Input

#: (project, the user's id, the execution as JSON)
Task = tuple[str, str, bytes]


class DatabaseAwayError(CoreError):
    """A commit could not be made and certainly was not; it may be tried again. The text states why."""


class TurnRefusedError(CoreError):
    """Nothing of the turn was written, and the same turn would be refused again: because of a row in it."""

    def __init__(self, text: str, attempt: tuple[int, int] | None = None) -> None:
        """`attempt`: (task, attempt) of the row, where it is known which."""
        super().__init__(text)
        self.attempt = attempt


class TurnLookups(Protocol):
    """What the database is asked, for many numbers at once. Init tasks are asked for by their numbers too."""

    def executions(self, numbers: Collection[int]) -> Mapping[int, Task]:
        """Of those that there are."""

    def requirements(self, numbers: Collection[int]) -> Mapping[int, list[Input]]:
        """`name` inside the datastore's tree; `digest` filled in where a result of that name is published."""

    def result_names(self, numbers: Collection[int]) -> Mapping[int, list[str]]:
        """Inside the datastore's tree."""

    def same_inputs(self, asked: Sequence[tuple[int, int, Sequence[int]]]) -> Collection[int]:
        """Those of the tasks whose inputs are what they were for this attempt, which has succeeded, and to which each
        of these tasks, run again since, hands results: (task, attempt, those).
        """
        ...

    def source_of(self, digest: str) -> str:
        """Where the content of a sent file lies."""


class TurnReads(Protocol):
    """What a turn reads before it decides."""

    def known(self, submission: Submission) -> Known:
        """What there is of the ids and names of a push."""

    def batches_for(
        self, tasks: Collection[int], batches: Collection[int], present: Collection[int]
    ) -> tuple[list[LoadedBatch], dict[int, int], list[tuple[int, int]]]:
        """The batches of these, and all that are joined to them by an edge, but those `present` in memory."""


class TurnStore(TurnLookups, TurnReads, Protocol):
    """The database as the loop uses it. Anything else that it raises stops the boss."""

    def load(self) -> Loaded:
        """What a start reads."""

    def commit(self, changes: Changes, wall: float) -> None:
        """All or nothing. Raises DatabaseAwayError: it may be tried again; TurnRefusedError: another turn may."""
