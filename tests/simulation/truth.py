"""What really happened, kept apart from what any program believes, and the guarantees of docs/guarantees.md over it."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from boss.core.cutoff import REASON
from boss.core.model import TaskState
from boss.core.reasons import LASTING, UNTRUSTED_HOST
from boss.core.rows import Acceptance, AttemptRow, Changes, TaskRow
from boss.core.state import State
from tests.simulation.workers import SimulatedWorker, content_of
from wire.messages import Abandoned, AttemptKey, Execution, Outcome, Place, Run, SayHello
from worker.agent.state import held_attempts

if TYPE_CHECKING:
    from tests.simulation.world import World


_place = msgspec.json.Decoder(Place)
#: What the datastore says of a host that shows another key.
OTHER_HOST = "another host key"
MAX_MISSED = 50


class Truth:
    def __init__(self, world: World) -> None:
        self.world = world
        #: (task, attempt) -> how often its commands began.
        self.starts: Counter[tuple[int, int]] = Counter()
        #: Task -> real ends with a failure that is its own fault.
        self.failures: Counter[int] = Counter()
        self.successes: Counter[int] = Counter()
        #: Attempts that are over on record -> since when.
        self.over: dict[tuple[int, int], float] = {}
        #: Ended attempts whose outcome is certainly on their worker's disk -> that machine.
        self.kept: dict[tuple[int, int], SimulatedWorker] = {}
        #: Attempts on record that were sent to a worker.
        self.sent: set[tuple[int, int]] = set()
        #: Task -> agents that died under it.
        self.deaths: Counter[int] = Counter()
        #: How often an attempt missed inputs that its worker was said to have.
        self.missed: Counter[AttemptKey] = Counter()
        #: Attempts whose results were not what their worker had said.
        self.other_results: set[AttemptKey] = set()
        #: Task -> how often it killed its agent itself.
        self.poisoned: Counter[int] = Counter()
        #: Task -> attempts that it made its machine fail, wherever it ran.
        self.brought_along: Counter[int] = Counter()
        #: Tasks that a user asked to run again, and how often.
        self.redone: Counter[int] = Counter()
        self.users_redo = False
        #: Attempt -> the init tasks of its batch when it was sent.
        self.inits_of: dict[AttemptKey, list[int]] = {}
        #: Attempt -> when it began, and with what: name -> digest.
        self.began_with: dict[AttemptKey, tuple[float, dict[str, str]]] = {}
        #: Task -> its newest attempt that succeeded, and when that was recorded.
        self.succeeded_by: dict[int, tuple[AttemptKey, float]] = {}
        #: Tasks that are on record as made with inputs that may be others by now.
        self.outdated: set[int] = set()
        #: Task -> when it was to run again and was not.
        self.cut_off: dict[int, float] = {}
        self.last_state: dict[int, int] = {}
        #: As the database had it before the last turn.
        self.dropped: set[int] = set()
        #: name on the datastore -> (task, attempt)
        self.names: dict[str, tuple[int, int]] = {}
        #: Attempt -> what its task was when it was first recorded: that, and nothing else, may run under its number.
        self.described: dict[AttemptKey, bytes] = {}

    # --- on the workers ----------------------------------------------------------------------------------

    def began(self, worker: SimulatedWorker, run: Run) -> None:
        key = (run.task, run.attempt)
        self.starts[key] += 1
        assert self.starts[key] == 1 or self.confusable(), f"{key} began again"
        store = self.world.store
        assert run.task in store.places or run.task in store.inits, f"{key} began and is not on disk"
        row = store.attempts.get(key)
        assert row is not None, f"{key} began and was never recorded as sent"
        assert row.ended in ("", "lost", "superseded"), f"{key} began, and had ended as {row.ended}"
        over = self.over.get(key)
        late = over is not None and worker.thawed_at > over
        assert not late, f"{key} had ended as {row.ended} while {worker.name} stood still, and began after it"
        assert row.worker == worker.id, f"{key} started on {worker.id}, was sent to {row.worker}"
        if run.init:
            self._nic(worker, key, row)
            return
        self.began_with[key] = (self.world.clock.now, dict(worker.disk.placed.get(key, {})))
        meant = msgspec.json.decode(self.described[key], type=Execution)
        assert run.execution == meant, f"{key} began as another description of its task than it was sent for"
        if store.tasks[run.task].dropped:
            return  # it is being killed, and what it needs may be dropped as well
        if row.abandoning == "superseded":
            return  # it is being killed: its task has another description meanwhile, and waits
        accepted, index = store.places[run.task]
        for file in accepted.files:
            there = self.world.datastore.tree.names.get(file.name) == file.digest
            assert there, f"{key} began, and {file.name}, which was sent with it, has no name yet"
        for number in self.inits_of[key]:
            ready = number in worker.disk.prepared
            assert ready, f"{key} started on {worker.name} before its init task {number} had succeeded there"
        if self.users_redo:
            return
        self._inputs(worker, key, accepted.submission.requirements[index])
        starts = accepted.dependency_starts
        for dependency in accepted.dependency_targets[starts[index] : starts[index + 1]]:
            state = store.state(dependency)
            assert state is TaskState.SUCCEEDED, f"{key} began while its dependency {dependency} was {state.word}"
            for name in store.result_names([dependency])[dependency]:
                assert name in self.world.datastore.tree.names, f"{key} began and {name} is not on the datastore"

    def _nic(self, worker: SimulatedWorker, key: AttemptKey, row: AttemptRow) -> None:
        """An init task runs where the network that it needs is there."""
        machines = [each for each in self.world.provider.living.values() if each.id == worker.id]
        if self.world.pool.init_network and not row.ended and machines:
            assert any(each.nic for each in machines), (
                f"init execution {key} started on {worker.id} without a network interface"
            )

    def _inputs(self, worker: SimulatedWorker, key: AttemptKey, requirements: bytes) -> None:
        """What was placed for it is what it is bound to: a sent file, or the published result of a dependency."""
        store, placed = self.world.store, worker.disk.placed.get(key, {})
        project = store.batches[store.batch_of[key[0]]].project
        for one in store.requirements([key[0]])[key[0]] if requirements else []:
            found = placed.get(one.name)
            assert found == one.digest, f"{key} began with {found} as {one.name} of {project}, not {one.digest}"

    def missed_inputs(self, task: int, attempt: int) -> None:
        """What left a cache is staged again: that is not to go round in circles."""
        self.missed[(task, attempt)] += 1
        assert self.missed[(task, attempt)] < MAX_MISSED, f"{task}.{attempt} is sent again and again what it has not"

    def ended(self, worker: SimulatedWorker, outcome: Outcome) -> None:
        if outcome.ended in ("failed", "timed_out") and outcome.fault == "task":
            self.failures[outcome.task] += 1
        if outcome.ended == "succeeded":
            worker.disk.prepared.add(outcome.task)

    def died(self, begun: set[AttemptKey]) -> None:
        """An agent died, and took these with it."""
        self.deaths.update(task for task, _ in begun)

    def abandoned(self, report: Abandoned) -> None:
        """Results that were not what the worker had said count as its death under the task, once."""
        key = (report.task, report.attempt)
        if report.fault == "result" and key not in self.other_results:
            self.other_results.add(key)
            self.deaths[report.task] += 1

    def lost(self, key: tuple[int, int], row: AttemptRow) -> None:
        """Only what its worker really has no more."""
        machine = self.kept.get(key)
        if machine is not None and machine.machine_alive and not self.confusable():
            forgotten = "restarted without it" in row.reason or "no longer has it" in row.reason
            assert not forgotten, f"{key} is lost ({row.reason}), and its outcome is on the disk of {machine.name}"

    def assigned(self, key: tuple[int, int], row: AttemptRow) -> None:
        """Something new for a worker, that is on record as one that is to have nothing new."""
        store = self.world.store
        if key[0] in store.places:
            batch = store.batch_of[key[0]]
            self.inits_of[key] = [one.number for one in store.inits.values() if one.batch == batch and not one.retired]
            paused = store.batches[store.batch_of[key[0]]].paused
            assert not paused, f"{key} was sent, and its batch is paused: {paused}"
            assert not store.tasks[key[0]].dropped, f"{key} was sent, and its task is dropped"
        worker = store.workers.get(row.worker)
        if worker is not None and key[0] in self.world.store.places:
            assert not worker.draining or worker.state != "draining", f"{key} was sent to {row.worker}, which drains"
            lasting = worker.quarantined_kind in LASTING
            assert not lasting, f"{key} was sent to {row.worker}, which is quarantined: {worker.quarantined}"

    def ordered(self, worker_id: str, incarnation: str, orders: list[object]) -> None:
        """Nothing but the question for a hello goes to a machine whose host key is not the pinned one."""
        row = self.world.store.workers.get(worker_id)
        pinned = _place.decode(row.place).host_keys if row is not None and row.place else []
        machine = next((one for one in self.world.machines.values() if one.incarnation == incarnation), None)
        if pinned and machine is not None and any(not isinstance(order, SayHello) for order in orders):
            known = machine.stated_key in pinned
            assert known, f"{worker_id} ({incarnation}), whose host key is another one, was sent {orders[0]}"

    def looked_at(self, state: State) -> None:
        """What a worker says it is decides nothing beyond what its pool's settings say."""
        for worker in state.workers.values():
            pool = self.world.policy.pool(worker.kind.pool)
            limit = pool.slots or self.world.policy.max_slots
            stated = f"{worker.id} counts as {worker.kind}"
            assert worker.slots <= limit, f"{stated}, and has {limit} slots at most"
            assert pool.name in ("", self.world.pool.name), f"{stated}, and its pool is {self.world.pool.name}"
            assert dict(worker.kind.labels).items() <= pool.labels.items(), f"{stated}, and has no such label"

    # --- on the datastore --------------------------------------------------------------------------------

    def published(self, task: int, attempt: int, name: str, digest: str) -> None:
        assert digest == content_of(task, attempt, "out"), f"{name}: what stands there is not of {task}.{attempt}"
        row = self.world.store.attempts.get((task, attempt))
        ended = "" if row is None else row.ended
        assert ended in ("", "succeeded"), f"{name} of attempt {task}.{attempt} appears, which ended as {ended}"
        before = self.names.get(name)
        if before is not None and before[0] == task:
            assert before[1] <= attempt, f"{name}: attempt {attempt} replaced the later {before[1]}"
        self.names[name] = (task, attempt)

    # --- in the database ---------------------------------------------------------------------------------

    def committed(self, changes: Changes) -> None:
        store = self.world.store
        for accepted in changes.accepted:
            self._pushed_again(accepted)
        for number, row in changes.tasks.items():
            before = self.last_state.get(number)
            self.last_state[number] = row.state
            (self.dropped.add if row.dropped else self.dropped.discard)(number)
            real = row.deaths <= self.deaths[number] or self.confusable()
            assert real, f"task {number}: {row.deaths} deaths, {self.deaths[number]} happened"
            if row.state == TaskState.FAILED and before != TaskState.FAILED:
                self._failed(number, row)
            if row.state == TaskState.SUCCEEDED and before != TaskState.SUCCEEDED:
                self._succeeded(number)
                if row.reason == REASON:
                    self._cut_off(number)
            (self.outdated.add if row.outdated else self.outdated.discard)(number)
            if before == TaskState.SUCCEEDED and row.state != TaskState.SUCCEEDED:
                assert self.redone[number] > 0, f"task {number} had succeeded and is {TaskState(row.state).word}"
            assert row.failures <= self.failures[number], (
                f"task {number}: {row.failures} failures recorded, {self.failures[number]} happened"
            )
        for key in changes.attempts:
            if key[0] in store.places:
                accepted, index = store.places[key[0]]
                self.described.setdefault(key, accepted.submission.executions[index])
        for key, attempt in changes.attempts.items():
            if not attempt.ended:
                self.over.pop(key, None)
            elif key not in self.over:
                self.over[key] = self.world.clock.now
            if key not in self.sent:
                self.sent.add(key)
                self.assigned(key, attempt)
            if attempt.ended == "lost":
                self.lost(key, attempt)
                self._quarantined(key, attempt, changes)
            if attempt.ended == "succeeded" and key[0] in store.places:
                self.succeeded_by.setdefault(key[0], (key, self.world.clock.now))
                if self.succeeded_by[key[0]][0] != key:
                    self.succeeded_by[key[0]] = (key, self.world.clock.now)
                assert self.starts[key] > 0, f"attempt {key} succeeded and never began"

    def _pushed_again(self, accepted: Acceptance) -> None:
        """Who may run again because of it: what is changed, failed, dropped or not up to date, and all below."""
        strategy, numbers = accepted.submission.merge_strategy, accepted.numbers
        asked = {numbers[index] for index in (accepted.kept if strategy == "replace" else accepted.replaced)}
        if not strategy:
            kept = {numbers[index] for index in accepted.kept}
            asked |= {n for n in kept if self.last_state.get(n) == TaskState.FAILED or n in self.outdated}
        if asked:
            self.users_redo = True
        self.redone.update(self._below(list(asked)) if strategy != "keep_succeeded" else asked)

    def _cut_off(self, number: int) -> None:
        """What it would have run with is what it has succeeded with, and nothing else before it was made again."""
        self.cut_off[number] = self.world.clock.now
        store = self.world.store
        assert number in self.succeeded_by, f"task {number} was not run again, and never ran{self.world.story(number)}"
        key, _ = self.succeeded_by[number]
        began, given = self.began_with[key]
        accepted, index = store.places[number]
        meant = accepted.submission.executions[index]
        assert self.described[key] == meant, f"task {number} was not run again, and is another one than {key}"
        wanted = {one.name: one.digest for one in store.requirements([number])[number]}
        assert wanted == given, f"task {number} was not run again: it has {given}, and would have {wanted}"
        for name in store.result_names([number])[number]:
            assert self.names.get(name, key) == key, f"task {number} was not run again, and {name} is another's"
        starts = accepted.dependency_starts
        for dependency in accepted.dependency_targets[starts[index] : starts[index + 1]]:
            made, at = self.succeeded_by.get(dependency, ((0, 0), 0.0))
            handed = not wanted.keys().isdisjoint(store.result_names([dependency])[dependency])
            text = f"task {number} was not run again, and {made}, which hands it nothing, succeeded after {key} began"
            assert handed or at <= began, text + self.world.story(number)

    def _quarantined(self, key: AttemptKey, row: AttemptRow, changes: Changes) -> None:
        """A worker at whose address another host answered gets nothing more, until a user releases it."""
        worker = self.world.store.workers.get(row.worker)
        if worker is None or (row.phase, row.reason) != ("staging", OTHER_HOST) or worker.state == "gone":
            return
        released = any(move.what == "worker" and move.after == "released" for move in changes.moves)
        held = released or worker.quarantined_kind in UNTRUSTED_HOST
        assert held, f"{row.worker} is another host, as {key} found, and goes on ({worker.quarantined or 'trusted'})"

    def _below(self, origins: list[int]) -> set[int]:
        """These tasks and all that depend on them, as the database has it now."""
        store = self.world.store
        dependants: dict[int, list[int]] = {}
        for number, (accepted, index) in store.places.items():
            starts = accepted.dependency_starts
            for dependency in accepted.dependency_targets[starts[index] : starts[index + 1]]:
                dependants.setdefault(dependency, []).append(number)
        found, work = set(origins), list(origins)
        while work:
            new = [number for number in dependants.get(work.pop(), ()) if number not in found]
            found.update(new)
            work += new
        return found

    def confusable(self) -> bool:
        """What is with a worker looks dead when a second one of its name, or a hello of long ago, speaks."""
        return self.world.provider.twins > 0 or any(
            name.startswith("network delays") for name in self.world.faults.struck
        )

    def _failed(self, number: int, row: TaskRow) -> None:
        """Only by what it did itself: more failures than it has retries, or workers that died under it."""
        accepted, index = self.world.store.places[number]
        profiles = array("I")
        profiles.frombytes(accepted.submission.profile_of)
        stated = accepted.submission.profiles[profiles[index]].retries
        retries = self.world.policy.retries if stated is None else stated
        poison = row.deaths >= self.world.policy.deaths
        text = (
            f"task {number} failed ({row.reason}) with {row.failures} failures, {retries} retries, {row.deaths} deaths"
        )
        # Never for the full disk of its machines alone; one that met that before it did it itself looks the same.
        brings_it = self.brought_along[number] > 0
        assert poison or brings_it or row.failures > retries, text + self.world.story(number)

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
            if state is TaskState.SUCCEEDED and not row.outdated:
                self._up_to_date(number)
        for batch in store.batches.values():
            own = [store.tasks[number] for number in range(batch.first, batch.first + batch.count)]
            counts = [sum(row.state == state and not row.dropped for row in own) for state in TaskState]
            assert batch.counts == counts, f"batch {batch.number} counts {batch.counts}, and its tasks are {counts}"
        left = self.left()
        assert not left, f"left behind: {left[0]}"

    def _up_to_date(self, number: int) -> None:
        """Nothing that it depends on was made again after it began, or that is noted, or came out the same."""
        if number not in self.succeeded_by:
            return  # its results existed
        accepted, index = self.world.store.places[number]
        key, _ = self.succeeded_by[number]
        since = max(self.began_with[key][0], self.cut_off.get(number, 0.0))
        starts = accepted.dependency_starts
        for dependency in accepted.dependency_targets[starts[index] : starts[index + 1]]:
            made, at = self.succeeded_by.get(dependency, ((0, 0), 0.0))
            text = f"task {number} succeeded with what was made before {made}, and that is not on record"
            assert at <= since, text + self.world.story(number)

    def left(self) -> list[str]:
        """What stands somewhere although all work is done."""
        world, store, tree = self.world, self.world.store, self.world.datastore.tree
        found = [f"live attempt {key}{world.story(key[0])}" for key, row in store.attempts.items() if not row.ended]
        found += [f"in incoming: {key}" for key in tree.incoming]
        found += [f"publish record {key}" for key in tree.records]
        found += [f"record {key} that waits to be forgotten" for key in store.records]
        for machine in world.machines.values():
            held = held_attempts(machine.agent.state) if machine.agent is not None else []
            found += [f"{machine.name} holds {one}{world.story(one.task)}" for one in held]
        for number, machine in world.provider.living.items():
            row = store.instances.get(number)
            if row is None or row.state in ("gone", "failed"):
                found.append(f"machine of instance {number} ({machine.name}), of which the boss does not know")
            elif machine.nic:
                found.append(f"network interface {machine.nic} of {machine.name}, on which no init task runs")
        return found + (_in_memory(world.boss.scheduler.state) if world.boss is not None else ["no boss"])

    def _rightly(self, number: int, state: TaskState) -> None:
        """What a task became is what its behaviour and its dependencies say, unless a user interfered."""
        world, store = self.world, self.world.store
        if world.users.interfered or (world.boss is None):
            return
        accepted, index = store.places[number]
        starts = accepted.dependency_starts
        above = [store.state(n) for n in accepted.dependency_targets[starts[index] : starts[index + 1]]]
        broken = any(one is not TaskState.SUCCEEDED for one in above)
        if state is TaskState.CANCELLED and world.users.merged:
            return  # what it was before hung, or had been cancelled
        if broken:
            assert state is TaskState.BLOCKED, f"task {number} is {state.word} below a broken dependency"
            return
        behaviour = world.behaviour_of(accepted.submission.executions[index])
        if self.deaths[number] >= world.policy.deaths or behaviour.seconds is None or self.confusable():
            return  # enough died under it to take it for poison; or it hung, and was cancelled or timed out
        if behaviour.plan[-1] != "succeeded":
            assert state is TaskState.FAILED, f"task {number} is {state.word}"
        if behaviour.plan == ("succeeded",):
            assert state is TaskState.SUCCEEDED, f"task {number} never fails and is {state.word}{world.story(number)}"


def _in_memory(state: State) -> list[str]:
    """What the boss still waits for."""
    found = [f"batch {number} in memory" for number in state.batches]
    found += [f"task {task} taken for lost" for task in state.lost]
    found += [f"file {name} without its name" for name, _ in state.files]
    found += [f"record {key} in memory" for key in state.records]
    found += [f"orders to worker {w.id} unconfirmed" for w in state.workers.values() if w.unconfirmed and w.serves()]
    return found + (["orders to the datastore unconfirmed"] if state.datastore.unconfirmed else [])
