"""The database at the level of committed turns: rows as values, all of a turn or nothing.

A second, much simpler implementation of what `boss.database` does, so that a crash between any two steps can
be tried thousands of times a minute. Rows are copied on the way in and out, as a real database does.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping, Sequence

import msgspec

from boss.core.attempts import tree_prefix
from boss.core.model import TERMINAL, Profile, Submission, TaskState
from boss.core.pools import DAY
from boss.core.rows import (
    Acceptance,
    AttemptRow,
    BatchRow,
    Changes,
    FileRow,
    InitRow,
    InstanceRow,
    Known,
    Loaded,
    LoadedBatch,
    OwnedTask,
    ResultRow,
    TaskRow,
    WorkerRow,
)
from boss.core.store import TurnLookups
from boss.core.versions import is_version_of
from boss.database.load import TOOK
from wire.messages import Input
from wire.patterns import folders_above

_inputs = msgspec.json.Decoder(list[Input])


class Superseded(Exception):
    """The epoch is another boss's."""


class SimulatedStore:
    """Committed turns."""

    def __init__(self) -> None:
        self.epoch = 0
        self.turn = 0
        self.batches: dict[int, BatchRow] = {}
        self.accepted: dict[int, Acceptance] = {}
        #: number -> (acceptance, index): where its present description stands ...
        self.places: dict[int, tuple[Acceptance, int]] = {}
        #: ... and the batch whose task it is: a later push may have replaced the description.
        self.batch_of: dict[int, int] = {}
        self.ids: dict[tuple[str, str], int] = {}
        self.tasks: dict[int, TaskRow] = {}
        self.attempts: dict[tuple[int, int], AttemptRow] = {}
        self.inits: dict[int, InitRow] = {}
        self.workers: dict[str, WorkerRow] = {}
        self.instances: dict[int, InstanceRow] = {}
        self.files: dict[tuple[str, str], FileRow] = {}
        self.results: dict[tuple[str, str], ResultRow] = {}
        self.records: dict[tuple[int, int], None] = {}

    # --- one turn ----------------------------------------------------------------------------------

    def commit_as(self, epoch: int, turn: int, changes: Changes) -> bool:
        """All of the turn or nothing. False: this turn is there already, its answer was lost."""
        if epoch != self.epoch:
            raise Superseded
        if turn == self.turn:
            return False
        assert turn == self.turn + 1, f"turn {turn} after turn {self.turn}"
        self.turn = turn
        copy = msgspec.structs.replace
        for accepted in changes.accepted:
            self._accept(accepted)
        for batch in changes.batches.values():
            self.batches[batch.number] = copy(batch, counts=list(batch.counts))
        self.tasks.update({number: copy(row) for number, row in changes.tasks.items()})
        self.attempts.update({key: copy(row) for key, row in changes.attempts.items()})
        self.inits.update({number: copy(row) for number, row in changes.inits.items()})
        self.workers.update({name: copy(row) for name, row in changes.workers.items()})
        self.instances.update({number: copy(row) for number, row in changes.instances.items()})
        for identity in changes.stored:
            self.files[identity].stored = True
        self.results.update({name: copy(row) for name, row in changes.results.items()})
        freed = {number for number, row in changes.tasks.items() if row.dropped and row.state in TERMINAL}
        for key in [key for key, row in self.results.items() if row.task in freed]:
            del self.results[key]
        for key, kept in changes.records.items():
            if kept:
                self.records[key] = None
            else:
                self.records.pop(key, None)

    def _accept(self, accepted: Acceptance) -> None:
        batch, submission = accepted.batch, accepted.submission
        self.batches[batch.number] = msgspec.structs.replace(batch, counts=list(batch.counts))
        self.accepted[batch.number] = accepted
        for index in accepted.replaced:
            number = accepted.numbers[index]
            self.places[number] = (accepted, index)
            declared = {(batch.project, name) for name, of in submission.results if of == index}
            for key in [key for key, row in self.results.items() if row.task == number and key not in declared]:
                del self.results[key]
        for index, number in enumerate(accepted.numbers):
            if index in accepted.kept:
                continue
            self.places[number] = (accepted, index)
            self.batch_of[number] = batch.number
            assert (batch.project, submission.ids[index]) not in self.ids, "an id was numbered twice"
            self.ids[(batch.project, submission.ids[index])] = number
            state = accepted.states[index]
            self.tasks[number] = TaskRow(number, state, 0, 0, 0, "", False, batch.created_at)
        for name, index in submission.results:
            if index not in accepted.kept or index in accepted.replaced:
                row = ResultRow(batch.project, name, accepted.numbers[index])
                self.results.setdefault((batch.project, name), row).task = row.task
        for init in accepted.inits:
            self.inits[init.number] = msgspec.structs.replace(init)
        for index in accepted.renewed:
            place, at = self.places[accepted.numbers[index]]
            place.submission.contents[at] = submission.contents[index]
        for file in accepted.files:
            self.files[(file.name, file.digest)] = msgspec.structs.replace(file)

    def close(self) -> None:
        """The world is over."""

    # --- reading -----------------------------------------------------------------------------------

    def open(self) -> Session:
        """Another boss takes over."""
        self.epoch += 1
        return Session(self)

    def load(self) -> Loaded:
        unfinished = {number for number, row in self.batches.items() if not row.finished_at}
        batches = sorted(self._with_dependants(unfinished))
        copy = msgspec.structs.replace
        live = [copy(row) for row in self.attempts.values() if not row.ended]
        return Loaded(
            deployment="d",
            epoch=self.epoch,
            next_task=1 + max([*self.places, *self.inits, 0]),
            next_batch=1 + max([*self.batches, 0]),
            next_instance=1 + max([*self.instances, 0]),
            batches=[self._loaded(number) for number in batches],
            attempts=live,
            workers=[copy(row) for row in self.workers.values() if row.state != "gone"],
            instances=[copy(row) for row in self.instances.values() if row.state not in ("gone", "failed")],
            files=[copy(row) for row in self.files.values() if not row.stored],
            records=list(self.records),
            outside={number: row.state for number, row in self.tasks.items()},
            crossing=self._crossing(),
            boots=self._boots(),
            spent=self._spent(),
            took=[one for number in batches for one in self._took(self.batches[number])],
        )

    def _took(self, batch: BatchRow) -> list[tuple[int, str, float]]:
        rows = sorted(self.attempts.items())
        of_batch = [row for (task, _), row in rows if batch.first <= task < batch.first + batch.count]
        return [(row.task, row.worker, row.seconds) for row in of_batch if row.ended == "succeeded"][-TOOK:]

    def _boots(self) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for row in self.instances.values():
            if row.hello_at > row.requested_at:
                found.setdefault(row.pool, []).append(row.hello_at - row.requested_at)
        return found

    def _spent(self) -> dict[str, dict[int, float]]:
        found: dict[str, dict[int, float]] = {}
        for row in self.instances.values():
            if row.state in ("gone", "failed"):
                days = found.setdefault(row.pool, {})
                day = int(row.changed_at // DAY)
                days[day] = days.get(day, 0.0) + max(0.0, row.changed_at - row.requested_at)
        return found

    def batches_for(
        self, tasks: Collection[int], batches: Collection[int], present: Collection[int]
    ) -> tuple[list[LoadedBatch], dict[int, int], list[tuple[int, int]]]:
        wanted = set(batches) | {self.batch_of[task] for task in tasks if task in self.batch_of}
        wanted = self._with_dependants(wanted) - set(present)
        outside = {number: row.state for number, row in self.tasks.items()}
        return [self._loaded(number) for number in sorted(wanted)], outside, self._crossing()

    def _crossing(self) -> list[tuple[int, int]]:
        return [
            (dependency, number)
            for number, (accepted, index) in self.places.items()
            for dependency in _dependencies(accepted, index)
            if self.batch_of[dependency] != self.batch_of[number]
        ]

    def _with_dependants(self, wanted: set[int]) -> set[int]:
        joined = [(self.batch_of[above], self.batch_of[below]) for above, below in self._crossing()]
        work = list(wanted)
        while work:
            number = work.pop()
            for above, below in joined:
                if above == number and below not in wanted:
                    wanted.add(below)
                    work.append(below)
        return wanted

    def _loaded(self, number: int) -> LoadedBatch:
        row = msgspec.structs.replace(self.batches[number], counts=list(self.batches[number].counts))
        own = [self.places[task] for task in range(row.first, row.first + row.count)]
        tasks = [self.tasks[task] for task in range(row.first, row.first + row.count)]
        starts, targets = array("q", [0]), array("q")
        for accepted, index in own:
            targets.extend(_dependencies(accepted, index))
            starts.append(len(targets))
        profiles = [_profile(accepted, index) for accepted, index in own]
        distinct = list(dict.fromkeys(msgspec.json.encode(profile) for profile in profiles))
        return LoadedBatch(
            row=row,
            states=bytearray(task.state for task in tasks),
            attempts=array("i", [task.attempt for task in tasks]),
            failures=array("i", [task.failures for task in tasks]),
            deaths=array("i", [task.deaths for task in tasks]),
            cancelling={task.number for task in tasks if task.cancelling},
            dropped={task.number for task in tasks if task.dropped},
            outdated={task.number: task.outdated for task in tasks if task.outdated},
            profile_of=array("I", [distinct.index(msgspec.json.encode(profile)) for profile in profiles]),
            profiles=[msgspec.json.decode(profile, type=Profile) for profile in distinct],
            sizes=array("I", [len(accepted.submission.executions[index]) for accepted, index in own]),
            dependency_starts=starts,
            dependency_targets=targets,
            inits=[msgspec.structs.replace(one) for one in self.inits.values() if one.batch == number],
            with_results={
                position
                for position, (accepted, index) in enumerate(own)
                if any(of == index for _, of in accepted.submission.results)
            },
        )

    # --- look-ups ----------------------------------------------------------------------------------

    def known(self, submission: Submission) -> Known:
        known = Known()
        project = submission.project
        for task_id in [*submission.ids, *(needed for _, needed in submission.external)]:
            number = self.ids.get((project, task_id))
            if number is not None and self.tasks[number].dropped:
                if task_id not in submission.ids:
                    continue
                known.dropped.add(task_id)
            if number is not None:
                accepted, index = self.places[number]
                content = accepted.submission.contents[index]
                known.tasks[task_id] = (number, self.tasks[number].state, content, self.batch_of[number])
                if self.tasks[number].outdated and self.tasks[number].state == TaskState.SUCCEEDED:
                    known.outdated.add(task_id)
        asked = [*(n for n, _ in submission.results), *(n for _, n in submission.external_names)]
        asked += [file.name for file in submission.files]
        for name in [place for one in asked for place in (one, *folders_above(one))]:
            row = self.results.get((project, name))
            if row is not None:
                accepted, index = self.places[row.task]
                known.results[name] = (row.task, self.tasks[row.task].state, accepted.submission.ids[index])
        self._versions(submission, known)
        return known

    def _versions(self, submission: Submission, known: Known) -> None:
        versions = {number for number, row in self.batches.items() if is_version_of(submission, row)}
        taken = {number for one in versions for number in self.accepted[one].numbers}
        for task_id in submission.ids:
            if task_id in known.tasks and known.tasks[task_id][0] not in taken:
                known.foreign[task_id] = known.tasks[task_id][3]
        known.batches = {number: msgspec.structs.replace(self.batches[number]) for number in known.foreign.values()}
        owning = {known.tasks[task_id][3] for task_id in submission.ids if task_id in known.tasks}
        for one in owning & versions:
            rows = sorted((row for row in self.inits.values() if row.batch == one), key=lambda row: row.position)
            known.inits[one] = [msgspec.structs.replace(row) for row in rows]
        for (project, task_id), number in self.ids.items():
            row = self.tasks[number]
            own = project == submission.project and self.batch_of[number] in versions
            if own and task_id not in submission.ids and not row.dropped:
                known.left_out.append(OwnedTask(task_id, number, self.batch_of[number], row.state))

    def same_inputs(self, asked: Sequence[tuple[int, int, Sequence[int]]]) -> Collection[int]:
        return {task for task, attempt, parents in asked if self._same(task, attempt, parents)}

    def _same(self, task: int, attempt: int, parents: Sequence[int]) -> bool:
        row = self.attempts.get((task, attempt))
        if row is None or row.ended != "succeeded" or not row.inputs:
            return False
        wanted = self.requirements([task])[task]
        names = {one.name for one in wanted}
        made = self.result_names(parents)
        before = {(one.name, one.path): one.digest for one in _inputs.decode(row.inputs)}
        now = {(one.name, one.path): one.digest for one in wanted}
        return before == now and all(now.values()) and all(not names.isdisjoint(made[one]) for one in parents)

    def executions(self, numbers: Collection[int]) -> Mapping[int, tuple[str, str, bytes]]:
        found = {}
        for number in numbers:
            if number in self.inits:
                spec = self.inits[number].spec
                found[number] = (self._project_of_init(number), spec.id, spec.execution)
            elif number in self.places:
                accepted, index = self.places[number]
                submission = accepted.submission
                found[number] = (submission.project, submission.ids[index], submission.executions[index])
        return found

    def requirements(self, numbers: Collection[int]) -> Mapping[int, list[Input]]:
        found = {}
        for number in numbers:
            if number in self.inits:
                project, blob = self._project_of_init(number), self.inits[number].spec.requirements
            else:
                accepted, index = self.places[number]
                project, blob = accepted.submission.project, accepted.submission.requirements[index]
            found[number] = [self._bound(project, one) for one in (_inputs.decode(blob) if blob else [])]
        return found

    def result_names(self, numbers: Collection[int]) -> Mapping[int, list[str]]:
        wanted = set(numbers)
        found: dict[int, list[str]] = {number: [] for number in wanted}
        for (project, name), row in self.results.items():
            if row.task in wanted:
                found[row.task].append(tree_prefix(project) + name)
        return found

    def source_of(self, digest: str) -> str:
        return "spool/" + digest

    def state(self, number: int) -> TaskState:
        return TaskState(self.tasks[number].state)

    def _project_of_init(self, number: int) -> str:
        return self.batches[self.inits[number].batch].project

    def _bound(self, project: str, one: Input) -> Input:
        row = self.results.get((project, one.name))
        name = tree_prefix(project) + one.name
        if one.digest or row is None:
            return msgspec.structs.replace(one, name=name)
        return msgspec.structs.replace(one, name=name, digest=row.digest, executable=row.executable)


class Session:
    """The database as one boss sees it: its epoch, its turn."""

    def __init__(self, store: SimulatedStore) -> None:
        self.store = store
        self.epoch = store.epoch
        self.turn = store.turn
        self.load = store.load
        self.lookups: TurnLookups = store
        #: Of the next commits the boss does not know whether the turn is there, and asks.
        self.answer_lost = False

    def commit(self, changes: Changes, wall: float) -> None:
        """Raises Superseded."""
        self.store.commit_as(self.epoch, self.turn + 1, changes)
        if self.answer_lost:
            assert not self.store.commit_as(self.epoch, self.turn + 1, changes), "a turn was written twice"
        self.turn += 1

    def known(self, submission: Submission) -> Known:
        self._still_mine()
        return self.store.known(submission)

    def batches_for(
        self, tasks: Collection[int], batches: Collection[int], present: Collection[int]
    ) -> tuple[list[LoadedBatch], dict[int, int], list[tuple[int, int]]]:
        self._still_mine()
        return self.store.batches_for(tasks, batches, present)

    def _still_mine(self) -> None:
        if self.epoch != self.store.epoch:
            raise Superseded

    def close(self) -> None:
        """Its boss is dead."""


def _profile(accepted: Acceptance, index: int) -> Profile:
    profile_of = array("I")
    profile_of.frombytes(accepted.submission.profile_of)
    return accepted.submission.profiles[profile_of[index]]


def _dependencies(accepted: Acceptance, index: int) -> array[int]:
    starts = accepted.dependency_starts
    return array("q", accepted.dependency_targets[starts[index] : starts[index + 1]])
