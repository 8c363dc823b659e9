"""The boss's machine: the real scheduler, turn and dispatcher, around a simulated database. It may die between any two
steps of a turn, and anywhere in a commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boss.core.check import check, starving
from boss.core.effects import (
    Answer,
    AttachNetwork,
    ClearPresence,
    DetachNetwork,
    Effect,
    EndBoss,
    StartInstance,
    StopInstance,
)
from boss.core.events import (
    DatastoreReported,
    Event,
    LinkConnected,
    LinkDisconnected,
    PresenceSeen,
    TimePassed,
    WorkerReported,
)
from boss.core.policy import Policy
from boss.core.scheduler import Scheduler
from boss.dispatch import Dispatcher, Found
from boss.providers.provider import Recorded
from boss.turn import Decided, MessageToWorker, Outside, decide, perform_steps, record
from tests.simulation.clock import Alarm
from tests.worlds.store import Superseded
from wire.codec import decode, encode
from wire.messages import VERSION, DatastoreOrders, DatastoreReports, Presence, WorkerReports
from wire.topics import Topics

if TYPE_CHECKING:
    from tests.simulation.world import World

TOPICS = Topics("e")


class SimulatedBoss:
    """One life of a boss: from its start to its death."""

    def __init__(self, world: World, name: str, policy: Policy) -> None:
        self.world = world
        self.name = name
        self.alive = True
        #: Monotonic clocks of different lives have nothing to do with one another.
        self.clock_offset = world.clock.between(0.0, 1e6)
        #: The clocks of users: the wall clock may jump, and nothing is to rest on it.
        self.wall_offset = 0.0
        self.store = world.store.open()
        self.epoch = self.store.epoch
        self.incarnation = f"boss-{self.epoch}"
        self.scheduler = Scheduler(policy)
        self.dispatcher = Dispatcher(self.store.lookups, "d", self.epoch, self.scheduler.in_cache)
        self.outside = self._outside()
        self.inbox: list[Event] = []
        #: Of the turn that is not recorded yet.
        self.deciding: list[Event] = []
        self.turn_planned = False
        self.turns = 0
        self.frozen_until = 0.0
        #: A turn whose commit cannot be made at present: the database is away.
        self.waiting: Decided | None = None
        self.alarm = Alarm(world.clock, self._ring)
        self.scheduler.restore(self.store.load(), self.now, self.wall)
        check(self.scheduler.state)
        recorded = [
            Recorded(instance=one.row.number, worker=one.row.worker, reference=one.row.reference)
            for one in self.scheduler.state.instances.values()
        ]
        world.network.join(name, self, self._reads)
        self.put(TimePassed())
        self.recorded = recorded

    @property
    def now(self) -> float:
        return self.world.clock.now + self.clock_offset

    @property
    def wall(self) -> float:
        return self.world.clock.now + self.wall_offset

    @staticmethod
    def _reads(topic: str) -> bool:
        return topic.endswith(("/reports", "/presence")) and not topic.startswith("e/boss")

    # --- what comes in -------------------------------------------------------------------------------

    def put(self, event: Event) -> None:
        """Into the inbox; a turn follows soon and takes all that waits by then."""
        if not self.alive:
            return
        self.inbox.append(event)
        self._plan()

    def _plan(self) -> None:
        if not self.turn_planned and self.waiting is None:
            self.turn_planned = True
            delay = max(0.0, self.frozen_until - self.world.clock.now) + self.world.clock.between(0.0, 0.003)
            self.world.clock.after(delay, self._turn)

    def _ring(self) -> None:
        self.put(TimePassed())

    def receive(self, topic: str, payload: bytes, retained: bool) -> None:
        if not payload:
            return
        worker = TOPICS.worker_of(topic)
        if topic == TOPICS.datastore_reports:
            self.put(DatastoreReported(message=decode(payload, DatastoreReports)))
        elif topic.endswith("/presence"):
            self.put(PresenceSeen(message=decode(payload, Presence)))
        elif worker is not None:
            self.put(WorkerReported(worker=worker, message=decode(payload, WorkerReports)))

    def link_changed(self, connected: bool) -> None:
        if connected:
            self._publish_presence(online=True)
        self.put(LinkConnected() if connected else LinkDisconnected())

    def _publish_presence(self, *, online: bool) -> None:
        presence = Presence(
            version=VERSION, deployment="d", name="boss", incarnation=self.incarnation, online=online, epoch=self.epoch
        )
        self.world.network.publish(self.name, TOPICS.boss_presence, encode(presence), retain=True)

    # --- a turn ----------------------------------------------------------------------------------------

    def _turn(self) -> None:
        self.turn_planned = False
        if not self.alive or self.waiting is not None:
            return
        if self.world.clock.now < self.frozen_until:
            self._plan()
            return
        events, self.inbox = self.inbox, []
        try:
            decided = decide(self.scheduler, self.store, events, self.now, self.wall)
        except Superseded:
            self.crash()
            return
        self.deciding, self.inbox = events[: decided.taken], events[decided.taken :]
        if self.inbox:
            self._plan()
        self._look()
        if decided.changed:
            self._record(decided)
        else:
            self._perform(decided.effects)

    def _look(self) -> None:
        """Whether all is as it must be at the end of a turn."""
        state = self.scheduler.state
        self.turns += 1
        if self.turns % self.world.look_each == 0:
            check(state)
            self.world.truth.looked_at(state)
            starved = starving(state) if state.leases_from is not None and not state.stopping else []
            assert not starved, f"tasks {starved} are ready and a worker that fits is idle"

    def _record(self, decided: Decided) -> None:
        """Commit, then perform. While the database is away nothing goes out, and no other turn begins."""
        world, faults = self.world, self.world.faults
        if not self.alive:
            return
        if world.clock.now < max(world.database_away_until, self.frozen_until):
            self.waiting = decided
            world.clock.after(1.0, lambda: self._record(decided))
            return
        if faults.strikes("boss_before_commit"):
            self.crash()
            return
        if faults.strikes("turn_refused"):
            self._take_again()
            return
        self.store.answer_lost = faults.strikes("commit_answer_lost")
        try:
            record(decided, self.store, self.wall)
        except Superseded:
            self.crash()
            return
        world.truth.committed(decided.changes)
        if faults.strikes("boss_after_commit"):
            self.crash()
            return
        self._perform(decided.effects)
        if self.waiting is not None:
            self.waiting = None
            self._plan()

    def _take_again(self) -> None:
        """The database refuses the turn, and the next time does not: one of its rows was bad (`boss.loop`)."""
        self.scheduler.reload(self.store.load(), self.now, self.wall)
        check(self.scheduler.state)
        self.inbox = [*self.deciding, *self.inbox]
        self.waiting = None
        self._plan()

    def _perform(self, effects: list[Effect]) -> None:
        for step in perform_steps(effects, self.dispatcher):
            if self.world.faults.strikes("boss_in_perform"):
                self.crash()
            elif isinstance(step, Found):
                self.put(step)
            elif isinstance(step, EndBoss):
                self.crash()
            else:
                self.outside[type(step)](step)
            if not self.alive:
                return
        self.alarm.set(self._world_time(self.scheduler.next_deadline()))

    def _world_time(self, deadline: float | None) -> float | None:
        return None if deadline is None else deadline - self.clock_offset

    # --- what a turn does to the world -------------------------------------------------------------------

    def _outside(self) -> Outside:
        world = self.world
        return {
            MessageToWorker: self._send_to_worker,
            DatastoreOrders: lambda orders: world.network.publish(self.name, TOPICS.datastore_orders, encode(orders)),
            ClearPresence: lambda effect: world.network.publish(
                self.name, TOPICS.presence(effect.worker), b"", retain=True
            ),
            Answer: lambda answer: world.users.answered(answer),
            StartInstance: lambda effect: world.provider.start(effect.instance, effect.worker),
            StopInstance: lambda effect: world.provider.stop(effect.instance, effect.worker, effect.reference),
            AttachNetwork: lambda effect: world.provider.attach(effect.instance),
            DetachNetwork: lambda effect: world.provider.detach(effect.instance, effect.nic),
        }

    def _send_to_worker(self, step: MessageToWorker) -> None:
        self.world.truth.ordered(step.worker, step.message.receiver, step.message.orders)
        self.world.network.publish(self.name, TOPICS.orders(step.worker), encode(step.message))

    # --- faults ----------------------------------------------------------------------------------------

    def crash(self) -> None:
        """kill -9, at whatever line this is."""
        if not self.alive:
            return
        self.alive = False
        self.world.network.leave(self.name)
        self.store.close()
        self.world.boss_died(self)

    def freeze(self, seconds: float) -> None:
        """A suspended machine: alive, and then awake again with all that waited."""
        self.frozen_until = self.world.clock.now + seconds
