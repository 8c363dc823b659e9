"""A small world around the real scheduler: pushes in few words, workers and a datastore that say what the test
makes them say, and edges that record.

Every message goes through the codec, every turn is committed to the simulated database and checked, and what
the scheduler sent must be read: an effect that a test leaves unread fails it (`world.close`, by the fixture).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from boss.core.attempts import tree_prefix
from boss.core.check import check, starving
from boss.core.effects import Answer, AttachNetwork, ClearPresence, DetachNetwork, EndBoss, StartInstance, StopInstance
from boss.core.events import (
    DatastoreReported,
    Event,
    LinkConnected,
    PresenceSeen,
    Submitted,
    TimePassed,
    WorkerReported,
)
from boss.core.model import InitSpec, Profile, SentFile, Submission, TaskState
from boss.core.policy import Grant, Policy
from boss.core.rows import AttemptRow, Known, TaskRow
from boss.core.scheduler import Scheduler
from boss.core.state import Attempt, State, Worker
from boss.dispatch import Dispatcher, Found
from boss.turn import MessageToWorker, PerformStep, decide, perform_steps, record
from tests.worlds.store import SimulatedStore
from wire.codec import decode, encode
from wire.messages import (
    VERSION,
    DatastoreHello,
    DatastoreOrder,
    DatastoreOrders,
    DatastoreReport,
    DatastoreReports,
    Execution,
    Heartbeat,
    HeldAttempt,
    Input,
    ManifestEntry,
    Outcome,
    PhaseReached,
    Place,
    Presence,
    PublishedFile,
    ResultItem,
    Returned,
    WorkerHello,
    WorkerOrder,
    WorkerOrders,
    WorkerReport,
    WorkerReports,
)

K = TypeVar("K")

DIGEST = "b2:" + "0" * 64
_encode = msgspec.json.Encoder().encode


# --- pushes in few words ---------------------------------------------------------------------------


def submission(
    graph: Mapping[str, str],
    *,
    profile: Profile | None = None,
    profiles: Mapping[str, Profile] | None = None,
    results: Mapping[str, str] | None = None,
    requirements: Mapping[str, str] | None = None,
    inits: Sequence[str] = (),
    files: Sequence[str] = (),
    commands: Mapping[str, str] | None = None,
    **more: object,
) -> Submission:
    """`graph`: id -> the ids it depends on, in words; those that are not in the push are external."""
    ids = list(graph)
    given = {id: (profiles or {}).get(id, profile or Profile()) for id in ids}
    results, requirements = results or {}, requirements or {}
    for id in requirements:
        given[id] = msgspec.structs.replace(given[id], staging=True)
    distinct: list[Profile] = []
    for one in given.values():
        if one not in distinct:
            distinct.append(one)
    starts, targets = array("I", [0]), array("I")
    external = []
    for index, id in enumerate(ids):
        for needed in graph[id].split():
            if needed in graph:
                targets.append(ids.index(needed))
            else:
                external.append((index, needed))
        starts.append(len(targets))
    commands_of = {id: (commands or {}).get(id, f"echo {id}") for id in ids}
    made = Submission(
        name="push",
        ids=ids,
        executions=[_encode(_execution(commands_of[id], results.get(id, ""))) for id in ids],
        requirements=[_encode(_inputs(requirements[id])) if id in requirements else b"" for id in ids],
        contents=[f"{id}:{commands_of[id]}".encode().ljust(16)[:16] for id in ids],
        profiles=distinct,
        profile_of=array("I", [distinct.index(given[id]) for id in ids]).tobytes(),
        dependency_starts=starts.tobytes(),
        dependency_targets=targets.tobytes(),
        external=external,
        results=[(name, ids.index(id)) for id in ids for name in results.get(id, "").split()],
        inits=[InitSpec(id=id, execution=_encode(Execution(commands=[f"prepare {id}"]))) for id in inits],
        files=[SentFile(name=name, digest=DIGEST, size=10) for name in files],
    )
    return msgspec.structs.replace(made, **more)


def _execution(command: str, results: str) -> Execution:
    return Execution(commands=[command], results=[ResultItem(source=name, target=name) for name in results.split()])


def _inputs(names: str) -> list[Input]:
    return [Input(name=name, path=name) for name in names.split()]


def manifest(names: str) -> list[ManifestEntry]:
    return [ManifestEntry(source=name, target=name, size=10, digest=DIGEST) for name in names.split()]


# --- those who talk to the boss --------------------------------------------------------------------


class FakeWorker:
    """Reports what the test has it report; confirms by its next report what the test took from it."""

    def __init__(
        self, world: World, id: str, *, pool: str = "local", slots: int = 2, granted: bool = True, **hello: object
    ) -> None:
        """`granted`: an operator has granted what it states, without which none of that counts."""
        self.world = world
        self.id = id
        self.incarnation = f"{id}.1"
        self.number = 0
        self.received: list[WorkerOrders] = []
        self.confirms: list[int] = []
        self.confirmed = 0
        self.about = {"pool": pool, "slots": slots, "place": Place(path=f"/homes/{id}")} | hello
        if granted:
            world.grants[id] = Grant(pool=pool, labels=self.about.get("labels", {}))  # type: ignore[arg-type]
            world.state.grants[id] = world.grants[id]
        #: Of the last hello.
        self.deployment = "d"

    def hello(self, *held: HeldAttempt, initialized: Sequence[int] = ()) -> None:
        about = {"held": list(held), "initialized": list(initialized)} | self.about
        self.report(WorkerHello(**about))  # type: ignore[arg-type]

    def restarted(self, *held: HeldAttempt, initialized: Sequence[int] = ()) -> None:
        name, _, life = self.incarnation.rpartition(".")
        self.incarnation, self.number = f"{name}.{int(life) + 1}", 0
        self.received.clear()
        self.confirms.clear()
        self.hello(*held, initialized=initialized)

    def message(self, *reports: WorkerReport, number: int | None = None) -> WorkerReported:
        """The event of a report, not handed in yet."""
        if number is None:
            self.number += 1
            number = self.number
        confirms, self.confirms = self.confirms, []
        message = WorkerReports(
            version=VERSION,
            deployment=self.deployment,
            worker=self.id,
            incarnation=self.incarnation,
            number=number,
            epoch=self.world.store.epoch,
            confirms=confirms,
            reports=list(reports),
        )
        return WorkerReported(worker=self.id, message=decode(encode(message), WorkerReports))

    def report(self, *reports: WorkerReport) -> None:
        self.world.turn(self.message(*reports))

    def confirm(self) -> None:
        """It has taken what it was sent, whether the test reads it or not."""
        self.confirms += [message.number for message in self.received if message.number > self.confirmed]
        self.confirmed = max([self.confirmed, *(message.number for message in self.received)])

    def orders(self) -> list[WorkerOrder]:
        """What it was sent and the test has not read; confirmed with the next report."""
        self.confirm()
        received, self.received = self.received, []
        return [order for message in received for order in message.orders]

    def ordered(self, kind: type[K]) -> list[K]:
        """As `orders`, and those of one kind only."""
        return [order for order in self.orders() if isinstance(order, kind)]

    def began(self, *keys: tuple[int, int]) -> None:
        self.report(*(PhaseReached(task=task, attempt=attempt, phase="executing") for task, attempt in keys))

    def ended(self, task: int, attempt: int = 1, how: str = "succeeded", **more: object) -> None:
        self.report(Outcome(task=task, attempt=attempt, ended=how, **more))  # type: ignore[arg-type]

    def returned(self, *keys: tuple[int, int]) -> None:
        self.report(*(Returned(task=task, attempt=attempt) for task, attempt in keys))

    def beats(self) -> None:
        self.report(Heartbeat())

    def presence(self, online: bool, deployment: str = "d") -> None:
        self.world.turn(
            PresenceSeen(
                message=Presence(
                    version=VERSION, deployment=deployment, name=self.id, incarnation=self.incarnation, online=online
                )
            )
        )

    @property
    def seen(self) -> Worker:
        """What the boss thinks of it."""
        return self.world.state.workers[self.id]


class FakeDatastore:
    """The same, of the datastore."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.incarnation = "store.1"
        self.number = 0
        self.received: list[DatastoreOrders] = []
        self.confirms: list[int] = []

    def hello(self) -> None:
        self.report(DatastoreHello())

    def restarted(self) -> None:
        name, _, life = self.incarnation.rpartition(".")
        self.incarnation, self.number = f"{name}.{int(life) + 1}", 0
        self.received.clear()
        self.confirms.clear()
        self.hello()

    def report(self, *reports: DatastoreReport) -> None:
        self.number += 1
        confirms, self.confirms = self.confirms, []
        message = DatastoreReports(
            version=VERSION,
            deployment="d",
            incarnation=self.incarnation,
            number=self.number,
            epoch=self.world.store.epoch,
            confirms=confirms,
            reports=list(reports),
        )
        self.world.turn(DatastoreReported(message=decode(encode(message), DatastoreReports)))

    def orders(self) -> list[DatastoreOrder]:
        received, self.received = self.received, []
        self.confirms += [message.number for message in received]
        return [order for message in received for order in message.orders]

    def ordered(self, kind: type[K]) -> list[K]:
        return [order for order in self.orders() if isinstance(order, kind)]


def published(names: str, project: str = "default") -> list[PublishedFile]:
    return [PublishedFile(name=tree_prefix(project) + name, size=10, digest=DIGEST) for name in names.split()]


# --- the world -------------------------------------------------------------------------------------


class World:
    """The scheduler, its database and what it said."""

    def __init__(self, policy: Policy | None = None, *, connected: bool = True) -> None:
        self.policy = policy or Policy()
        self.store = SimulatedStore()
        self.now = 1000.0
        self.workers: dict[str, FakeWorker] = {}
        self.datastore = FakeDatastore(self)
        #: Effects other than orders, unread.
        self.effects: list[object] = []
        #: Orders to workers that speak another version of the protocol, unread: (worker, payload).
        self.other_versions: list[tuple[str, bytes]] = []
        #: What operators granted to workers.
        self.grants: dict[str, Grant] = {}
        self._reply = 0
        self._begin()
        if connected:
            self.turn(LinkConnected())
            self.datastore.hello()

    def _begin(self) -> None:
        self.session = self.store.open()
        self.scheduler = Scheduler(msgspec.structs.replace(self.policy, grants=self.policy.grants | self.grants))
        self.dispatcher = Dispatcher(self.store, "d", self.store.epoch, self.scheduler.in_cache)
        self.scheduler.restore(self.store.load(), self.now, self.now)
        check(self.state)

    @property
    def state(self) -> State:
        return self.scheduler.state

    # --- turns ---------------------------------------------------------------------------------------

    def turn(self, *events: Event) -> None:
        """Collect these, decide, record, perform; what does not go into one turn goes into the next."""
        waiting = list(events)
        while True:
            decided = decide(self.scheduler, self.session, waiting, self.now, self.now)
            check(self.state)
            assert self.state.leases_from is None or self.state.stopping or not starving(self.state)
            record(decided, self.session, self.now)
            waiting = waiting[decided.taken :]
            for step in perform_steps(decided.effects, self.dispatcher):
                if isinstance(step, Found):
                    waiting.append(step)
                else:
                    self._perform(step)
            if not waiting:
                return

    def _perform(self, step: PerformStep) -> None:
        if isinstance(step, MessageToWorker) and step.message.version != VERSION:
            self.other_versions.append((step.worker, encode(step.message)))
        elif isinstance(step, MessageToWorker):
            receiver = self.workers.get(step.worker)
            if receiver is not None and receiver.incarnation == step.message.receiver:
                receiver.received.append(decode(encode(step.message), WorkerOrders))
        elif isinstance(step, DatastoreOrders):
            if step.receiver == self.datastore.incarnation:
                self.datastore.received.append(decode(encode(step), DatastoreOrders))
        else:
            self.effects.append(step)

    def wait(self, seconds: float, *alive: FakeWorker) -> None:
        """Time passes, deadline by deadline; those named say heartbeats meanwhile."""
        until = self.now + seconds
        while self.now < until:
            deadline = self.scheduler.next_deadline()
            beat = self.now + self.policy.heartbeat
            self.now = max(self.now, min(until, beat, deadline if deadline is not None else until))
            for worker in alive:
                worker.confirm()
                worker.beats()
            self.turn(TimePassed())

    def restart(self) -> None:
        """kill -9 of the boss, and the next one. What was sent and not read is lost."""
        self.now += 100.0
        self.ignore()
        self._begin()
        self.turn(LinkConnected())

    # --- what tests say ------------------------------------------------------------------------------

    def push(self, graph: Mapping[str, str], **more: object) -> int:
        """Accepted; answers the batch's number."""
        answer = self.answer_to_push(graph, **more)
        assert not answer.rejections, answer.rejections
        assert answer.value
        number = answer.value["batch"]
        assert isinstance(number, int)
        return number

    def answer_to_push(self, graph: Mapping[str, str], **more: object) -> Answer:
        return self.ask(Submitted(submission=submission(graph, **more), known=Known()))  # type: ignore[arg-type]

    def ask(self, event: Event) -> Answer:
        """What a user asks, and the answer."""
        self._reply += 1
        event.reply = self._reply  # type: ignore[union-attr]
        self.turn(event)
        (answer,) = self.take(Answer)
        assert answer.reply == self._reply
        return answer

    def worker(self, id: str = "w", *, slots: int = 2, **hello: object) -> FakeWorker:
        """One that has said hello; its welcome is read."""
        made = self.workers[id] = FakeWorker(self, id, slots=slots, **hello)
        made.hello()
        return made

    # --- what tests see ------------------------------------------------------------------------------

    def take(self, kind: type[K]) -> list[K]:
        found = [effect for effect in self.effects if isinstance(effect, kind)]
        self.effects = [effect for effect in self.effects if not isinstance(effect, kind)]
        return found

    def states(self, *ids: str, project: str = "default") -> str:
        """The recorded states of these tasks, in words."""
        return " ".join(TaskState(self.row(id, project).state).word for id in ids)

    def row(self, id: str, project: str = "default") -> TaskRow:
        return self.store.tasks[self.store.ids[(project, id)]]

    def number(self, id: str, project: str = "default") -> int:
        return self.store.ids[(project, id)]

    def attempt(self, task: int, attempt: int = 1) -> AttemptRow:
        return self.store.attempts[(task, attempt)]

    def live(self, task: int, attempt: int = 1) -> Attempt:
        return self.state.attempts[(task, attempt)]

    def ignore(self) -> None:
        """The rest of what was sent is not this test's matter."""
        self.effects.clear()
        for worker in self.workers.values():
            worker.orders()
        self.datastore.orders()

    def close(self) -> None:
        check(self.state)
        unread = [order for worker in self.workers.values() for order in worker.orders()]
        left = [*self.effects, *unread, *self.datastore.orders()]
        assert not left, f"sent, and not read by the test: {left}"


__all__ = [
    "DIGEST",
    "AttachNetwork",
    "ClearPresence",
    "DetachNetwork",
    "EndBoss",
    "FakeDatastore",
    "FakeWorker",
    "StartInstance",
    "StopInstance",
    "World",
    "manifest",
    "published",
    "submission",
]
