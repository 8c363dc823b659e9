"""The datastore's agent against a model disk and a model boss: random orders, losses and crashes between any two steps.

What must hold, after every step: a file is in the tree only if its attempt is recorded; an attempt that was
reported as abandoned never appears; no attempt gets both answers; what was reported as published is whole in the tree.
And at the end every attempt that was collected has its answer.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from datastore.agent import DatastoreAgent, DatastorePolicy, Outgoing, Record
from datastore.agent.check import check
from datastore.agent.effects import (
    Confirm,
    Discard,
    DropRecords,
    Effect,
    FetchResults,
    KeepEpoch,
    PlaceFiles,
    Report,
    StopFetching,
    Sweep,
    SyncIncoming,
    WriteRecords,
)
from datastore.agent.events import (
    Discarded,
    EpochKept,
    Event,
    FetchFailed,
    FilesPlaced,
    IncomingSynced,
    LinkConnected,
    LinkDisconnected,
    Ordered,
    RecordsWritten,
    ResultsFetched,
    Started,
    StepFailed,
    Swept,
    TimePassed,
    TransferEnded,
)
from wire.codec import decode, encode
from wire.messages import (
    VERSION,
    Abandon,
    Abandoned,
    AttemptKey,
    Collect,
    CollectFile,
    DatastoreHello,
    DatastoreOrder,
    DatastoreOrders,
    DatastoreReports,
    Forget,
    Place,
    Published,
    PublishedFile,
    ResultFolder,
)

DIGEST = "b2:" + "0" * 64
FILES = 3
#: Of every folder that is built.
INODE = 7


@dataclass
class ModelDisk:
    """What is durable or at least survives the program; every effect may be cut off in its middle."""

    epoch: int = 0
    records: dict[AttemptKey, Record] = field(default_factory=dict)
    #: (incarnation, task, attempt, number of the file)
    incoming: set[tuple[str, int, int, int]] = field(default_factory=set)
    #: name -> the attempt whose file it is
    tree: dict[str, AttemptKey] = field(default_factory=dict)

    def place(self, records: list[Record], limit: int) -> bool:
        """A folder is one step: all of it, and nothing of what was there."""
        for record in records:
            sources = {(record.incarnation, *record.key, number): file for number, file in enumerate(record.files)}
            steps = [set(sources)] if record.folders else [{source} for source in sources]
            for step in steps:
                if not step <= self.incoming:
                    continue
                if limit == 0:
                    return False
                limit -= 1
                self.incoming -= step
                for folder in record.folders:
                    assert folder.inode == INODE, "a folder is placed that is not known again"
                    self.tree = {name: key for name, key in self.tree.items() if not name.startswith(f"{folder.name}/")}
                self.tree |= {sources[source].name: record.key for source in step}
        return True

    def discard(self, key: AttemptKey) -> None:
        self.incoming = {each for each in self.incoming if each[1:3] != key}


def targets_of(key: AttemptKey) -> list[str]:
    """Every second task leaves a folder, with other files in each attempt."""
    task, attempt = key
    return [f"{task}/{attempt}-{n}" if task % 2 else f"{task}/{n}" for n in range(FILES)]


def order_of(key: AttemptKey) -> Collect:
    task, attempt = key
    files = [CollectFile(source=name, target=name, size=1, digest=DIGEST) for name in targets_of(key)]
    folders = [ResultFolder(source=f"{task}", target=f"{task}")] if task % 2 else []
    worker = f"w{task % 3}"
    return Collect(task=task, attempt=attempt, worker=worker, place=Place(path="/w"), files=files, folders=folders)


@dataclass
class ModelBoss:
    """Collects attempts, now and then abandons one, records answers, and forgets; all of it said again at a hello."""

    chance: random.Random
    epoch: int = 1
    number: int = 0
    waiting: dict[AttemptKey, str] = field(default_factory=dict)
    answers: dict[AttemptKey, Published | Abandoned] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)

    def orders(self, key: AttemptKey) -> list[DatastoreOrder]:
        if key in self.answers:
            return [Forget(attempts=[key])]
        if self.waiting[key] == "abandon":
            return [Abandon(task=key[0], attempt=key[1], reason="asked")]
        return [order_of(key)]

    def next_orders(self) -> list[DatastoreOrder]:
        task = self.chance.randrange(6)
        key = (task, self.last.get(task, 0))
        if key not in self.waiting:
            key = (task, key[1] + 1)
            self.last[task] = key[1]
            self.waiting[key] = "collect"
        elif key in self.answers:
            del self.waiting[key]
            return [Forget(attempts=[key])]
        elif self.chance.random() < 0.3:
            self.waiting[key] = "abandon"
        return self.orders(key)

    def message(self, receiver: str, orders: list[DatastoreOrder]) -> bytes:
        self.number += 1
        return encode(
            DatastoreOrders(
                version=VERSION, deployment="d", receiver=receiver, epoch=self.epoch, number=self.number, orders=orders
            )
        )

    def hear(self, answer: Published | Abandoned) -> None:
        key = (answer.task, answer.attempt)
        known = self.answers.setdefault(key, answer)
        assert type(known) is type(answer), f"{key} got two answers: {known} and {answer}"


class World:
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.disk = ModelDisk()
        self.boss = ModelBoss(self.chance)
        self.starts = 0
        self.now = 0.0
        #: Orders on their way; some are lost, some come twice, some late.
        self.network: list[bytes] = []
        self.start()

    # -- the program --------------------------------------------------------------------------------

    def start(self) -> None:
        self.starts += 1
        self.incarnation = f"i{self.starts}"
        self.agent = DatastoreAgent(
            "d", self.incarnation, DatastorePolicy(transfers_at_once=2, retry_seconds=1, disk_retry_seconds=1)
        )
        self.outgoing = Outgoing("d", self.incarnation)
        self.todo: list[Effect] = []
        self.give(Started(self.disk.epoch, list(self.disk.records.values())), LinkConnected())

    def give(self, *events: Event) -> None:
        for event in events:
            for effect in self.agent.handle(event, self.now):
                if isinstance(effect, Report | Confirm):
                    self.outgoing.add(effect)
                else:
                    self.todo.append(effect)
            check(self.agent.state)

    def say(self, lossless: bool) -> None:
        for message in self.outgoing.messages():
            if lossless or self.chance.random() > 0.2:
                self.hear(decode(encode(message), DatastoreReports))

    def hear(self, message: DatastoreReports) -> None:
        for report in message.reports:
            if isinstance(report, Published | Abandoned):
                self.boss.hear(report)
            elif isinstance(report, DatastoreHello):
                for key in list(self.boss.waiting):
                    self.send(self.boss.orders(key))

    def send(self, orders: list[DatastoreOrder]) -> None:
        self.network.append(self.boss.message(self.incarnation, orders))

    # -- carrying effects out -----------------------------------------------------------------------

    def carry_out(self, troubled: bool) -> None:
        effect = self.todo.pop(self.chance.randrange(len(self.todo)))
        events = self.events_of(effect, troubled)
        self.give(*events)

    def events_of(self, effect: Effect, troubled: bool) -> list[Event]:
        disk = self.disk
        failure = troubled and self.chance.random() < 0.2
        match effect:
            case KeepEpoch():
                disk.epoch = effect.epoch
                return [EpochKept(effect.epoch)]
            case FetchResults():
                return [*[self.fetch(job, troubled) for job in effect.jobs], TransferEnded(effect.transfer)]
            case SyncIncoming():
                built = [(record.key, [INODE] * len(record.folders)) for record in effect.records if record.folders]
                return [StepFailed("sync", full=True)] if failure else [IncomingSynced(folders=built)]
            case WriteRecords():
                if failure and self.chance.random() < 0.5:
                    return [StepFailed("full", full=True)]
                disk.records.update({record.key: record for record in effect.records})
                return [StepFailed("unclear")] if failure else [RecordsWritten()]
            case PlaceFiles():
                done = disk.place(effect.records, self.chance.randrange(5) if failure else 1_000_000)
                return [FilesPlaced()] if done else [StepFailed("place")]
            case DropRecords():
                for key in effect.keys:
                    disk.records.pop(key, None)
                return []
            case Discard():
                for key in effect.keys:
                    disk.discard(key)
                return [Discarded(effect.keys)]
            case Sweep():
                disk.incoming.clear()
                return [Swept()]
            case StopFetching():
                return []
        raise AssertionError(f"an effect that was not asked for: {effect}")

    def fetch(self, job: Collect, troubled: bool) -> Event:
        key = (job.task, job.attempt)
        assert not any(each[1:3] == key and each[0] == self.incarnation for each in self.disk.incoming), "work twice"
        if troubled and self.chance.random() < 0.3:
            return FetchFailed(key, self.chance.choice(["transfer", "full", "result", "stopped"]), "failure")
        self.disk.incoming |= {(self.incarnation, *key, number) for number in range(FILES)}
        return ResultsFetched(key)

    def crash(self) -> None:
        """Between two effects, or in the middle of one whose event is never given."""
        if self.todo and self.chance.random() < 0.7:
            effect = self.chance.choice(self.todo)
            if isinstance(effect, PlaceFiles):
                self.disk.place(effect.records, self.chance.randrange(5))
            else:
                self.events_of(effect, troubled=True)
        self.start()

    # -- what must hold -----------------------------------------------------------------------------

    def check(self) -> None:
        by_attempt: dict[AttemptKey, int] = {}
        for key in self.disk.tree.values():
            by_attempt[key] = by_attempt.get(key, 0) + 1
        for key, answer in self.boss.answers.items():
            task, attempt = key
            if isinstance(answer, Abandoned):
                assert key not in by_attempt, f"{key} was abandoned and is visible"
                assert key not in self.disk.records, f"{key} was abandoned and is recorded"
            elif self.boss.last[task] == attempt:
                assert by_attempt.get(key) == FILES, f"{key} was published and is not whole"
                expected = [PublishedFile(name=name, size=1, digest=DIGEST) for name in targets_of(key)]
                assert (answer.files, answer.folders) == (expected, [f"{task}"] if task % 2 else [])
                assert not task % 2 or sum(name.startswith(f"{task}/") for name in self.disk.tree) == FILES
        for key, count in by_attempt.items():
            if count < FILES and key not in self.disk.records:
                newer = [other for other in by_attempt if other[0] == key[0] and other[1] > key[1]]
                assert newer, f"{key} is half visible and no record completes it"

    def step(self) -> None:
        dice = self.chance.random()
        if dice < 0.15:
            self.send(self.boss.next_orders())
        elif dice < 0.45:
            self.deliver()
        elif dice < 0.95:
            if self.todo:
                self.carry_out(troubled=True)
        elif dice < 0.96:
            self.crash()
        elif dice < 0.97:
            self.give(LinkDisconnected())
            self.outgoing.clear()
            self.give(LinkConnected())
        elif dice < 0.975:
            self.boss.epoch += 1
            self.boss.number = 0
        else:
            self.now += self.chance.random() * 3
            self.give(TimePassed())
        self.say(lossless=False)
        self.check()

    def deliver(self) -> None:
        """Mostly in order; sometimes late, lost or twice."""
        if not self.network:
            return
        place = self.chance.randrange(min(3, len(self.network))) if self.chance.random() < 0.2 else 0
        payload = self.network.pop(place)
        fate = self.chance.random()
        if fate > 0.1:
            self.give(Ordered(decode(payload, DatastoreOrders)))
        if fate > 0.85:
            self.network.append(payload)

    def settle(self) -> None:
        """No more failure: everything that is open must come to its end."""
        for _ in range(60):
            for key in list(self.boss.waiting):
                if key not in self.boss.answers:
                    self.send(self.boss.orders(key))
            while self.network or self.todo:
                if self.network:
                    self.give(Ordered(decode(self.network.pop(0), DatastoreOrders)))
                else:
                    self.carry_out(troubled=False)
            self.say(lossless=True)
            self.now += 5
            self.give(TimePassed())
            self.check()
            if all(key in self.boss.answers for key in self.boss.waiting) and not self.agent.state.collections:
                return
        raise AssertionError(f"without an answer: {[key for key in self.boss.waiting if key not in self.boss.answers]}")


@pytest.mark.parametrize("seed", range(200))
def test_nothing_is_half_nothing_twice_and_everything_is_answered_whatever_crashes(seed: int) -> None:
    world = World(seed)
    try:
        for _ in range(400):
            world.step()
        world.settle()
    except AssertionError as error:
        raise AssertionError(f"seed {seed}, start {world.starts}: {error}") from error
