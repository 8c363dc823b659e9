"""What really happened, kept apart from what any program believes, and the rules of DESIGN section 5 over it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from boss.core.model import TaskState
from boss.core.rows import Changes
from tests.simulation.workers import SimulatedWorker, content_of
from wire.messages import Outcome, Run

if TYPE_CHECKING:
    from tests.simulation.world import World


class Truth:
    def __init__(self, world: World) -> None:
        self.world = world
        #: (task, attempt) -> how often its commands began.
        self.starts: Counter[tuple[int, int]] = Counter()
        #: Task -> real ends with a failure that is its own fault.
        self.failures: Counter[int] = Counter()
        self.successes: Counter[int] = Counter()
        #: Tasks that a person asked to run again, and how often.
        self.redone: Counter[int] = Counter()
        self.people_redo = False
        self.last_state: dict[int, int] = {}
        #: name on the datastore -> (task, attempt)
        self.names: dict[str, tuple[int, int]] = {}

    # --- on the workers ----------------------------------------------------------------------------------

    def began(self, worker: SimulatedWorker, run: Run) -> None:
        key = (run.task, run.attempt)
        self.starts[key] += 1
        store = self.world.store
        assert run.task in store.places or run.task in store.inits, f"{key} began and is not on disk"
        row = store.attempts.get(key)
        assert row is not None, f"{key} began and was never recorded as sent"
        assert row.worker == worker.id, f"{key} began on {worker.id}, was sent to {row.worker}"
        if run.init or self.people_redo:
            return
        accepted, index = store.places[run.task]
        starts = accepted.dependency_starts
        for dependency in accepted.dependency_targets[starts[index] : starts[index + 1]]:
            state = store.state(dependency)
            assert state is TaskState.SUCCEEDED, f"{key} began while its dependency {dependency} was {state.word}"
            for name in store.result_names([dependency])[dependency]:
                assert name in self.world.datastore.tree.names, f"{key} began and {name} is not on the datastore"

    def ended(self, worker: SimulatedWorker, outcome: Outcome) -> None:
        if outcome.ended in ("failed", "timed_out"):
            self.failures[outcome.task] += 1

    # --- on the datastore --------------------------------------------------------------------------------

    def published(self, task: int, attempt: int, name: str, digest: str) -> None:
        assert digest == content_of(task, attempt, "out"), f"{name}: what stands there is not of {task}.{attempt}"
        before = self.names.get(name)
        if before is not None and before[0] == task:
            assert before[1] <= attempt, f"{name}: attempt {attempt} replaced the later {before[1]}"
        self.names[name] = (task, attempt)

    # --- in the database ---------------------------------------------------------------------------------

    def committed(self, changes: Changes) -> None:
        store = self.world.store
        for number, row in changes.tasks.items():
            before = self.last_state.get(number)
            self.last_state[number] = row.state
            if row.state == TaskState.SUCCEEDED and before != TaskState.SUCCEEDED:
                self._succeeded(number)
            if before == TaskState.SUCCEEDED and row.state != TaskState.SUCCEEDED:
                assert self.redone[number] > 0, f"task {number} had succeeded and is {TaskState(row.state).word}"
            assert row.failures <= self.failures[number], (
                f"task {number}: {row.failures} failures recorded, {self.failures[number]} happened"
            )
        for key, attempt in changes.attempts.items():
            if attempt.ended == "succeeded" and key[0] in store.places:
                assert self.starts[key] > 0, f"attempt {key} succeeded and never began"

    def _succeeded(self, number: int) -> None:
        self.successes[number] += 1
        allowed = 1 + self.redone[number]
        assert self.successes[number] <= allowed, f"task {number} succeeded {self.successes[number]} times"
        tree = self.world.datastore.tree
        for name in self.world.store.result_names([number])[number]:
            assert name in tree.names, f"task {number} succeeded and {name} is not on the datastore"

    # --- at the end ----------------------------------------------------------------------------------------

    def final(self) -> None:
        """Everything accepted has ended, and nothing is left behind."""
        world, store = self.world, self.world.store
        for number, row in store.tasks.items():
            state = TaskState(row.state)
            assert state not in (TaskState.PENDING, TaskState.QUEUED, TaskState.RUNNING), (
                f"task {number} is {state.word} for ever{world.story(number)}"
            )
            self._rightly(number, state)
        live = [key for key, row in store.attempts.items() if not row.ended]
        assert not live, f"attempts {live} are live for ever{world.story(live[0][0])}"
        assert not world.datastore.tree.incoming, f"left in incoming: {list(world.datastore.tree.incoming)}"
        assert not world.datastore.tree.records, f"publish records left: {list(world.datastore.tree.records)}"
        assert not store.records, f"records that wait to be forgotten: {list(store.records)}"
        for worker in world.workers.values():
            if worker.agent is not None:
                held = worker.agent.in_hand()
                assert not held, f"worker {worker.id} still holds {held}{world.story(held[0].task)}"

    def _rightly(self, number: int, state: TaskState) -> None:
        """What a task became is what its behaviour and its dependencies say, unless a person interfered."""
        world, store = self.world, self.world.store
        if world.people_interfered or world.poisonous:
            return
        accepted, index = store.places[number]
        starts = accepted.dependency_starts
        above = [store.state(n) for n in accepted.dependency_targets[starts[index] : starts[index + 1]]]
        broken = any(one is not TaskState.SUCCEEDED for one in above)
        if broken:
            assert state is TaskState.BLOCKED, f"task {number} is {state.word} below a broken dependency"
            return
        behaviour = world.behaviour_of(accepted.submission.executions[index])
        fails_for_ever = behaviour.plan[-1] != "succeeded"
        if fails_for_ever:
            assert state in (TaskState.FAILED, TaskState.SUCCEEDED), f"task {number} is {state.word}"
        if behaviour.plan == ("succeeded",):
            assert state is TaskState.SUCCEEDED, f"task {number} never fails and is {state.word}{world.story(number)}"
