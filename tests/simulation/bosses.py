"""The boss's machine: the real scheduler and dispatcher, around a simulated database that may be anywhere in a
commit when it dies."""

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
    SendToDatastore,
    SendToWorker,
    StartInstance,
    StopInstance,
)
from boss.core.events import (
    BatchesLoaded,
    DatastoreReported,
    Event,
    LinkConnected,
    LinkDisconnected,
    PauseAsked,
    PresenceSeen,
    Selection,
    Submitted,
    TasksAsked,
    TimePassed,
    WorkerReported,
)
from boss.core.merge import batches_concerned
from boss.core.policy import Policy
from boss.core.rows import Changes
from boss.core.scheduler import Scheduler
from boss.dispatch import Dispatcher
from boss.providers.provider import Recorded
from tests.simulation.clock import Alarm
from tests.worlds.store import Superseded
from wire.codec import decode, encode
from wire.messages import VERSION, DatastoreReports, Presence, WorkerReports
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
        #: People and their clocks: the wall clock may jump, and nothing is to rest on it.
        self.wall_offset = 0.0
        self.store = world.store.open()
        self.epoch = self.store.epoch
        self.incarnation = f"boss-{self.epoch}"
        self.scheduler = Scheduler(policy)
        self.dispatcher = Dispatcher(self.store.lookups, "d", self.epoch, self.scheduler.in_cache)
        self.inbox: list[Event] = []
        self.turn_planned = False
        self.turns = 0
        self.frozen_until = 0.0
        #: A turn whose commit cannot be made at present: the database is away.
        self.waiting: tuple[Changes, list[Effect]] | None = None
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
        self.scheduler.begin(self.now, self.wall)
        for position, event in enumerate(events):
            if isinstance(event, Submitted | TasksAsked | PauseAsked):
                if position:
                    self.inbox = events[position:]
                    self._plan()
                    break
                try:
                    self._read_for(event)
                except Superseded:
                    self.crash()
                    return
            self.scheduler.handle(event)
        self._end_turn()

    def _read_for(self, event: Submitted | TasksAsked | PauseAsked) -> None:
        store, state = self.store, self.scheduler.state
        wanted: tuple[list[int], list[int]]
        if isinstance(event, Submitted):
            event.known = store.known(event.submission)
            wanted = [], batches_concerned(event.submission, event.known)
        else:
            wanted = ([], [event.batch]) if isinstance(event, PauseAsked) else _selected(event.selection)
        tasks = [task for task in wanted[0] if state.find(task) is None]
        batches = [number for number in wanted[1] if number not in state.batches]
        if tasks or batches:
            loaded, outside, crossing = store.batches_for(tasks, batches, list(state.batches))
            self.scheduler.handle(BatchesLoaded(batches=loaded, outside=outside, crossing=crossing))

    def _end_turn(self) -> None:
        self.scheduler.settle()
        state = self.scheduler.state
        changes, effects = self.scheduler.take()
        self.turns += 1
        if self.turns % self.world.look_each == 0:
            check(state)
            hungry = starving(state) if state.leases_from is not None and not state.stopping else []
            assert not hungry, f"tasks {hungry} are ready and a worker that fits is idle"
        if changes.empty():
            self._perform_all(effects)
        else:
            self._record(changes, effects)

    def _record(self, changes: Changes, effects: list[Effect]) -> None:
        """Commit, then perform. While the database is away nothing goes out, and no other turn begins."""
        world, faults = self.world, self.world.faults
        if not self.alive:
            return
        if world.clock.now < max(world.database_away_until, self.frozen_until):
            self.waiting = (changes, effects)
            world.clock.after(1.0, lambda: self._record(changes, effects))
            return
        if faults.strikes("boss_before_commit"):
            self.crash()
            return
        try:
            self.store.commit(changes, self.wall, answer_lost=faults.strikes("commit_answer_lost"))
        except Superseded:
            self.crash()
            return
        world.truth.committed(changes)
        if faults.strikes("boss_after_commit"):
            self.crash()
            return
        self._perform_all(effects)
        if self.waiting is not None:
            self.waiting = None
            self._plan()

    def _perform_all(self, effects: list[Effect]) -> None:
        faults = self.world.faults
        for effect in effects:
            if faults.strikes("boss_in_perform"):
                self.crash()
                return
            self._perform(effect)
        self.alarm.set(self._world_time(self.scheduler.next_deadline()))

    def _world_time(self, deadline: float | None) -> float | None:
        return None if deadline is None else deadline - self.clock_offset

    def _perform(self, effect: Effect) -> None:
        network = self.world.network
        if isinstance(effect, SendToWorker):
            self.world.truth.told(effect.worker, effect.incarnation, effect.orders)
            for worker, message in self.dispatcher.to_workers([effect]):
                network.publish(self.name, TOPICS.orders(worker), encode(message))
        elif isinstance(effect, SendToDatastore):
            for order in self.dispatcher.to_datastore([effect]):
                network.publish(self.name, TOPICS.datastore_orders, encode(order))
            for found in self.dispatcher.found():
                self.put(found)
        elif isinstance(effect, Answer):
            self.world.people.answered(effect)
        elif isinstance(effect, StartInstance):
            self.world.provider.start(effect.instance, effect.worker)
        elif isinstance(effect, StopInstance):
            self.world.provider.stop(effect.instance, effect.worker, effect.reference)
        elif isinstance(effect, AttachNetwork):
            self.world.provider.attach(effect.instance)
        elif isinstance(effect, DetachNetwork):
            self.world.provider.detach(effect.instance, effect.card)
        elif isinstance(effect, EndBoss):
            self.crash()
        elif isinstance(effect, ClearPresence):
            network.publish(self.name, TOPICS.presence(effect.worker), b"", retain=True)

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


def _selected(selection: Selection) -> tuple[list[int], list[int]]:
    return selection.tasks, selection.batches
