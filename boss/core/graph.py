"""One batch in memory: its part of the graph as compact columns.

A batch owns the tasks `first .. first + count - 1`; inside it a task is its index. Everything per task
stands in an array or a bytearray, so that a million tasks are some forty megabytes and no objects. Edges
inside the batch are kept as dependants in compressed sparse rows; the few edges between batches are
`State.crossing`. Columns and arithmetic only: which state a task goes to is decided in `boss.core.moves`.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from boss.core.model import Profile, TaskState
from boss.core.rows import BatchRow, InitRow

#: Bits of `Batch.flags`.
READY = 1  # waits in the ready queue
RESULTS = 2  # declares results
CANCELLING = 4  # a user asked to cancel it, and an attempt is still to be ended
DROPPED = 8  # a user dropped it (`boss.core.dropped`)
CROSSES = 16  # depends on a task of another batch, which need not be in memory


class Outdated:
    """What a task has made is of inputs that may be others now."""

    __slots__ = ("attempt", "parents")

    def __init__(self, attempt: int, parents: dict[int, None]) -> None:
        self.attempt = attempt
        #: By number.
        self.parents = parents


class Batch:
    """The columns of one batch."""

    __slots__ = (
        "attempts",
        "awaits",
        "broken",
        "count",
        "counts",
        "deaths",
        "dependant_starts",
        "dependants",
        "failures",
        "files_waiting",
        "first",
        "flags",
        "inits",
        "links",
        "live",
        "number",
        "outdated",
        "profile_of",
        "profiles",
        "row",
        "sizes",
        "states",
        "unmet",
    )

    def __init__(self, row: BatchRow, states: bytearray, profile_of: array[int], profiles: list[Profile]) -> None:
        count = row.count
        self.row = row
        self.number = row.number
        self.first = row.first
        self.count = count
        #: TaskState of each.
        self.states = states
        #: How many dependencies have not succeeded.
        self.unmet = array("i", bytes(4 * count))
        #: How many dependencies are failed, cancelled or blocked.
        self.broken = array("i", bytes(4 * count))
        #: Number of the newest attempt.
        self.attempts = array("i", bytes(4 * count))
        self.failures = array("i", bytes(4 * count))
        self.deaths = array("i", bytes(4 * count))
        self.profile_of = profile_of
        self.profiles = profiles
        #: Bytes of the execution, as it will stand in a message.
        self.sizes = array("I", bytes(4 * count))
        self.flags = bytearray(count)
        #: Dependants inside the batch: dependants[dependant_starts[i]:dependant_starts[i + 1]].
        self.dependant_starts = array("I", bytes(4 * (count + 1)))
        self.dependants = array("I")
        self.inits: list[InitRow] = []
        #: Tasks per TaskState; dropped ones are not counted.
        self.counts = [0] * len(TaskState)
        #: Live attempts of its tasks and init tasks.
        self.live = 0
        #: Sent files that have not got their name on the datastore yet: until then nothing of it starts.
        self.files_waiting = 0
        #: Unfinished older batches to whose tasks this push is attached: it is finished after them.
        self.awaits: set[int] = set()
        #: Batches joined to this one by an edge, or by being attached.
        self.links: set[int] = set()
        #: Index -> the attempt with which it has succeeded, or may yet, and the tasks it depends on that were run
        #: again since that was sent (`boss.core.outdated`).
        self.outdated: dict[int, Outdated] = {}

    def profile(self, index: int) -> Profile:
        return self.profiles[self.profile_of[index]]

    def requires_inputs(self, index: int, *, init: bool) -> bool:
        """Of a task, or of the init task at that position: an attempt of it is staged before it executes."""
        return bool(self.inits[index].spec.requirements) if init else self.profile(index).staging

    def held(self) -> bool:
        """True: nothing of it may be sent to a worker at present."""
        return bool(self.row.paused) or self.files_waiting > 0

    def unfinished(self) -> bool:
        counts = self.counts
        return bool(
            counts[TaskState.PENDING]
            or counts[TaskState.QUEUED]
            or counts[TaskState.RUNNING]
            or self.live
            or self.awaits
        )

    def count_states(self, start: int = 0, stop: int | None = None) -> list[int]:
        """`counts` of the tasks of these indexes (all), from the states. Linear in them."""
        states, flags = self.states[start:stop], self.flags[start:stop]
        counts = [states.count(task_state) for task_state in TaskState]
        if _has_dropped(flags):
            for task_state, flag in zip(states, flags, strict=True):
                counts[task_state] -= bool(flag & DROPPED)
        return counts

    def dependants_of(self, index: int) -> Sequence[int]:
        """Indexes of its dependants in this batch."""
        starts = self.dependant_starts
        return self.dependants[starts[index] : starts[index + 1]]


#: Every value of a task's flags -> whether it is dropped; as a table, because that goes through a million in no time.
_DROPPED_BYTES = bytes(bool(value & DROPPED) for value in range(256))


def _has_dropped(flags: bytearray) -> bool:
    return 1 in flags.translate(_DROPPED_BYTES)


def attach(batch: Batch, older: Batch) -> None:
    """`batch` was pushed with tasks that `older` has already, and that has work left."""
    batch.awaits.add(older.number)
    batch.links.add(older.number)
    older.links.add(batch.number)


def reverse_edges(count: int, starts: Sequence[int], targets: Sequence[int]) -> tuple[array[int], array[int]]:
    """Dependencies in compressed sparse rows -> dependants in compressed sparse rows.

    `targets[starts[i]:starts[i + 1]]` are the indexes on which i depends; the answer has the same shape
    the other way round, in rising order. Linear in tasks and edges.
    """
    sums = array("I", bytes(4 * (count + 2)))
    for target in targets:
        sums[target + 2] += 1
    total = 0
    for index in range(2, count + 2):
        total += sums[index]
        sums[index] = total
    edges = array("I", bytes(4 * len(targets)))
    begin = starts[0] if count else 0
    for index in range(count):
        end = starts[index + 1]
        while begin < end:
            target = targets[begin] + 1
            edges[sums[target]] = index
            sums[target] += 1
            begin += 1
    return sums[: count + 1], edges
