"""The datastore's machine: the real agent, around a tree and a disk in memory that may stop between any two steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from datastore.agent import DatastoreAgent, DatastorePolicy, Outgoing, Record, events
from datastore.agent import effects as do
from datastore.agent.check import check
from tests.simulation.clock import Alarm
from tests.simulation.truth import OTHER_HOST
from wire.codec import decode, encode
from wire.messages import (
    VERSION,
    Abandoned,
    AttemptKey,
    Collect,
    DatastoreOrders,
    Found,
    Presence,
    PublishedFile,
    Stage,
    StageDone,
    StageFailed,
    Stored,
)
from wire.topics import Topics

if TYPE_CHECKING:
    from tests.simulation.world import World

TOPICS = Topics("e")


class Tree:
    """What a datastore's crash leaves."""

    def __init__(self) -> None:
        self.epoch = 0
        self.records: dict[AttemptKey, Record] = {}
        #: (incarnation, task, attempt) -> files by their place in the record: (name, digest)
        self.incoming: dict[tuple[str, int, int], dict[int, tuple[str, str]]] = {}
        #: name -> digest
        self.names: dict[str, str] = {}
        #: Every content that was ever there (displaced versions stay as blobs).
        self.blobs: set[str] = set()


class SimulatedDatastore:
    name = "datastore"

    def __init__(self, world: World) -> None:
        self.world = world
        self.tree = Tree()
        self.agent: DatastoreAgent | None = None
        self.generation = 0
        self.full_until = 0.0

    # --- lives -----------------------------------------------------------------------------------------

    def boot(self) -> None:
        if self.agent is not None:
            return
        self.generation += 1
        self.incarnation = f"datastore-{self.world.fresh()}"
        self.clock_offset = self.world.clock.between(0.0, 1e5)
        self.agent = DatastoreAgent("d", self.incarnation, DatastorePolicy())
        self.outgoing = Outgoing("d", self.incarnation)
        self.boss_seen = ""
        self.alarm = Alarm(self.world.clock, lambda g=self.generation: self._ring(g))  # type: ignore[misc]
        self.world.network.join(self.name, self, self._reads)
        self._handle(events.Started(self.tree.epoch, list(self.tree.records.values())))

    def crash(self) -> None:
        if self.agent is None:
            return
        self.agent = None
        self.world.network.leave(self.name)
        self.world.clock.after(self.world.clock.between(0.5, 10.0), self.boot)

    # --- what comes in -----------------------------------------------------------------------------------

    @staticmethod
    def _reads(topic: str) -> bool:
        return topic in (TOPICS.datastore_orders, TOPICS.boss_presence)

    def receive(self, topic: str, payload: bytes, retained: bool) -> None:
        if topic == TOPICS.datastore_orders:
            self._handle(events.Ordered(decode(payload, DatastoreOrders)))
        elif payload:
            presence = decode(payload, Presence)
            if presence.online:
                self._handle(events.BossSeen(presence.incarnation))

    def link_changed(self, connected: bool) -> None:
        if connected:
            presence = Presence(
                version=VERSION, deployment="d", name="datastore", incarnation=self.incarnation, online=True
            )
            self.world.network.publish(self.name, TOPICS.datastore_presence, encode(presence), retain=True)
        else:
            self.outgoing.clear()
        self._handle(events.LinkConnected() if connected else events.LinkDisconnected())

    def _ring(self, generation: int) -> None:
        if generation == self.generation:
            self._handle(events.TimePassed(disk_free=1))

    def _handle(self, event: events.Event) -> None:
        if self.agent is None:
            return
        effects = self.agent.handle(event, self.world.clock.now + self.clock_offset)
        for effect in effects:
            if self.world.faults.strikes("datastore_between_effects"):
                self.crash()
                return
            self._do(effect)
        check(self.agent.state)
        for message in self.outgoing.messages():
            self.world.network.publish(self.name, TOPICS.datastore_reports, encode(message))
        deadline = self.agent.next_deadline()
        self.alarm.set(None if deadline is None else deadline - self.clock_offset)

    # --- what the agent wants ------------------------------------------------------------------------------

    def _later(self, low: float, high: float, call: Callable[[], events.Event | None]) -> None:
        """Some file work: it may be cut off by a crash before, or after, it is done."""
        generation = self.generation

        def work() -> None:
            if generation != self.generation or self.agent is None:
                return
            if self.world.faults.strikes("datastore_before_work"):
                self.crash()
                return
            event = call()
            if self.world.faults.strikes("datastore_after_work"):
                self.crash()
            elif event is not None:
                self._handle(event)

        self.world.clock.after(self.world.clock.between(low, high) * self.world.pace, work)

    def _do(self, effect: do.Effect) -> None:
        if isinstance(effect, do.Report | do.Confirm):
            self.outgoing.add(effect)
            if isinstance(effect, do.Report) and isinstance(effect.report, Abandoned):
                self.world.truth.abandoned(effect.report)
        elif isinstance(effect, do.StageFiles):
            self._transfer(effect.transfer, [lambda job=job: self._stage(job) for job in effect.jobs])  # type: ignore[misc]
        elif isinstance(effect, do.FetchResults):
            self._transfer(effect.transfer, [lambda job=job: self._fetch(job) for job in effect.jobs])  # type: ignore[misc]
        elif isinstance(effect, do.SyncIncoming):
            self._later(0.0, 0.1, self._sync)
        elif isinstance(effect, do.WriteRecords):
            self._later(0.0, 0.1, lambda: self._write_records(effect.records))
        elif isinstance(effect, do.PlaceFiles):
            self._place_some(effect.records, 0)
        elif isinstance(effect, do.DropRecords):
            for key in effect.keys:
                self.tree.records.pop(key, None)
        elif isinstance(effect, do.Discard):
            self._later(0.0, 0.1, lambda: self._discard(effect.keys))
        elif isinstance(effect, do.KeepEpoch):
            self._later(0.0, 0.1, lambda: self._keep_epoch(effect.epoch))
        elif isinstance(effect, do.Sweep):
            self._later(0.0, 0.1, self._sweep)
        elif isinstance(effect, do.StoreFiles):
            self._later(0.0, 0.3, lambda: self._store(effect))
        elif isinstance(effect, do.LookUpNames):
            self._later(0.0, 0.1, lambda: self._look_up(effect))

    def _transfer(self, transfer: int, jobs: list[Callable[[], events.Event]]) -> None:
        if jobs:
            first, rest = jobs[0], jobs[1:]

            def one() -> events.Event:
                generation = self.generation
                event = first()
                self.world.clock.after(0.0, lambda: generation == self.generation and self._transfer(transfer, rest))
                return event

            self._later(0.0, 0.3, one)
        else:
            self._later(0.0, 0.01, lambda: events.TransferEnded(transfer))

    def _stage(self, job: Stage) -> events.Event:
        worker = self.world.machines.get(job.place.path)
        key = {"task": job.task, "attempt": job.attempt}
        if worker is None or not worker.machine_alive:
            return events.InputsStaged(StageFailed(**key, fault="transfer", reason="no such host"))  # type: ignore[arg-type]
        if not worker.trusts(job.place):
            return events.InputsStaged(StageFailed(**key, fault="host", reason=OTHER_HOST))  # type: ignore[arg-type]
        inputs = []
        for one in job.inputs:
            digest = one.digest or self.tree.names.get(one.name, "")
            if not digest or digest not in self.tree.blobs:
                reason = f"fetching required files failed: {one.name!r}"
                return events.InputsStaged(StageFailed(**key, fault="input", reason=reason))  # type: ignore[arg-type]
            worker.disk.cache.add(digest)
            inputs.append(msgspec.structs.replace(one, digest=digest))
        return events.InputsStaged(StageDone(**key, inputs=inputs))  # type: ignore[arg-type]

    def _fetch(self, job: Collect) -> events.Event:
        key = (job.task, job.attempt)
        worker = self.world.machines.get(job.place.path)
        if self._full():
            return events.FetchFailed(key, "full", "no space left")
        if worker is None or not worker.machine_alive:
            return events.FetchFailed(key, "transfer", "no such host")
        if not worker.trusts(job.place):
            return events.FetchFailed(key, "host", OTHER_HOST)
        if self.world.faults.strikes("host_sends_oddly"):
            return events.FetchFailed(key, "host", "it sent a link")
        if self.world.faults.strikes("other_results"):
            return events.FetchFailed(key, "result", "not what was reported")
        files = worker.disk.files.get(key, {})
        got = {}
        for place, wanted in enumerate(job.files):
            if files.get(wanted.source) != (wanted.size, wanted.digest):
                return events.FetchFailed(key, "result", f"{wanted.source} is not what was reported")
            got[place] = (wanted.target, wanted.digest)
        self.tree.incoming[(self.incarnation, *key)] = got
        return events.ResultsFetched(key)

    def _full(self) -> bool:
        return self.world.clock.now < self.full_until

    def _sync(self) -> events.Event:
        return events.StepFailed("no space left", True) if self._full() else events.IncomingSynced()

    def _write_records(self, records: list[Record]) -> events.Event:
        if self._full():
            return events.StepFailed("no space left", True)
        self.tree.records.update({record.key: record for record in records})
        return events.RecordsWritten()

    def _place_some(self, records: list[Record], done: int) -> None:
        """One rename at a time, so that a crash may come between any two."""
        todo = [(record, place) for record in records for place in range(len(record.files))]
        if done == len(todo):
            self._later(0.0, 0.05, events.FilesPlaced)
            return
        record, place = todo[done]

        def rename() -> None:
            waiting = self.tree.incoming.get((record.incarnation, record.task, record.attempt), {})
            file = waiting.pop(place, None)
            if file is not None:
                self.tree.names[file[0]] = file[1]
                self.tree.blobs.add(file[1])
                self.world.truth.published(record.task, record.attempt, file[0], file[1])
            if not waiting:
                self.tree.incoming.pop((record.incarnation, record.task, record.attempt), None)
            generation = self.generation
            self.world.clock.after(0.0, lambda: generation == self.generation and self._place_some(records, done + 1))

        self._later(0.0, 0.02, lambda: rename())

    def _discard(self, keys: list[AttemptKey]) -> events.Event:
        for key in keys:
            self.tree.incoming.pop((self.incarnation, *key), None)
        return events.Discarded(keys)

    def _keep_epoch(self, epoch: int) -> events.Event:
        self.tree.epoch = max(self.tree.epoch, epoch)
        return events.EpochKept(epoch)

    def _sweep(self) -> events.Event:
        self.tree.incoming.clear()
        return events.Swept()

    def _store(self, effect: do.StoreFiles) -> events.Event:
        for order in effect.orders:
            self.tree.names[order.name] = order.digest
            self.tree.blobs.add(order.digest)
        return events.StoresEnded([Stored(name=order.name, digest=order.digest) for order in effect.orders])

    def _look_up(self, effect: do.LookUpNames) -> events.Event:
        names = [name for name in effect.order.names if name in self.tree.names]
        files = [PublishedFile(name=name, size=10, digest=self.tree.names[name]) for name in names]
        complete = len(names) == len(effect.order.names)
        return events.NamesFound(Found(task=effect.order.task, files=files, complete=complete))
