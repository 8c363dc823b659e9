"""One world: machines, a network, people and faults, from a seed. `run` plays it to its end and checks everything.

First the storm: pushes come in, people interfere, faults strike. Then the calm: nothing fails any more, and
within a bounded time everything that was accepted must have ended, with nothing left behind.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from boss.cloud.provider import Recorded
from boss.core.check import check
from boss.core.effects import Answer
from boss.core.events import (
    CancelAsked,
    InstanceEnded,
    InstanceStarted,
    InstanceStartFailed,
    RedoAsked,
    RetryAsked,
    Selection,
    Submitted,
)
from boss.core.model import Submission, TaskState
from boss.core.rows import Known
from boss.core.state import Policy, PoolPolicy
from tests.simulation.bosses import SimulatedBoss
from tests.simulation.clock import Clock
from tests.simulation.datastores import SimulatedDatastore
from tests.simulation.graphs import Behaviour, submission
from tests.simulation.network import Network
from tests.simulation.store import SimulatedStore
from tests.simulation.truth import Truth
from tests.simulation.workers import SimulatedWorker
from wire.messages import Execution, Run

STORM_SECONDS = 300.0
CALM_SECONDS = 4_000.0
MOST_STEPS = 400_000

_execution = msgspec.json.Decoder(Execution)


@dataclass
class Faults:
    """How likely each fault is. `strikes` is asked at every place where one may happen."""

    random: random.Random
    weights: dict[str, float] = field(default_factory=dict)
    on: bool = True
    struck: dict[str, int] = field(default_factory=dict)

    def strikes(self, name: str) -> bool:
        weight = self.weights.get(name, 0.0)
        if not self.on or not weight or self.random.random() >= weight:
            return False
        self.struck[name] = self.struck.get(name, 0) + 1
        return True


class Provider:
    """Starts machines. Its answers may be late, or lost with the boss that asked."""

    def __init__(self, world: World) -> None:
        self.world = world
        #: worker id -> instance number of the process that lives
        self.living: dict[str, int] = {}

    def start(self, instance: int, worker: str) -> None:
        world = self.world
        if world.faults.strikes("start_fails"):
            world.tell_boss(InstanceStartFailed(instance=instance, reason="no room"), 0.5)
            return
        old = world.workers.get(worker)
        assert old is None or not old.machine_alive or worker not in self.living, f"two machines for {worker}"
        self.living[worker] = instance
        machine = SimulatedWorker(world, worker, world.slots)
        if old is not None:
            machine.disk = old.disk  # the successor of a crashed local worker finds its directory
        world.workers[worker] = machine
        world.clock.after(world.clock.between(0.1, 3.0), machine.boot)
        world.tell_boss(InstanceStarted(instance=instance, reference=f"p{instance}"), world.clock.between(0.0, 1.0))

    def stop(self, instance: int, worker: str, reference: str) -> None:
        self.process_ended(worker)

    def process_ended(self, worker: str) -> None:
        """The machine is gone; the provider notices."""
        machine = self.world.workers.get(worker)
        if machine is not None:
            machine.end_machine()
        instance = self.living.pop(worker, None)
        if instance is not None:
            self.world.tell_boss(InstanceEnded(instance=instance, reason="gone"), self.world.clock.between(0.0, 2.0))

    def adopt(self, recorded: Iterable[Recorded]) -> None:
        for one in recorded:
            if self.living.get(one.worker) == one.instance:
                self.world.tell_boss(InstanceStarted(instance=one.instance, reference=f"p{one.instance}"), 0.1)
            else:
                self.world.tell_boss(InstanceEnded(instance=one.instance, reason="was gone", unseen=True), 0.1)


class World:
    def __init__(self, seed: int, *, calm_only: bool = False) -> None:
        self.seed = seed
        self.clock = Clock(seed)
        chance = self.clock.random
        self.faults = Faults(chance, {} if calm_only else _weights(chance))
        self.network = Network(self.clock)
        if not calm_only:
            self.network.lose = chance.choice([0.0, 0.0, 0.01, 0.1])
            self.network.double = chance.choice([0.0, 0.02, 0.2])
            self.network.slow = chance.choice([0.0, 0.0, 0.02, 0.2])
        self.store = SimulatedStore()
        self.truth = Truth(self)
        self.provider = Provider(self)
        self.workers: dict[str, SimulatedWorker] = {}
        self.slots = chance.choice([2, 3, 4])
        self._fresh = 0
        self._replies: dict[int, Submission] = {}
        self._reply = 0
        self.people_interfered = False
        self.poisonous = self.faults.weights.get("worker_machine", 0) > 0 or not calm_only
        self.policy = Policy(
            lease=30.0,
            heartbeat=5.0,
            resend=5.0,
            ask_again=30.0,
            prefetch_max=chance.choice([0, 4, 64]),
            order_bytes=chance.choice([500, 262144]),
            deaths=10_000,
            strikes=10_000,
            init_tries=10_000,
            pools=(PoolPolicy(name="local", wanted=chance.choice([1, 2, 4]), limit=4),),
        )
        self.pending: list[Submission] = []
        self.boss: SimulatedBoss | None = None
        self._bosses = 0
        self.datastore = SimulatedDatastore(self)
        self.datastore.boot()
        self._start_boss()
        self._plan_pushes(chance, calm_only)
        if not calm_only:
            self._plan_storm(chance)

    # --- names and chances -----------------------------------------------------------------------------

    def fresh(self) -> int:
        self._fresh += 1
        return self._fresh

    def behaviour(self, run: Run) -> Behaviour:
        return Behaviour.of(run.execution.env)

    def behaviour_of(self, execution: bytes) -> Behaviour:
        return Behaviour.of(_execution.decode(execution).env)

    # --- the boss ----------------------------------------------------------------------------------------

    def _start_boss(self) -> None:
        self._bosses += 1
        boss = SimulatedBoss(self, f"boss {self._bosses}", self.policy)
        if boss.alive:
            self.boss = boss
            self.provider.adopt(boss.recorded)
            for waiting in self.pending:
                self._submit(waiting)

    def boss_died(self) -> None:
        self.boss = None
        self.clock.after(self.clock.between(0.5, 20.0), self._start_boss_again)

    def _start_boss_again(self) -> None:
        if self.boss is None:
            self._start_boss()

    def tell_boss(self, event: InstanceStarted | InstanceStartFailed | InstanceEnded, delay: float) -> None:
        boss = self.boss

        def arrive() -> None:
            if self.boss is not None and (boss is None or boss is self.boss):
                self.boss.put(event)

        self.clock.after(delay, arrive)

    def answered(self, answer: Answer) -> None:
        submission = self._replies.pop(answer.reply, None)
        if submission is None:
            return
        assert not answer.refused, f"push {submission.name} refused: {answer.refused}"
        for task_id in submission.ids:
            assert (submission.project, task_id) in self.store.ids, "accepted is said before it is on disk"
        if submission in self.pending:
            self.pending.remove(submission)

    # --- people ------------------------------------------------------------------------------------------

    def _plan_pushes(self, chance: random.Random, calm_only: bool) -> None:
        older: list[str] = []
        for push in range(chance.randint(1, 3)):
            made = submission(chance, "abc"[push], chance.randint(1, 14), older=list(older))
            older += made.ids
            self.clock.after(push * chance.uniform(0.0, 60.0) + 0.5, lambda made=made: self._push(made))  # type: ignore[misc]
        if not calm_only and chance.random() < 0.35:
            self.people_interfered = True
            for _ in range(chance.randint(1, 4)):
                self.clock.after(chance.uniform(5.0, STORM_SECONDS), self._interfere)

    def _push(self, made: Submission) -> None:
        """A client pushes until it has been told that it is accepted; pushing again is harmless."""
        if made not in self.pending:
            self.pending.append(made)
        self._submit(made)
        self.clock.after(15.0, lambda: self._push(made) if made in self.pending else None)

    def _submit(self, made: Submission) -> None:
        if any((made.project, needed) not in self.store.ids for _, needed in made.external):
            return  # its client waits for the pushes before it
        if self.boss is not None:
            self._reply += 1
            self._replies[self._reply] = made
            self.boss.put(Submitted(submission=made, known=Known(), reply=self._reply))

    def _interfere(self) -> None:
        if self.boss is None or not self.store.tasks:
            return
        chance = self.clock.random
        tasks = chance.sample(list(self.store.tasks), min(len(self.store.tasks), chance.randint(1, 4)))
        batches = [chance.choice(list(self.store.batches))] if chance.random() < 0.3 else []
        selection = Selection(tasks=tasks, batches=batches)
        kind = chance.choice([CancelAsked, RetryAsked, RedoAsked])
        if kind is RedoAsked:
            self.truth.people_redo = True
            touched = {*tasks, *(n for n in self.store.tasks if self.store.places[n][0].batch.number in batches)}
            self.truth.redone.update(touched)
        self.boss.put(kind(selection=selection))

    # --- the storm -----------------------------------------------------------------------------------------

    def _plan_storm(self, chance: random.Random) -> None:
        blows = chance.choice([0, 2, 8, 25])
        for _ in range(blows):
            self.clock.after(chance.uniform(1.0, STORM_SECONDS), self._blow)

    def _blow(self) -> None:
        chance = self.clock.random
        kind = chance.choice(
            [
                "worker_crash",
                "worker_freeze",
                "worker_machine",
                "worker_cut",
                "datastore",
                "boss",
                "boss_freeze",
                "boss_cut",
                "datastore_cut",
                "broker",
                "disk_full",
            ]
        )
        self.faults.struck[kind] = self.faults.struck.get(kind, 0) + 1
        worker = chance.choice(list(self.workers.values())) if self.workers else None
        if kind == "worker_crash" and worker is not None:
            worker.crash_agent()
        elif kind == "worker_freeze" and worker is not None:
            worker.freeze(chance.choice([3.0, 20.0, 45.0, 100.0]))
        elif kind == "worker_machine" and worker is not None and worker.machine_alive:
            self.provider.process_ended(worker.id)
        elif kind == "worker_cut" and worker is not None:
            self.network.cut(worker.name, chance.choice([1.0, 20.0, 60.0]))
        elif kind == "datastore":
            self.datastore.crash()
        elif kind == "boss" and self.boss is not None:
            self.boss.crash()
        elif kind == "boss_freeze" and self.boss is not None:
            self.boss.freeze(chance.choice([2.0, 20.0, 70.0]))
        elif kind == "boss_cut" and self.boss is not None:
            self.network.cut(self.boss.name, chance.choice([1.0, 20.0, 60.0]))
        elif kind == "datastore_cut":
            self.network.cut("datastore", chance.choice([1.0, 20.0, 60.0]))
        elif kind == "broker":
            self.network.restart_broker(chance.choice([0.5, 20.0, 60.0]), keeps=chance.random() < 0.5)
        elif kind == "disk_full":
            self.datastore.full_until = self.clock.now + chance.choice([5.0, 60.0])

    # --- playing it ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Play to the end. Raises AssertionError naming the seed, with the story of the task in question."""
        try:
            self._play()
        except AssertionError as error:
            struck = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.struck.items()))
            raise AssertionError(
                f"seed {self.seed}, at {self.clock.now - 1000:.3f} s, step {self.clock.steps}: {error}\n"
                f"faults that struck: {struck or 'none'}\n"
                f"again: python -m tests.simulation --first {self.seed} --seeds 1"
            ) from error

    def _play(self) -> None:
        start = self.clock.now
        while self.clock.now < start + STORM_SECONDS and self.clock.steps < MOST_STEPS:
            if not self.clock.step():
                break
        self.faults.on = False
        self.network.lose = self.network.double = self.network.slow = 0.0
        self.datastore.full_until = 0.0
        end = self.clock.now + CALM_SECONDS
        looked = 0
        while self.clock.now < end:
            assert self.clock.steps < MOST_STEPS, "the world does not come to rest"
            if not self.clock.step():
                break
            looked += 1
            if looked % 500 == 0 and self._over():
                break
        if self.boss is not None:
            check(self.boss.scheduler.state)
        assert not self.pending, f"pushes {[one.name for one in self.pending]} were never accepted"
        self.truth.final()

    def _over(self) -> bool:
        """Nothing is left to wait for (looked at now and then, to save time)."""
        store = self.store
        unfinished = (TaskState.PENDING, TaskState.QUEUED, TaskState.RUNNING)
        return (
            not self.pending
            and self.boss is not None
            and all(row.state not in unfinished for row in store.tasks.values())
            and all(row.ended for row in store.attempts.values())
            and not store.records
            and not self.datastore.tree.records
            and not self.datastore.tree.incoming
            and all(w.agent is None or not w.agent.in_hand() for w in self.workers.values())
        )

    def story(self, task: int) -> str:
        """What the boss of today remembers of a task, for the message of a failure."""
        if self.boss is None:
            return ""
        moves = [move for move in self.boss.scheduler.state.story if move.key == str(task)]
        told = [f"  {move.what} {move.attempt} {move.before} -> {move.after}: {move.cause}" for move in moves]
        return "\nStory:\n" + "\n".join(told)


def _weights(chance: random.Random) -> dict[str, float]:
    """Which faults this world knows: some worlds have few kinds often, some many kinds seldom."""
    kinds = [
        "boss_before_commit",
        "boss_after_commit",
        "boss_in_perform",
        "worker_between_actions",
        "datastore_between_actions",
        "datastore_before_work",
        "datastore_after_work",
        "start_fails",
    ]
    rate = chance.choice([0.0, 0.002, 0.02])
    return {kind: rate for kind in kinds if chance.random() < 0.5}
