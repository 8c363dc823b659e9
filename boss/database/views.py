"""What users see of tasks: values for the HTTP API, `admin.py` and exports. No SQL, no decisions."""

from __future__ import annotations

import msgspec

from boss.core.rows import AttemptRow, Move
from wire.messages import Execution, Input

#: The largest number that a database takes.
LARGEST = 2**63 - 1


class TaskLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One task in a list, with what its newest attempt is about."""

    number: int
    project: str
    id: str
    batch: int
    #: The state's word (`queued`).
    state: str
    #: The number of its newest attempt; 0 is none yet.
    attempt: int = 0
    reason: str = ""
    #: Of the newest attempt; empty before the first.
    worker: str = ""
    address: str = ""
    phase: str = ""
    ended: str = ""
    exit_code: int | None = None
    #: Only where it was asked for.
    execution: Execution | None = None


class StoredTask(msgspec.Struct, kw_only=True):
    """All that is known of one task."""

    task: TaskLine
    execution: Execution
    requirements: list[Input]
    #: Ids of the tasks that it depends on.
    dependencies: list[str]
    #: Oldest first.
    attempts: list[AttemptRow]


class ResultLine(msgspec.Struct, kw_only=True):
    """One published result."""

    project: str
    #: Inside the project's tree.
    name: str
    #: Number and id of the task that made it; the attempt is 0 where it was found there.
    task: int
    id: str
    attempt: int
    digest: str
    size: int
    #: When that attempt ended, in seconds since 1970.
    time: float
    #: With the task's number it says where a list goes on.
    key: bytes


class JournalLine(Move, kw_only=True):
    """One move, as the journal has it."""

    turn: int
    time: float


class JournalPage(msgspec.Struct, kw_only=True):
    """Some of the journal, and where it goes on."""

    lines: list[JournalLine]
    #: The last turn that was looked at: what comes later has higher numbers.
    turn: int
    #: There may be more already.
    more: bool
