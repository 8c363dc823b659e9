"""A worker's machine: the real agent, around simulated commands, a disk that survives crashes, and a link."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from tests.simulation.clock import Alarm
from wire.codec import decode, encode
from wire.messages import (
    MAX_SLOTS,
    VERSION,
    AttemptKey,
    Heartbeat,
    ManifestEntry,
    Outcome,
    Place,
    Presence,
    Run,
    WorkerHello,
    WorkerOrders,
    WorkerReports,
)
from wire.topics import Topics
from worker.agent import AgentOptions, WorkerAgent, events
from worker.agent import effects as do
from worker.agent.check import check

if TYPE_CHECKING:
    from tests.simulation.world import World

TOPICS = Topics("e")
#: Inputs that a worker keeps.
CACHE_FILES = 6


def content_of(task: int, attempt: int, source: str) -> str:
    """What an attempt writes: differs from attempt to attempt, so that a mix-up shows. Every other task writes the same
    each time, so that what depends on it need not run again.
    """
    attempt = attempt if task % 2 else 0
    return "b2:" + hashlib.blake2b(f"{task}.{attempt}.{source}".encode(), digest_size=32).hexdigest()


class Disk:
    """What a worker's crash leaves."""

    def __init__(self) -> None:
        self.outcomes: dict[AttemptKey, Outcome] = {}
        self.initialized: dict[int, None] = {}
        #: Init tasks that have really succeeded here, whatever any program says.
        self.prepared: set[int] = set()
        #: Attempts that began here and whose end no agent has seen.
        self.begun: set[AttemptKey] = set()
        self.cache: set[str] = set()
        #: Attempt directories: (size, digest) of each file.
        self.files: dict[AttemptKey, dict[str, tuple[int, str]]] = {}
        #: Attempt -> what was placed for it: name in the tree -> digest.
        self.placed: dict[AttemptKey, dict[str, str]] = {}


class SimulatedWorker:
    """One instance: a machine on which agents live one after the other."""

    def __init__(self, world: World, worker: str, slots: int, twin: str = "") -> None:
        self.world = world
        self.id = worker
        #: Its place in the network; a second machine that was started for the same worker has one of its own.
        self.name = f"worker {worker}{twin}"
        world.machines[self.name] = self
        self._topics = frozenset((TOPICS.orders(worker), TOPICS.boss_presence, TOPICS.presence(worker)))
        self.slots = slots
        #: What its SSH daemon shows; empty: its files are reached without.
        self.host_key = world.new_host_key()
        #: What its agent says of it, since it started.
        self.stated_key = self.host_key
        #: Until then another machine answers at its address.
        self.hidden_until = 0.0
        #: Until then its disk is full: whatever ends here was failed by it.
        self.full_until = 0.0
        self.disk = Disk()
        #: A further network interface; empty: it has none.
        self.nic = ""
        self.agent: WorkerAgent | None = None
        self.machine_alive = True
        self.incarnation = ""
        self.generation = 0
        self.running: dict[AttemptKey, int] = {}
        self.frozen_until = 0.0
        self._frozen_since = 0.0
        #: When its agent last went on after it had stood still for longer than a lease; 0.0: it has not.
        self.thawed_at = 0.0
        #: Until then its agent is not ours: its hellos state what serves it.
        self.lies_until = 0.0
        self.held_back: list[object] = []
        self.clock_offset = 0.0
        self._runs = 0
        #: Attempts that began, and that the boss may still take for executing.
        self._begun: set[AttemptKey] = set()
        self._runs_of: dict[AttemptKey, Run] = {}

    @property
    def now(self) -> float:
        return self.world.clock.now + self.clock_offset

    # --- lives -----------------------------------------------------------------------------------------

    def boot(self) -> None:
        """The agent starts: what a former one left running is ended first, its outcomes are read back."""
        if not self.machine_alive or self.agent is not None:
            return
        self.generation += 1
        self.incarnation = f"{self.id}-{self.world.fresh()}"
        self.clock_offset = self.world.clock.between(0.0, 1e5)
        self.running.clear()
        self.disk.files = {key: files for key, files in self.disk.files.items() if key in self.disk.outcomes}
        died = sorted(self.disk.begun - self.disk.outcomes.keys())
        self.disk.begun.clear()
        self._begun = set(self.disk.outcomes)
        options = AgentOptions(
            worker=self.id,
            incarnation=self.incarnation,
            slots=self.slots,
            place=self._place_of_this_start(),
            deployment="d",
            pool=self.world.pool.name,
            heartbeat_seconds=5.0,
            orphan_after_seconds=600.0,
        )
        self.agent = WorkerAgent(
            options,
            self.now,
            list(self.disk.outcomes.values()),
            list(self.disk.initialized),
            sorted(self.disk.cache),
            died=died,
        )
        self.alarm = Alarm(self.world.clock, lambda g=self.generation: self._ring(g))  # type: ignore[misc]
        self.world.network.join(self.name, self, self._reads)
        self._act([])

    def _place_of_this_start(self) -> Place:
        self.stated_key = self.host_key
        if not self.host_key:
            return Place(path=self.name)
        return Place(kind="ssh", path=self.name, host="10.0.0.1", host_keys=[self.host_key])

    def trusts(self, place: Place) -> bool:
        """Whether what answers there shows one of the keys that the datastore was given."""
        hidden = self.world.clock.now < self.hidden_until
        return not place.host_keys or (self.host_key in place.host_keys and not hidden)

    def crash_agent(self) -> None:
        """kill -9 of the agent; something on the machine starts it again."""
        if self.agent is None:
            return
        self._die()
        self.world.clock.after(self.world.clock.between(0.5, 5.0), self.boot)

    def end_machine(self) -> None:
        """The whole machine is gone, disk and all."""
        self.machine_alive = False
        if self.agent is not None:
            self._die()

    def _die(self) -> None:
        self.agent = None
        self.world.truth.died(self._begun)
        self._begun.clear()
        self.running.clear()
        self.held_back.clear()
        self.frozen_until = self.thawed_at = 0.0
        self.world.network.leave(self.name)

    def jump(self, seconds: float) -> None:
        """Its clock goes ahead by so much."""
        self.clock_offset += seconds
        if self.agent is not None:
            self._act([])

    def freeze(self, seconds: float) -> None:
        """Alive and silent; its commands stand still as well (a suspended machine)."""
        until = self.world.clock.now + seconds
        if not self._frozen():
            self._frozen_since = self.world.clock.now
        self.frozen_until = max(self.frozen_until, until)
        self.world.clock.after(seconds, self._thaw)

    def fill_disk(self, seconds: float) -> None:
        """By another program, which goes on to do so for a while."""
        self.full_until = max(self.full_until, self.world.clock.now + seconds)
        self._handle(events.DiskMeasured(0, True))
        self.world.clock.after(seconds, lambda: self._handle(events.DiskMeasured(10**9, False)))

    def _frozen(self) -> bool:
        return self.world.clock.now < self.frozen_until

    def _thaw(self) -> None:
        if self._frozen():
            return
        if self.world.clock.now - self._frozen_since > self.world.policy.lease:
            self.thawed_at = self.world.clock.now
        held, self.held_back = self.held_back, []
        for event in held:
            self._handle(event)

    # --- what comes in -----------------------------------------------------------------------------------

    def _reads(self, topic: str) -> bool:
        return topic in self._topics

    def receive(self, topic: str, payload: bytes, retained: bool) -> None:
        if topic == TOPICS.boss_presence:
            if payload:
                self._handle(events.BossSeen(decode(payload, Presence), retained))
        elif topic == TOPICS.presence(self.id):
            self._own_presence(payload, retained)
        else:
            self._handle(events.OrdersArrived(decode(payload, WorkerOrders)))

    def _own_presence(self, payload: bytes, retained: bool) -> None:
        presence = decode(payload, Presence) if payload else None
        if presence is not None and presence.incarnation != self.incarnation and presence.online and not retained:
            self._handle(events.OtherAgentSeen(presence.incarnation))

    def link_changed(self, connected: bool) -> None:
        if connected:
            presence = Presence(
                version=VERSION, deployment="d", name=self.id, incarnation=self.incarnation, online=True
            )
            self.world.network.publish(self.name, TOPICS.presence(self.id), encode(presence), retain=True)
        self._handle(events.LinkConnected() if connected else events.LinkDisconnected())

    def _ring(self, generation: int) -> None:
        if generation == self.generation:
            self._handle(events.TimePassed())

    def _handle(self, event: object) -> None:
        if self.agent is None:
            return
        if self._frozen():
            self.held_back.append(event)
            return
        self._act(self.agent.handle(event, self.now))  # type: ignore[arg-type]

    def _act(self, effects: list[do.Effect]) -> None:
        for effect in effects:
            if self.world.faults.strikes("worker_between_effects"):
                self.crash_agent()
            if self.agent is None:
                return
            self._do(effect)
        if self.agent is not None:
            check(self.agent.state)
            deadline = self.agent.next_deadline()
            self.alarm.set(None if deadline is None else deadline - self.clock_offset)

    # --- what the agent wants ------------------------------------------------------------------------------

    def _do(self, effect: do.Effect) -> None:
        disk = self.disk
        if isinstance(effect, do.SendReports):
            self.world.network.publish(self.name, TOPICS.reports(self.id), encode(self._stated(effect.message)))
        elif isinstance(effect, do.Execute):
            self._execute(effect.run)
        elif isinstance(effect, do.PlaceInputs):
            generation = self.generation
            delay = self.world.clock.between(0.0, 0.2) * self.world.pace
            self.world.clock.after(delay, lambda: self._place(effect, generation))
        elif isinstance(effect, do.KillExecution):
            self._kill(effect)
        elif isinstance(effect, do.RemoveAttempt):
            left = disk.files.pop((effect.task, effect.attempt), {})
            disk.placed.pop((effect.task, effect.attempt), None)
            self._adopt([one.digest for one in effect.keep if left.get(one.source) == (one.size, one.digest)])
            if (effect.task, effect.attempt) not in disk.outcomes:  # else its end was not acknowledged yet
                self._begun.discard((effect.task, effect.attempt))
            disk.begun.discard((effect.task, effect.attempt))
        elif isinstance(effect, do.KeepOutcome):
            disk.outcomes[(effect.outcome.task, effect.outcome.attempt)] = effect.outcome
            disk.begun.discard((effect.outcome.task, effect.outcome.attempt))
        elif isinstance(effect, do.ForgetOutcome):
            disk.outcomes.pop((effect.task, effect.attempt), None)
            self._begun.discard((effect.task, effect.attempt))
        elif isinstance(effect, do.RememberInit):
            disk.initialized[effect.number] = None
        elif isinstance(effect, do.Exit):
            self._die()
            self.world.provider.process_ended(self)

    def _stated(self, message: WorkerReports) -> WorkerReports:
        """What it states while its agent lies: more than it is, and of others what they never did."""
        if self.world.clock.now >= self.lies_until:
            return message
        others = [key for key, row in self.world.store.attempts.items() if row.worker != self.id][-100:]
        lies = [
            msgspec.structs.replace(
                report, pool="gpu", slots=MAX_SLOTS, labels={"engine": "9"}, memory=2**50, died=report.died + others
            )
            if isinstance(report, WorkerHello)
            else msgspec.structs.replace(report, progress=[(*key, 1.0) for key in others])
            if isinstance(report, Heartbeat)
            else report
            for report in message.reports
        ]
        return msgspec.structs.replace(message, reports=lies)

    def _place(self, effect: do.PlaceInputs, generation: int) -> None:
        if generation != self.generation:
            return
        if self.world.faults.strikes("cache_forgets"):
            self.disk.cache.clear()  # behind its back: an operator freed space
        missing = [one.digest for one in effect.inputs if one.digest not in self.disk.cache]
        if missing:
            self.world.truth.missed_inputs(effect.task, effect.attempt)
            self._handle(events.InputsNotPlaced(effect.task, effect.attempt, missing))
            return
        digests = {one.name: one.digest for one in effect.inputs}
        self.disk.placed[(effect.task, effect.attempt)] = digests
        dropped = self._trim(set(digests.values()))
        self._handle(events.CacheChanged(list(digests.values()), dropped))
        self._handle(events.InputsPlaced(effect.task, effect.attempt))

    def _trim(self, used: set[str]) -> list[str]:
        """The cache is small: what is beyond goes, but nothing that was used just now."""
        dropped = sorted(self.disk.cache - used)[: max(0, len(self.disk.cache) - CACHE_FILES)]
        self.disk.cache.difference_update(dropped)
        return dropped

    def _adopt(self, digests: list[str]) -> None:
        if digests:
            self.disk.cache.update(digests)
            self.world.clock.after(0.0, lambda: self._handle(events.CacheChanged(digests)))

    def _execute(self, run: Run) -> None:
        key = (run.task, run.attempt)
        self.world.truth.began(self, run)
        behaviour = self.world.behaviour(run)
        self._runs += 1
        number = self._runs
        self.running[key] = number
        self._begun.add(key)
        self.disk.begun.add(key)
        self._runs_of[key] = run
        seconds, ended = behaviour.seconds, behaviour.ends(run.attempt, self.id)
        if seconds is None and run.execution.timeout is not None:
            seconds, ended = run.execution.timeout, "timed_out"  # its runner ends it
        if seconds is not None:
            self.world.clock.after(seconds, lambda: self._finish(run, number, ended))

    def hanging(self) -> list[Run]:
        """What runs here and never ends unless it is killed."""
        runs = [self._runs_of[key] for key in self.running]
        return [run for run in runs if run.execution.timeout is None and self.world.behaviour(run).seconds is None]

    def _finish(self, run: Run, number: int, ended: str) -> None:
        key = (run.task, run.attempt)
        if self.running.get(key) != number:
            return
        if self._frozen():
            self.world.clock.after(
                self.frozen_until - self.world.clock.now + 0.01, lambda: self._finish(run, number, ended)
            )
            return
        if ended == "poison":
            self.world.truth.poisoned[run.task] += 1
            self.crash_agent()
            return
        del self.running[key]
        if self.world.clock.now < self.full_until and not run.init and self.agent is not None:
            ended = "disk_full"
            grown = [(*each, 1_000_000 * each[0]) for each in (*self.running, key)]
            self._handle(events.DiskMeasured(0, True))
            self._handle(events.SizesMeasured(grown, 0, True))
            if self.agent is None:  # it died while it ended one of them
                return
        manifest = []
        if ended == "succeeded":
            files = {one.source: (10, content_of(run.task, run.attempt, one.source)) for one in run.execution.results}
            self.disk.files[key] = files
            manifest = [
                ManifestEntry(source=one.source, target=one.target, size=10, digest=files[one.source][1])
                for one in run.execution.results
            ]
        code = {"succeeded": 0, "failed": 3, "killed": -9}.get(ended)
        word = "failed" if ended in ("killed", "worker_fault", "disk_full") else ended
        outcome = Outcome(
            task=run.task,
            attempt=run.attempt,
            ended=word,  # type: ignore[arg-type]
            fault="worker" if ended == "worker_fault" else "task",
            reason="" if ended == "succeeded" else f"it {ended}",
            exit_code=code,
            seconds=1.0,
            manifest=manifest,
        )
        if ended != "disk_full":  # which is no failure of the task's, whatever its exit code
            self.world.truth.ended(self, outcome)
        self.world.truth.brought_along[run.task] += ended == "worker_fault"
        self._handle(events.ExecutionEnded(outcome, leftovers=bool(manifest)))
        held = self.agent.state.held.get(key) if self.agent is not None else None
        if held is not None and held.phase == "ended" and held.kept:
            self.world.truth.kept[key] = self
        if self.agent is not None:
            self.disk.begun.discard(key)

    def _kill(self, effect: do.KillExecution) -> None:
        key = (effect.task, effect.attempt)
        number = self.running.get(key)

        def gone() -> None:
            if number is not None and self.running.get(key) == number:
                del self.running[key]
                outcome = Outcome(task=key[0], attempt=key[1], ended="cancelled", reason=effect.reason)
                self._handle(events.ExecutionEnded(outcome))

        self.world.clock.after(self.world.clock.between(0.01, 1.0), gone)
