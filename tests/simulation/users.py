"""What users do: push until it is accepted, interfere in mid flight, and tidy up when the storm is over."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from boss.core.effects import Answer
from boss.core.events import (
    CancelAsked,
    DropTasksAsked,
    PauseAsked,
    QuarantineAsked,
    RedoAsked,
    RetryAsked,
    Selection,
    StopAsked,
    Submitted,
    WorkerDrainAsked,
)
from boss.core.host_keys import has_untrusted_host
from boss.core.model import Submission, TaskState
from boss.core.reasons import RejectionKind
from boss.core.rows import Known
from tests.simulation.graphs import edited, pushed_again, submission
from tests.simulation.storm import STORM_SECONDS

if TYPE_CHECKING:
    from tests.simulation.world import World

#: A client without the answer that its push is accepted pushes again after this.
PUSH_AGAIN = 15.0
TIDY_SECONDS = 20.0
LOOK_SECONDS = 50.0
#: What they do in mid flight.
KINDS = ["cancel", "retry", "redo", "pause", "drain", "quarantine", "attach", "merge", "drop", "edit", "edit", "edit"]
#: What a push may be refused for where tasks were replaced: the former push again, or a cycle by way of other tasks.
_CLASHES = (RejectionKind.ID_CLASH, RejectionKind.CYCLE)
#: ... and where tasks were dropped: it depends on one of them.
_MISSING = RejectionKind.UNKNOWN_DEPENDENCY


class Users:
    def __init__(self, world: World) -> None:
        self.world = world
        #: Pushes whose clients have no answer yet that they are accepted.
        self.pending: list[Submission] = []
        self._replies: dict[int, Submission] = {}
        self._reply = 0
        #: A user cancelled or asked to run again: what a task becomes does not follow from its behaviour any more.
        self.interfered = False
        #: A user pushed again with a strategy.
        self.merged = False
        #: A user dropped tasks.
        self.dropped = False
        #: Ids that will not be pushed any more.
        self._never: set[str] = set()

    # --- pushes ------------------------------------------------------------------------------------------

    def plan_pushes(self, chance: random.Random, *, calm: bool) -> None:
        older: list[str] = []
        for push in range(chance.randint(1, 3)):
            made = submission(chance, "abc"[push], chance.randint(1, 14), older=list(older), calm=calm)
            older += made.ids
            delay = push * chance.uniform(0.0, 60.0) + 0.5
            self.world.clock.after(delay, lambda made=made: self.push(made))  # type: ignore[misc]

    def push(self, made: Submission) -> None:
        """A client pushes until it has the answer that it is accepted; pushing again is harmless."""
        if made not in self.pending:
            self.pending.append(made)
        self.submit(made)
        self.world.clock.after(PUSH_AGAIN, lambda: self.push(made) if made in self.pending else None)

    def submit(self, made: Submission) -> None:
        world = self.world
        if any((made.project, needed) not in world.store.ids for _, needed in made.external):
            if not self._never.isdisjoint(needed for _, needed in made.external):
                self._give_up(made)
            return  # its client waits for the pushes before it
        if world.boss is not None:
            self._reply += 1
            self._replies[self._reply] = made
            world.boss.put(Submitted(submission=made, known=Known(), reply=self._reply))

    def answered(self, answer: Answer) -> None:
        made = self._replies.pop(answer.reply, None)
        if made is None:
            return
        if answer.rejections:
            kinds = {rejection.kind for rejection in answer.rejections}
            if kinds == {RejectionKind.UNCONFIRMED}:
                made.confirmed = True  # its user is asked, and says yes
                return
            lasting = {*(_CLASHES if self.merged else ()), *((_MISSING,) if self.dropped else ())}
            if kinds <= lasting:
                self._give_up(made)
            else:
                assert kinds == {RejectionKind.UNAVAILABLE}, f"push {made.name} rejected: {answer.rejections}"
            return
        for task_id in made.ids:
            assert (made.project, task_id) in self.world.store.ids, "accepted is said before it is on disk"
        if made in self.pending:
            self.pending.remove(made)

    def _give_up(self, made: Submission) -> None:
        """Its user has to think again, and so will those whose pushes wait for it."""
        self.pending = [one for one in self.pending if one is not made]
        self._never |= {task_id for task_id in made.ids if (made.project, task_id) not in self.world.store.ids}

    # --- acts in mid flight ------------------------------------------------------------------------------

    def plan_acts(self, chance: random.Random) -> None:
        if chance.random() < 0.6:
            return
        for number in range(chance.randint(1, 5)):
            kind = chance.choice(KINDS)
            at, own = chance.uniform(5.0, STORM_SECONDS), random.Random(chance.random())
            self.world.clock.after(at, lambda n=f"user {kind}#{number}", k=kind, c=own: self._act(n, k, c))  # type: ignore[misc]

    def _act(self, name: str, kind: str, chance: random.Random) -> None:
        world = self.world
        if world.boss is None or not world.store.tasks or not world.faults.happens(name):
            return
        if kind in ("cancel", "retry", "redo"):
            self._interfere(kind, chance)
        elif kind == "pause":
            world.boss.put(PauseAsked(batch=chance.choice(list(world.store.batches)), reason="an operator"))
        elif kind == "attach":
            self.push(world.store.accepted[chance.choice(list(world.store.accepted))].submission)
        elif kind == "merge":
            self._merge(chance)
        elif kind == "edit":
            self.merged = True
            self.push(edited(chance, world.store.accepted[chance.choice(list(world.store.accepted))].submission))
        elif kind == "drop":
            self._drop(chance)
        elif world.workers:
            worker = chance.choice(list(world.workers))
            drain = kind == "drain"
            world.boss.put(WorkerDrainAsked(worker=worker) if drain else QuarantineAsked(worker=worker, reason="odd"))

    def _merge(self, chance: random.Random) -> None:
        """A push made before is pushed again with a strategy, some of it changed."""
        store = self.world.store
        base = store.accepted[chance.choice(list(store.accepted))].submission
        declaring = {}
        others = []
        for (_, task_id), number in store.ids.items():
            if task_id.startswith(base.name):
                accepted, index = store.places[number]  # a dropped task has no names of results, and gets them again
                declaring[int(task_id[len(base.name) :])] = any(of == index for _, of in accepted.submission.results)
            else:
                others.append(task_id)
        self.merged = True
        self.push(pushed_again(chance, base, declaring, others))

    def _drop(self, chance: random.Random) -> None:
        """Some tasks are dropped, by number or by state; their push may come again."""
        world, store = self.world, self.world.store
        assert world.boss is not None
        self.interfered = self.dropped = True
        batch = chance.choice(list(store.batches))
        tasks = chance.sample(list(store.tasks), min(len(store.tasks), chance.randint(1, 4)))
        whole = chance.random() < 0.5
        states = chance.sample(list(TaskState), 2) if chance.random() < 0.3 else []
        selection = Selection(tasks=[] if whole else tasks, batches=[batch] if whole else [])
        world.boss.put(DropTasksAsked(selection=selection, states=[int(one) for one in states]))
        if chance.random() < 0.7:
            made = store.accepted[batch].submission
            world.clock.after(chance.uniform(0.0, 30.0), lambda: self.push(made))

    def _interfere(self, kind: str, chance: random.Random) -> None:
        world, store = self.world, self.world.store
        assert world.boss is not None
        self.interfered = True
        tasks = chance.sample(list(store.tasks), min(len(store.tasks), chance.randint(1, 4)))
        batches = [chance.choice(list(store.batches))] if chance.random() < 0.3 else []
        selection = Selection(tasks=tasks, batches=batches)
        if kind == "redo":
            world.truth.users_redo = True
            touched = {*tasks, *(n for n in store.tasks if store.batch_of[n] in batches)}
            world.truth.redone.update(touched)
        events = {"cancel": CancelAsked, "retry": RetryAsked, "redo": RedoAsked}
        world.boss.put(events[kind](selection=selection))

    def stop_boss(self, *, workers: bool) -> None:
        if self.world.boss is not None:
            self.world.boss.put(StopAsked(workers=workers))

    def check_hosts(self) -> None:
        """An operator checks now and then the workers whose hosts are not trusted, and releases them."""
        world = self.world
        world.clock.after(LOOK_SECONDS, self.check_hosts)
        if world.boss is not None:
            for worker in world.boss.scheduler.state.workers.values():
                if has_untrusted_host(worker):
                    world.boss.put(QuarantineAsked(worker=worker.id, reason=""))

    # --- when the storm is over --------------------------------------------------------------------------

    def tidy(self) -> None:
        """Let go on what was held, and cancel what hangs for ever; again and again, as any wish may be lost."""
        world, boss = self.world, self.world.boss
        world.clock.after(TIDY_SECONDS, self.tidy)
        if boss is None:
            return
        state = boss.scheduler.state
        for batch in state.batches.values():
            if batch.row.paused:
                boss.put(PauseAsked(batch=batch.number, reason=""))
        for worker in state.workers.values():
            if worker.quarantined:
                boss.put(QuarantineAsked(worker=worker.id, reason=""))
            if worker.draining and worker.state.value == "draining":
                boss.put(WorkerDrainAsked(worker=worker.id, drain=False))
        hanging = [run.task for one in world.workers.values() for run in one.hanging()]
        if hanging:
            boss.put(CancelAsked(selection=Selection(tasks=hanging)))
