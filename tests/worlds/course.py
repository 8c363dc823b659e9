"""One fixed course of events under a policy, and what the scheduler made of it: two policies that leave the same record
are the same policy, as far as a user could see.

Instances boot in 20 seconds, but the third never does. Workers run what they are sent, two at a time where the pool
does not say; tasks called `bad` fail, on the second instance every task fails for want of a disk, and the first worker
falls silent for a while.
"""

from __future__ import annotations

from functools import cache

import msgspec

from boss.core.effects import AttachNetwork, DetachNetwork, StartInstance, StopInstance
from boss.core.events import InstanceEnded, InstanceStarted, NetworkAttached, NetworkDetached, TimePassed
from boss.core.model import Profile
from boss.core.policy import Policy
from tests.worlds.scheduler import FakeWorker, World
from wire.messages import Acknowledge, PhaseReached, Run, SayHello

BOOT_SECONDS, TASK_SECONDS = 20.0, 4.0
BROKEN, NEVER_BOOTS = 2, 3
#: When the first worker falls silent, and until when.
SILENT = (40.0, 90.0)


class Course:
    """Steps of one second."""

    def __init__(self, policy: Policy) -> None:
        self.world = World(policy)
        self.start = self.world.now
        self.record: list[str] = []
        #: Instance -> (worker, pool, when it says hello).
        self.booting: dict[int, tuple[str, str, float]] = {}
        self.instance_of: dict[str, int] = {}
        #: What each worker has been sent and not ended: when it began, if it did.
        self.held: dict[str, dict[tuple[int, int], tuple[Run, float | None]]] = {}

    def note(self, what: object) -> None:
        self.record.append(f"{self.world.now - self.start:.0f} s: {what}")

    def push(self, ids: list[str], **more: object) -> None:
        self.world.push(dict.fromkeys(ids, ""), **more)

    def run(self, seconds: float) -> list[str]:
        until = self.world.now + seconds
        while self.world.now < until:
            self.world.now += 1.0
            self.world.turn(TimePassed())
            self._provide()
            for worker in list(self.world.workers.values()):
                self._work(worker)
        return self.record

    # --- instances -----------------------------------------------------------------------------------------

    def _provide(self) -> None:
        world = self.world
        for start in world.take(StartInstance):
            self.note(start)
            self.booting[start.instance] = (start.worker, start.pool, world.now + BOOT_SECONDS)
            self.instance_of[start.worker] = start.instance
            world.turn(InstanceStarted(instance=start.instance, reference=f"machine {start.instance}"))
        for stop in world.take(StopInstance):
            self.note(stop)
            self._end(stop.instance, stop.worker)
        for nic in (*world.take(AttachNetwork), *world.take(DetachNetwork)):
            self.note(nic)
            done = NetworkAttached if isinstance(nic, AttachNetwork) else NetworkDetached
            world.turn(done(instance=nic.instance, nic="1"))
        for instance, (worker, pool, ready) in list(self.booting.items()):
            if world.now >= ready and instance != NEVER_BOOTS:
                del self.booting[instance]
                policy = world.policy.pool(pool)
                world.worker(worker, pool=pool, slots=policy.slots or 2, labels=policy.labels)
                self.held[worker] = {}
        world.effects.clear()

    def _end(self, instance: int, worker: str) -> None:
        self.booting.pop(instance, None)
        self.held.pop(worker, None)
        if self.instance_of.get(worker) == instance:
            self.world.workers.pop(worker, None)
        self.world.turn(InstanceEnded(instance=instance, reason="stopped"))

    # --- workers -------------------------------------------------------------------------------------------

    def _is_silent(self, worker: FakeWorker) -> bool:
        first = next(iter(self.world.workers), None)
        return worker.id == first and SILENT[0] <= self.world.now - self.start < SILENT[1]

    def _work(self, worker: FakeWorker) -> None:
        held = self.held[worker.id]
        for order in worker.orders():
            if isinstance(order, Run):
                self.note(f"{worker.id} runs {order.id}, attempt {order.attempt}")
                held[(order.task, order.attempt)] = (order, None)
            elif not isinstance(order, Acknowledge):
                self.note((worker.id, order))
                if isinstance(order, SayHello):  # after its silence: as an agent that was started again
                    held.clear()
                    worker.hello()
        if self._is_silent(worker):
            return
        for key, (run, began) in list(held.items()):
            if began is not None and self.world.now - began >= TASK_SECONDS:
                del held[key]
                self._end_task(worker, run)
        free = int(worker.about["slots"]) - sum(began is not None for _, began in held.values())  # type: ignore[call-overload]
        for key, (run, began) in list(held.items()):
            if began is None and free > 0 and not any(one.init for one, _ in held.values() if one.task in run.inits):
                free -= 1
                held[key] = (run, self.world.now)
                worker.report(PhaseReached(task=run.task, attempt=run.attempt, phase="executing"))
        if int(self.world.now) % 5 == 0:
            worker.beats()

    def _end_task(self, worker: FakeWorker, run: Run) -> None:
        if self.instance_of[worker.id] == BROKEN and not run.init:
            worker.ended(run.task, run.attempt, "failed", seconds=0.05, fault="worker", reason="the disk is full")
        elif run.id.startswith("bad"):
            worker.ended(run.task, run.attempt, "failed", seconds=0.05, exit_code=1, reason="exit code 1")
        else:
            worker.ended(run.task, run.attempt, seconds=0.05)


def history(policy: Policy) -> tuple[str, ...]:
    """What was ordered and asked for, each with its time."""
    return _history(msgspec.json.encode(policy))


@cache
def _history(encoded: bytes) -> tuple[str, ...]:
    course = Course(msgspec.json.decode(encoded, type=Policy))
    course.push([f"t{number}" for number in range(60)], inits=["prepare"], profile=Profile(expect=20.0))
    course.push([f"bad{number}" for number in range(2)], profile=Profile(expect=20.0))
    course.run(180.0)
    course.push([f"late{number}" for number in range(8)])
    return tuple(course.run(120.0))
