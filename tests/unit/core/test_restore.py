"""Whatever happened, the database holds all of it: a start from it is what was there before, column by column."""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from boss.core.attempts import superseded
from boss.core.events import CancelAsked, PauseAsked, QuarantineAsked, RedoAsked, RetryAsked, Selection
from boss.core.graph import CANCELLING, RESULTS, Batch
from boss.core.model import Phase, Profile, TaskState
from boss.core.scheduler import Scheduler
from boss.core.state import Attempt, State
from tests.worlds.scheduler import World, manifest, published
from wire.messages import Abandoned, DatastoreHeartbeat, HeldAttempt, Published, StageDone, StageFailed, Stored

PROFILES = [Profile(), Profile(slots=2), Profile(retries=2, retry_delay=5.0), Profile(priority=3, retries=1)]


def restored(world: World) -> State:
    scheduler = Scheduler(world.policy)
    scheduler.restore(world.store.load(), world.now, world.now)
    return scheduler.state


def columns(batch: Batch) -> dict[str, object]:
    """All of a batch that its rows must hold."""
    return {
        "states": [TaskState(one).word for one in batch.states],
        "unmet": list(batch.unmet),
        "broken": list(batch.broken),
        "attempts": list(batch.attempts),
        "failures": list(batch.failures),
        "deaths": list(batch.deaths),
        "profiles": [batch.profile(index) for index in range(batch.count)],
        "sizes": list(batch.sizes),
        "flags": [flags & (RESULTS | CANCELLING) for flags in batch.flags],
        "dependants": [list(batch.dependants_of(index)) for index in range(batch.count)],
        "counts": batch.counts,
        "live": batch.live,
        "row": batch.row,
        "inits": batch.inits,
    }


def everything(state: State, batches: list[int]) -> dict[str, object]:
    wanted = set(batches)
    attempts = {
        key: (one.phase, one.worker, one.slots, one.init, one.staging, one.cancelling, one.abandoning)
        for key, one in state.attempts.items()
        if one.batch.number in wanted and not superseded(one)
    }
    replacing = any(superseded(one) for one in state.attempts.values())
    crossing = {
        (above, below)
        for above, many in state.crossing.items()
        for below in many
        if {batch[0].number for batch in (state.find(above), state.find(below)) if batch} <= wanted
    }
    return {
        "batches": {number: columns(state.batches[number]) for number in batches},
        "attempts": attempts,
        # A superseded attempt holds what its task demanded before, until it has been ended.
        "loads": {worker.id: worker.load for worker in state.workers.values() if worker.load and not replacing},
        "workers": {worker.id: worker.row for worker in state.workers.values() if worker.row.state != "gone"},
        "crossing": crossing,
        "files": set(state.files),
        "records": set(state.records),
        "numbers": (state.next_task, state.next_batch, state.next_instance),
    }


def compare(world: World) -> None:
    again = restored(world)
    unfinished = [number for number, batch in world.state.batches.items() if batch.unfinished()]
    assert set(unfinished) <= set(again.batches)
    assert everything(again, unfinished) == everything(world.state, unfinished)
    for number in unfinished:
        # The rows tell of the last push that brought a file: earlier ones wait for it, to be on the safe side.
        # What had ended and runs again is awaited again.
        assert again.batches[number].awaits >= world.state.batches[number].awaits
        assert again.batches[number].files_waiting >= world.state.batches[number].files_waiting


# --- random histories ------------------------------------------------------------------------------


class History:
    """Steps of one history; `pick` chooses among what there is."""

    def __init__(self, pick: Callable[[int], int]) -> None:
        self.pick = pick
        self.world = World()
        self.workers = [self.world.worker("v", slots=1), self.world.worker("w", slots=3)]
        self.ids: list[str] = []

    def push(self) -> None:
        count = 1 + self.pick(5)
        name = f"p{len(self.ids)}-"
        graph = {f"{name}{index}": self._needs(name, index) for index in range(count)}
        self.ids += graph
        one, other = f"{name}0", f"{name}{count - 1}"
        self.world.push(
            graph,
            profiles={id: PROFILES[self.pick(4)] for id in graph},
            results={one: f"{one}.out"} if self.pick(2) else {},
            requirements={other: "net.inp"} if self.pick(3) == 0 else {},
            inits=["init"] if self.pick(4) == 0 else [],
            files=[f"{name}.inp"] if self.pick(5) == 0 else [],
        )

    def push_again(self) -> None:
        """Some of what is there, described otherwise or not, with other dependencies."""
        chosen = sorted({self.ids[self.pick(len(self.ids))] for _ in range(1 + self.pick(4))}, key=self.ids.index)
        graph = {
            id: " ".join(sorted({self.ids[self.pick(self.ids.index(id))] for _ in range(self.pick(3))} - {id}))
            for id in chosen
        }
        self.world.answer_to_push(
            graph,
            merge_strategy=("replace", "keep_succeeded")[self.pick(2)],
            commands={id: ("other", f"echo {id}")[self.pick(2)] for id in graph},
            profiles={id: PROFILES[self.pick(4)] for id in graph},
        )

    def _needs(self, name: str, index: int) -> str:
        needs = {f"{name}{self.pick(index)}" for _ in range(self.pick(3)) if index}
        if self.ids and self.pick(4) == 0:
            needs.add(self.ids[self.pick(len(self.ids))])
        return " ".join(sorted(needs))

    def work(self) -> None:
        """A live attempt begins, ends, is given back, or its datastore answers."""
        live = list(self.world.state.attempts.values())
        if not live:
            return
        attempt = live[self.pick(len(live))]
        task, number = attempt.key
        worker = self.world.workers[attempt.worker]
        step = self.pick(8)
        if attempt.phase == "collecting":
            names = " ".join(entry.target for entry in attempt.outcome.manifest) if attempt.outcome else ""
            fault = ("asked", "result", "transfer")[self.pick(3)]
            report = Published(task=task, attempt=number, files=published(names))
            self.world.datastore.report(report if step < 6 else Abandoned(task=task, attempt=number, fault=fault))
        elif attempt.phase == "staging":
            fault = ("input", "transfer")[self.pick(2)]
            failed = StageFailed(task=task, attempt=number, fault=fault, reason="no")
            self.world.datastore.report(StageDone(task=task, attempt=number, inputs=[]) if step < 6 else failed)
        elif not attempt.started():
            worker.returned(attempt.key) if step == 7 else worker.began(attempt.key)
        else:
            how = ("succeeded", "succeeded", "succeeded", "failed", "timed_out", "cancelled")[self.pick(6)]
            fault = "worker" if how == "failed" and step == 7 else "task"
            left = manifest(f"{task}.out") if how == "succeeded" and not attempt.init and step < 3 else []
            worker.ended(task, number, how, exit_code=1, fault=fault, manifest=left)

    def ask(self) -> None:
        tasks = sorted(self.world.store.tasks)
        if not tasks:
            return
        selection = Selection(tasks=[tasks[self.pick(len(tasks))]])
        events = (CancelAsked, RetryAsked, RedoAsked)
        self.world.ask(events[self.pick(3)](selection=selection))

    def pause(self) -> None:
        if self.world.state.batches:
            numbers = list(self.world.state.batches)
            self.world.ask(PauseAsked(batch=numbers[self.pick(len(numbers))], reason="later" if self.pick(2) else ""))

    def silence(self) -> None:
        alive = [worker for worker in self.workers if worker.seen.state == "online" and self.pick(3)]
        self.world.wait(40.0, *alive)
        for worker in self.workers:
            if worker.seen.state == "lost" and self.pick(2):
                worker.hello()

    def die(self) -> None:
        self.workers[self.pick(2)].restarted()

    def step(self) -> None:
        steps = (self.push, self.push_again, self.ask, self.pause, self.silence, self.die, *[self.work] * 7)
        steps[self.pick(len(steps))]()
        self.world.ignore()

    def come_to_an_end(self) -> None:
        """No user interferes any more, and all goes well."""
        world = self.world
        for number in list(world.state.batches):
            world.ask(PauseAsked(batch=number, reason=""))
        for worker in self.workers:
            world.ask(QuarantineAsked(worker=worker.id, reason=""))
            worker.hello(*(self._held(attempt) for attempt in worker.seen.attempts.values()))
        for name, digest in list(world.state.files):
            world.datastore.report(Stored(name=name, digest=digest))
        for _ in range(200):
            if not world.state.attempts and not world.state.delayed:
                break
            for attempt in list(world.state.attempts.values()):
                self._goes_well(attempt)
            world.wait(world.policy.heartbeat, *self.workers)
        for _ in range(2):
            world.ignore()
            world.datastore.report(DatastoreHeartbeat())

    @staticmethod
    def _held(attempt: Attempt) -> HeldAttempt:
        ended = attempt.phase is Phase.COLLECTING
        return HeldAttempt(task=attempt.task, attempt=attempt.attempt, phase="ended" if ended else attempt.phase.value)

    def _goes_well(self, attempt: Attempt) -> None:
        task, number = attempt.key
        worker = self.world.workers[attempt.worker]
        if attempt.phase is Phase.COLLECTING:
            if attempt.abandoning:
                self.world.datastore.report(Abandoned(task=task, attempt=number, fault="asked"))
            else:
                self.world.datastore.report(Published(task=task, attempt=number, files=[]))
        elif attempt.cancelling or superseded(attempt):
            worker.ended(task, number, "cancelled")
        elif attempt.asked_back and not attempt.started():
            worker.returned(attempt.key)
        elif attempt.phase is Phase.STAGING:
            self.world.datastore.report(StageDone(task=task, attempt=number, inputs=[]))
        else:
            worker.ended(task, number, seconds=1.0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(5, 40))
def test_whatever_happened_all_comes_to_an_end_and_leaves_nothing_behind(seed: int, steps: int) -> None:
    chance = random.Random(seed)
    history = History(lambda count: chance.randrange(max(1, count)))
    history.push()
    for _ in range(steps):
        history.step()
    history.come_to_an_end()
    world = history.world
    left = {number: TaskState(row.state).word for number, row in world.store.tasks.items() if row.state < 3}
    assert not left, f"waits for ever: {left}"
    assert not world.state.attempts and not world.state.lost and not world.state.delayed
    assert not world.state.batches, "finished batches cost no memory"
    assert not world.store.records
    assert all(row.finished_at for row in world.store.batches.values())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(5, 40))
def test_what_a_start_reads_is_what_there_was_after_any_history(seed: int, steps: int) -> None:
    chance = random.Random(seed)
    history = History(lambda count: chance.randrange(max(1, count)))
    history.push()
    for _ in range(steps):
        history.step()
        compare(history.world)
    history.world.restart()
    compare(history.world)


def test_a_start_asks_everybody_what_they_have(world: World) -> None:
    world.push({"a": "", "b": ""})
    worker = world.worker(slots=1)
    worker.began((1, 1))
    world.restart()
    assert world.states("a", "b") == "running queued"
    assert not worker.seen.connected, "nothing new is sent before it has been heard of"
    compare(world)
    world.ignore()
